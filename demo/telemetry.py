"""The sidecar, its Collector, and the second Collector that speaks to OpenSearch."""

from __future__ import annotations

import json
import os
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from demo import witness
from demo.paths import ROOT
from demo.processes import LOOPBACK, StartError, answers, environment, free_port, listens
from otel_prefect import semconv
from otel_prefect.collector import start as collector

if TYPE_CHECKING:
    from collections.abc import Mapping

    from demo.processes import Process, Processes

LOG_GROUP: Final = semconv.ENV_LOG_GROUP.default
_BINARIES = (semconv.ENV_OTELCOL_BIN.name, semconv.ENV_OTELCOL_OPENSEARCH_BIN.name)
# The sidecar drains for up to 25 s and then stops its Collector; where the demo is broken off there is
# nothing left to drain to.
_DRAIN_SECONDS = 40.0
_BROKEN_OFF_SECONDS = 5.0


def binaries() -> dict[str, str]:
    """Return the user's choice of Collectors, which `environment` leaves out for all other processes."""
    return {name: os.environ[name] for name in _BINARIES if os.environ.get(name)}


def build_collectors(processes: Processes) -> None:
    """Build the Collectors that are neither named by the user nor in the cache, with visible progress.

    Raises:
        StartError: one cannot be built; its own message stands on the terminal.
    """
    for distribution in (collector.MAIN, collector.OPENSEARCH):
        if not _is_there(distribution):
            _command(
                processes,
                f"build of the {distribution.name} collector",
                ["collector", "build", "--distribution", distribution.name],
                # Where Go keeps its modules is the user's and the Makefile's choice.
                dict(os.environ),
                visible=True,
            )


def _is_there(distribution: collector.Distribution) -> bool:
    try:
        collector.find(os.environ, distribution)
    except collector.CollectorNotFound as error:
        if os.environ.get(distribution.binary.name):
            raise StartError(str(error)) from error
        return False
    return True


def set_up_opensearch(processes: Processes, url: str) -> None:
    """Install index templates and pipelines, by the command that a user has for it.

    Raises:
        StartError: it could not be done.
    """
    variables = {semconv.ENV_OPENSEARCH_ENDPOINT.name: url}
    _command(processes, "opensearch setup", ["opensearch", "setup"], environment(variables))


def _command(
    processes: Processes, name: str, arguments: list[str], env: Mapping[str, str], *, visible: bool = False
) -> None:
    program = str(Path(sys.executable).with_name("otel-prefect"))
    processes.run(name, [program, *arguments], env=env, visible=visible)


def start_opensearch_collector(processes: Processes, url: str) -> str:
    """Start the second Collector: OTLP/gRPC in, the shipped ``opensearch`` layers out.

    Args:
        processes: the owner of the process.
        url: of OpenSearch.

    Returns:
        host:port of its OTLP/gRPC.

    Raises:
        StartError: it did not come up.
    """
    port = free_port()
    endpoint = f"{LOOPBACK}:{port}"
    variables = environment(
        {
            **binaries(),
            semconv.ENV_OTLP_ENDPOINT.name: endpoint,
            semconv.ENV_OPENSEARCH_ENDPOINT.name: url,
            semconv.ENV_COLLECTOR_METRICS_PORT.name: str(free_port()),
        }
    )
    program = collector.find(variables, collector.OPENSEARCH)
    processes.start(
        "opensearch collector",
        [str(program), *collector.arguments(variables, collector.OPENSEARCH)],
        env=collector.environment(variables, collector.OPENSEARCH),
        ready=listens(port),
    )
    return endpoint


