"""Starts a real sidecar with a real Collector on free ports, and reads its accounts when it ends."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.ports import free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
COMMAND = (sys.executable, "-m", "sidecar")


@dataclass
class RunningSidecar:
    """A sidecar that was started.

    Attributes:
        process: ``python -m sidecar``.
        grpc_port: of OTLP/gRPC.
        http_port: of OTLP/HTTP.
        health_port: of ``/healthz`` and ``/metrics``.
        environ: what it was started with.
        stderr: the file with its log and the Collector's.
    """

    process: subprocess.Popen[bytes]
    grpc_port: int
    http_port: int
    health_port: int
    environ: dict[str, str]
    stderr: Path
    accounts: dict[str, Any] = field(default_factory=dict)

    def health(self) -> int:
        """Return the status of ``/healthz``; 0 where nothing answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.health_port}/healthz", timeout=2) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def spans_taken(self) -> int:
        """Return how many spans it has taken, starts and ends."""
        found = [
            float(line.rpartition(" ")[2])
            for line in self.metrics().splitlines()
            if line.startswith("prefect_sidecar_records") and 'traces"' in line and 'accepted"' in line
        ]
        return int(sum(found))

    def metrics(self) -> str:
        """Return what ``/metrics`` shows."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.health_port}/metrics", timeout=2) as answer:
            return str(answer.read().decode())

    def wait_healthy(self, timeout: float = 30) -> None:
        """Wait for ``/healthz`` to say 200; fails with the log where it does not come to that."""
        deadline = time.monotonic() + timeout
        while self.health() != 200:
            assert self.process.poll() is None, f"the sidecar ended: {self.stderr.read_text()}"
            assert time.monotonic() < deadline, f"not healthy after {timeout} s: {self.stderr.read_text()}"
            time.sleep(0.02)

    def collector_pid(self) -> int:
        """Return the pid of the managed Collector."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        assert len(children) == 1, f"one child is expected: {children}"
        return int(children[0])

    def stop(self, timeout: float = 40) -> dict[str, Any]:
        """Send SIGTERM; return the accounts. Fails where the exit code is not 0."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        out, _ = self.process.communicate(timeout=timeout)
        assert self.process.returncode == 0, f"exit code {self.process.returncode}: {self.stderr.read_text()}"
        self.accounts = json.loads(out.decode().strip().splitlines()[-1])
        return self.accounts


def environment(data_dir: Path, **variables: str) -> dict[str, str]:
    """Return an environment on free ports for ``python -m sidecar``; ``variables`` are added."""
    names = ("GRPC", "HTTP", "HEALTH", "STATSD", "XRAY_UDP")
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    keep = {
        key: value
        for key, value in os.environ.items()
        if key in ("PATH", "HOME", "LANG", "OTELCOL_BIN", "SSL_CERT_FILE")
    }
    return {
        **keep,
        **{f"OTEL_PREFECT_{name}_ENDPOINT": f"127.0.0.1:{port}" for name, port in ports.items()},
        "OTEL_PREFECT_XRAY_PROXY_ENDPOINT": f"127.0.0.1:{ports['XRAY_UDP']}",
        "OTEL_PREFECT_DATA_DIR": str(data_dir),
        "OTEL_PREFECT_TRACES": "none",
        "OTEL_PREFECT_LOGS": "none",
        "OTEL_PREFECT_METRICS": "none",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        **variables,
    }


def launch(
    directory: Path, environ: dict[str, str], prefix: tuple[str, ...] = (), cwd: Path = ROOT
) -> RunningSidecar:
    """Start a sidecar and return at once; ``prefix`` is a program that runs it."""
    stderr = directory / "sidecar.stderr"
    command = (*prefix, *COMMAND)
    with stderr.open("ab") as log:
        process = subprocess.Popen(command, cwd=cwd, env=environ, stdout=subprocess.PIPE, stderr=log)
    port = {
        name: int(environ[f"OTEL_PREFECT_{name}_ENDPOINT"].rpartition(":")[2])
        for name in ("GRPC", "HTTP", "HEALTH")
    }
    return RunningSidecar(process, port["GRPC"], port["HTTP"], port["HEALTH"], environ, stderr)


@contextlib.contextmanager
def running(directory: Path, **variables: str) -> Iterator[RunningSidecar]:
    """Run a healthy sidecar with its data under ``directory``; it is killed at the end if it still runs."""
    with healthy(launch(directory, environment(directory / "data", **variables))) as sidecar:
        yield sidecar


@contextlib.contextmanager
def healthy(sidecar: RunningSidecar) -> Iterator[RunningSidecar]:
    """Wait until a sidecar is healthy; kill it at the end if it still runs."""
    try:
        sidecar.wait_healthy()
        yield sidecar
    finally:
        if sidecar.process.poll() is None:
            sidecar.process.kill()
        sidecar.process.communicate()
