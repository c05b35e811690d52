"""A real Collector with the shipped configuration, and a client that speaks OTLP to it."""

from __future__ import annotations

import secrets
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import grpc
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from demo.processes import direct, environment
from otel_prefect import semconv
from otel_prefect.collector import start as collector
from tests.support.ports import free_ports

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from demo.processes import Process, Processes

T = TypeVar("T")

_RESPONSES: dict[str, Any] = {
    "trace.v1.TraceService": ExportTraceServiceResponse,
    "logs.v1.LogsService": ExportLogsServiceResponse,
    "metrics.v1.MetricsService": ExportMetricsServiceResponse,
}


@dataclass
class RunningCollector:
    """A Collector that takes OTLP.

    Attributes:
        environ: what it was started with.
        process: it.
        channel: to its receiver.
    """

    environ: dict[str, str]
    process: Process
    channel: grpc.Channel

    def send(self, request: Any) -> None:
        """Send one ``Export…ServiceRequest``; raises grpc.RpcError where it is not acknowledged."""
        signal = type(request).__name__.removeprefix("Export").removesuffix("ServiceRequest").lower()
        service = next(name for name in _RESPONSES if name.startswith(signal))
        export = self.channel.unary_unary(
            f"/opentelemetry.proto.collector.{service}/Export",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=_RESPONSES[service].FromString,
        )
        export(request, timeout=10)

    def own_metric(self, name: str, exporter: str) -> float | None:
        """Return a metric of the Collector about one exporter; None where it has said nothing yet."""
        port = self.environ[semconv.ENV_COLLECTOR_METRICS_PORT.name]
        with direct.open(f"http://127.0.0.1:{port}/metrics", timeout=5) as response:
            lines = response.read().decode().splitlines()
        values = [
            float(line.rpartition(" ")[2])
            for line in lines
            if line.startswith(f"{name}{{") and f'exporter="{exporter}"' in line
        ]
        return sum(values) if values else None

    def log(self) -> str:
        """Return what it has said of itself."""
        return self.process.log.read_text()


def variables(data_dir: Path, **layers: str) -> dict[str, str]:
    """Return variables that keep a Collector off every fixed port, name and folder.

    Args:
        data_dir: takes its queues.
        layers: ``traces``, ``logs``, ``metrics``: the value of the variable; ``none`` where not given.
    """
    metrics, xray, xray_proxy, statsd, prometheus = (f"127.0.0.1:{port}" for port in free_ports(5))
    return {
        semconv.ENV_TRACES.name: layers.get("traces", "none"),
        semconv.ENV_LOGS.name: layers.get("logs", "none"),
        semconv.ENV_METRICS.name: layers.get("metrics", "none"),
        semconv.ENV_DATA_DIR.name: str(data_dir),
        semconv.ENV_COLLECTOR_SOCKET.name: f"otel-prefect-test-{secrets.token_hex(6)}",
        semconv.ENV_COLLECTOR_METRICS_PORT.name: metrics.rpartition(":")[2],
        semconv.ENV_XRAY_UDP_ENDPOINT.name: xray,
        semconv.ENV_XRAY_PROXY_ENDPOINT.name: xray_proxy,
        semconv.ENV_STATSD_ENDPOINT.name: statsd,
        semconv.ENV_PROMETHEUS_ENDPOINT.name: f"http://{prometheus}/api/v1/otlp/v1/metrics",
    }


@contextmanager
def running(
    processes: Processes,
    program: Path,
    settings: Mapping[str, str],
    distribution: collector.Distribution = collector.MAIN,
    name: str = "collector",
) -> Iterator[RunningCollector]:
    """Run a Collector while the block runs.

    Args:
        processes: the owner of the process.
        program: the Collector's binary.
        settings: variables, over an environment that leads to no real account.
        distribution: which of the two Collectors the program is.
        name: names its log file.
    """
    environ = collector.environment(environment(settings), distribution)
    target = collector.target(environ, distribution)
    command = [str(program), *collector.arguments(environ, distribution)]
    process = processes.start(name, command, env=environ, ready=lambda: _takes_data(target), timeout=60)
    # The name of a unix socket is no valid :authority for the Collector's HTTP/2 server.
    channel = grpc.insecure_channel(target, options=[("grpc.default_authority", "localhost")])
    try:
        yield RunningCollector(environ, process, channel)
    finally:
        channel.close()
        process.stop()


def _takes_data(target: str) -> bool:
    channel = grpc.insecure_channel(target, options=[("grpc.default_authority", "localhost")])
    try:
        grpc.channel_ready_future(channel).result(timeout=0.5)
    except grpc.FutureTimeoutError:
        return False
    finally:
        channel.close()
    return True


def wait_for(read: Callable[[], T], enough: Callable[[T], bool], seconds: float = 30) -> T:
    """Read until it is enough, and return what was read; fails with the last reading after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not enough(found := read()):
        assert time.monotonic() < deadline, f"still not there after {seconds} s; last read: {found!r}"
        time.sleep(0.2)
    return found