@dataclass(frozen=True)
class Sidecar:
    """A running sidecar with its Collector.

    Attributes:
        process: ``python -m sidecar``.
        otlp_url: where processes send OTLP/HTTP.
        xray_address: where X-Ray SDKs send segments, in the form that they take.
        witness_folder: takes the list of all that its Collector took.
    """

    process: Process
    otlp_url: str
    xray_address: str
    witness_folder: Path

    def variables(self) -> dict[str, str]:
        """Return what a container needs to find it; on AWS these are the defaults of the SDKs."""
        return {
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.otlp_url,
            "AWS_XRAY_DAEMON_ADDRESS": self.xray_address,
        }

    def drain(self) -> dict[str, Any]:
        """Ask it to end as ECS would, wait for it, and return its accounts.

        Raises:
            StartError: it did not end in time, ended with another exit code than 0, or printed no accounts.
        """
        self.process.terminate()
        code = self.process.wait(_DRAIN_SECONDS)
        if code != 0:
            ended = "has not ended" if code is None else f"ended with code {code}"
            raise StartError(
                f"sidecar {ended} after SIGTERM; 0 is expected. Its log {self.process.log} ends:\n"
                f"{self.process.log_tail()}"
            )
        for line in reversed(self.process.log.read_text(errors="replace").splitlines()):
            if line.startswith("{") and json.loads(line).get("event") == "accounts":
                accounts: dict[str, Any] = json.loads(line)
                return accounts
        raise StartError(f"sidecar printed no accounts; see {self.process.log}")


def start_sidecar(
    processes: Processes,
    folder: Path,
    outside: Mapping[str, str],
    opensearch_otlp: str,
    prometheus_url: str,
) -> Sidecar:
    """Start the sidecar, which starts its Collector: X-Ray, CloudWatch, OpenSearch over OTLP, Prometheus.

    Args:
        processes: the owner of the process.
        folder: takes the queues and the witness's files.
        outside: how AWS and Prefect's API are reached.
        opensearch_otlp: host:port of the second Collector.
        prometheus_url: that takes remote write.

    Raises:
        StartError: it did not come up.
    """
    http, health = free_port(), free_port()
    xray_tcp, xray_udp = free_port(), free_port(kind=socket.SOCK_DGRAM)
    witness_folder = folder / "witness"
    witness_folder.mkdir(parents=True)
    variables = {
        **binaries(),
        **outside,
        semconv.ENV_GRPC_ENDPOINT.name: f"{LOOPBACK}:{free_port()}",
        semconv.ENV_HTTP_ENDPOINT.name: f"{LOOPBACK}:{http}",
        semconv.ENV_HEALTH_ENDPOINT.name: f"{LOOPBACK}:{health}",
        semconv.ENV_XRAY_UDP_ENDPOINT.name: f"{LOOPBACK}:{xray_udp}",
        semconv.ENV_XRAY_PROXY_ENDPOINT.name: f"{LOOPBACK}:{xray_tcp}",
        semconv.ENV_STATSD_ENDPOINT.name: f"{LOOPBACK}:{free_port(kind=socket.SOCK_DGRAM)}",
        semconv.ENV_TRACES.name: "xray,otlp",
        semconv.ENV_LOGS.name: "cloudwatch,otlp",
        semconv.ENV_METRICS.name: "emf,prometheus",
        semconv.ENV_PROMETHEUS_ENDPOINT.name: prometheus_url,
        semconv.ENV_OTLP_ENDPOINT.name: opensearch_otlp,
        semconv.ENV_DATA_DIR.name: str(folder / "sidecar"),
        semconv.ENV_COLLECTOR_CONFIG.name: str(witness.CONFIG),
        witness.FOLDER_VARIABLE: str(witness_folder),
    }
    process = processes.start(
        "sidecar",
        [sys.executable, "-m", "sidecar"],
        env=environment(variables),
        cwd=ROOT,
        ready=answers(f"http://{LOOPBACK}:{health}/healthz"),
        grace=_BROKEN_OFF_SECONDS,
    )
    xray_address = f"tcp:{LOOPBACK}:{xray_tcp} udp:{LOOPBACK}:{xray_udp}"
    return Sidecar(process, f"http://{LOOPBACK}:{http}", xray_address, witness_folder)
