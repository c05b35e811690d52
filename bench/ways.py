"""Starts and ends the ways that are compared, each as it would be used."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import sysconfig
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

from bench.cases import ATTRIBUTES, COLLECTOR, DECODE, ROTEL, SIDECAR
from demo.processes import Processes, answers, environment, listens
from otel_prefect import semconv
from otel_prefect.collector import start as collector
from tests.support.ports import free_ports

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from demo.processes import Process

ROOT: Final = Path(__file__).resolve().parents[1]
# Roles of processes.
PYTHON, GO, RUST = "sidecar", "Collector", "rotel"
_POLL_SECONDS = 0.005
_START_SECONDS = 30.0
_STOP_SECONDS = 60.0


class Unavailable(Exception):  # noqa: N818 - a state of this machine, not a fault
    """Raised when a way cannot be started on this machine; the text says why."""


@dataclass
class Way:
    """A way that takes data.

    Attributes:
        grpc: ``host:port`` of its OTLP/gRPC.
        http: ``host:port`` of its OTLP/HTTP.
        pids: its processes by role.
        start_seconds: from the start of its first process until it took data.
    """

    grpc: str
    http: str
    pids: dict[str, int]
    start_seconds: float
    _process: Process

    def target(self, protocol: str) -> str:
        """Return where it takes a protocol."""
        return self.grpc if protocol == "grpc" else self.http

    def stop(self) -> float:
        """End it by SIGTERM; return the seconds until it had ended."""
        began = time.monotonic()
        self._process.terminate()
        while self._process.exit_code() is None and time.monotonic() - began < _STOP_SECONDS:
            time.sleep(_POLL_SECONDS)
        return time.monotonic() - began


@contextlib.contextmanager
def running(name: str, layer: str, destination: str, **variables: str) -> Iterator[Way]:
    """Run a way while the block runs.

    Args:
        name: which way.
        layer: of traces.
        destination: ``host:port`` that answers as the layer's destination does.
        variables: of the environment, added.

    Raises:
        Unavailable: it cannot be started here.
    """
    work = collector.cache_dir() / "bench" / "work"
    work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=work) as folder, Processes(Path(folder)) as processes:
        grpc, http, health = (f"127.0.0.1:{port}" for port in free_ports(3))
        settings = {**_settings(Path(folder), layer, destination), **variables}
        settings[semconv.ENV_GRPC_ENDPOINT.name] = grpc
        settings[semconv.ENV_HTTP_ENDPOINT.name] = http
        settings[semconv.ENV_HEALTH_ENDPOINT.name] = health
        command, added, ready = _PLANS[name](settings, Path(folder), layer, destination)
        began = time.monotonic()
        process = processes.start(name.replace("/", "-"), command, env=environment(added), cwd=ROOT)
        _wait(ready, process)
        seconds = time.monotonic() - began
        yield Way(grpc, http, _roles(name, process.pid), seconds, process)


def _settings(folder: Path, layer: str, destination: str) -> dict[str, str]:
    """Return what the Collector of every way is told: queues in a folder, ports and names of its own."""
    own, *udp = free_ports(3)
    statsd, xray = (f"127.0.0.1:{port}" for port in udp)
    settings = {
        semconv.ENV_TRACES.name: layer,
        semconv.ENV_LOGS.name: "none",
        semconv.ENV_METRICS.name: "none",
        semconv.ENV_DATA_DIR.name: str(folder / "data"),
        semconv.ENV_STATSD_ENDPOINT.name: statsd,
        semconv.ENV_XRAY_UDP_ENDPOINT.name: xray,
        semconv.ENV_XRAY_PROXY_ENDPOINT.name: xray,
        semconv.ENV_COLLECTOR_METRICS_PORT.name: str(own),
        semconv.ENV_COLLECTOR_SOCKET.name: f"otel-prefect-bench-{os.getpid()}-{xray.rpartition(':')[2]}",
        semconv.ENV_OTLP_ENDPOINT.name: destination,
        "AWS_ENDPOINT_URL_XRAY": f"http://{destination}",
        "AWS_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": "bench",
        "AWS_SECRET_ACCESS_KEY": "bench",
    }
    named = os.environ.get(semconv.ENV_OTELCOL_BIN.name)
    return {**settings, semconv.ENV_OTELCOL_BIN.name: named} if named else settings


def _collector(
    settings: dict[str, str], folder: Path, layer: str, _destination: str
) -> tuple[list[str], dict[str, str], Callable[[], bool]]:
    own: dict[str, Any] = {}
    shipped = yaml.safe_load((collector.config_dir() / "traces" / f"{layer}.yaml").read_text())
    pipeline = f"traces/{layer}"
    grpc, http = settings[semconv.ENV_GRPC_ENDPOINT.name], settings[semconv.ENV_HTTP_ENDPOINT.name]
    own["receivers"] = {"otlp/bench": {"protocols": {"grpc": {"endpoint": grpc}, "http": {"endpoint": http}}}}
    adding = [{"key": key, "value": value, "action": "insert"} for key, value in ATTRIBUTES.items()]
    own["processors"] = {"resource/bench": {"attributes": adding}}
    processors = [*shipped["service"]["pipelines"][pipeline]["processors"], "resource/bench"]
    own["service"] = {"pipelines": {pipeline: {"receivers": ["otlp/bench"], "processors": processors}}}
    environ = collector.environment({**settings, **_own_file(folder, own)})
    command = [str(collector.find(environ)), *collector.arguments(environ)]
    return command, environ, listens(int(grpc.rpartition(":")[2]))


def _sidecar(
    settings: dict[str, str], _folder: Path, _layer: str, _destination: str, module: str = "sidecar"
) -> tuple[list[str], dict[str, str], Callable[[], bool]]:
    environ = {
        **settings,
        semconv.ENV_ATTRIBUTES.name: ",".join(f"{key}={value}" for key, value in ATTRIBUTES.items()),
    }
    health = settings[semconv.ENV_HEALTH_ENDPOINT.name]
    return [sys.executable, "-m", module], environ, answers(f"http://{health}/healthz")


def _decode_hop(
    settings: dict[str, str], folder: Path, layer: str, destination: str
) -> tuple[list[str], dict[str, str], Callable[[], bool]]:
    return _sidecar(settings, folder, layer, destination, "bench.decode_hop")


def _rotel(
    settings: dict[str, str], folder: Path, layer: str, destination: str
) -> tuple[list[str], dict[str, str], Callable[[], bool]]:
    exporters = {
        "otlp": ["--exporter", "otlp", "--otlp-exporter-endpoint", f"http://{destination}"],
        "xray": [
            "--exporter", "aws-xray",
            "--xray-exporter-region", settings["AWS_REGION"],
            "--xray-exporter-custom-endpoint", f"http://{destination}",
        ],
    }  # fmt: skip
    grpc = settings[semconv.ENV_GRPC_ENDPOINT.name]
    command = [
        str(rotel_agent()), "start",
        "--otlp-grpc-endpoint", grpc,
        "--otlp-http-endpoint", settings[semconv.ENV_HTTP_ENDPOINT.name],
        "--otlp-grpc-max-recv-msg-size-mib", "64",
        "--otlp-with-trace-processor", str(Path(__file__).with_name("rotel_processor.py")),
        "--pid-file", str(folder / "rotel.pid"),
        *exporters[layer],
    ]  # fmt: skip
    # It is linked against libpython3.11, which is not in the linker's path for every Python.
    libraries = str(sysconfig.get_config_var("LIBDIR"))
    environ = {**settings, "BENCH_ATTRIBUTES": json.dumps(ATTRIBUTES), "LD_LIBRARY_PATH": libraries}
    return command, environ, listens(int(grpc.rpartition(":")[2]))


_PLANS: Final[
    dict[
        str, Callable[[dict[str, str], Path, str, str], tuple[list[str], dict[str, str], Callable[[], bool]]]
    ]
] = {COLLECTOR: _collector, SIDECAR: _sidecar, DECODE: _decode_hop, ROTEL: _rotel}


def rotel_agent() -> Path:
    """Return rotel's program, from the environment that ``make bench`` has made for it.

    Raises:
        Unavailable: it is not installed.
    """
    found = sorted(
        (collector.cache_dir() / "bench" / "rotel").glob("lib/python*/site-packages/rotel/rotel-agent")
    )
    if not found:
        raise Unavailable("rotel is not installed ; `make bench` does it, on Linux")
    return found[0]


def _own_file(folder: Path, own: Mapping[str, Any]) -> dict[str, str]:
    path = folder / "own.yaml"
    path.write_text(yaml.safe_dump(own, sort_keys=False))
    return {semconv.ENV_COLLECTOR_CONFIG.name: str(path)}


def _wait(ready: Callable[[], bool], process: Process) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not ready():
        if process.exit_code() is not None or time.monotonic() > deadline:
            raise Unavailable(f"{process.name} did not start: {process.log_tail().strip()}")
        time.sleep(_POLL_SECONDS)


def _roles(name: str, pid: int) -> dict[str, int]:
    if name == COLLECTOR:
        return {GO: pid}
    if name == ROTEL:
        return {RUST: pid}
    program = collector.find(os.environ).resolve()
    found = [child for child in _descendants(pid) if Path(f"/proc/{child}/exe").resolve() == program]
    if len(found) != 1:
        raise Unavailable(f"the sidecar runs {len(found)} Collectors where one is expected")
    return {PYTHON: pid, GO: found[0]}


def _descendants(pid: int) -> list[int]:
    children = [
        int(child)
        for task in Path(f"/proc/{pid}/task").iterdir()
        for child in (task / "children").read_text().split()
    ]
    return [*children, *(further for child in children for further in _descendants(child))]
