"""A gateway of real Collectors: those of sidecars, a balancer, gateways, and a sink behind each gateway."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from otel_prefect import semconv
from otel_prefect.collector import start as collector
from tests.support import otlp_sink
from tests.support.collector import running, variables
from tests.support.ports import free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from demo.processes import Processes
    from tests.support.collector import RunningCollector
    from tests.support.otlp_sink import OtlpSink


def listening(data_dir: Path, port: int, **layers: str) -> dict[str, str]:
    """Return variables of a gateway or a balancer on a loopback port."""
    (health,) = free_ports(1)
    return {
        **variables(data_dir, **layers),
        semconv.ENV_GATEWAY_ENDPOINT.name: f"127.0.0.1:{port}",
        semconv.ENV_GATEWAY_HEALTH_ENDPOINT.name: f"127.0.0.1:{health}",
    }


@contextlib.contextmanager
def gateway(
    processes: Processes, folder: Path, port: int, sink: OtlpSink, name: str = "gateway", **more: str
) -> Iterator[RunningCollector]:
    """Run a gateway that sends spans and logs to a sink; ``more`` are variables."""
    settings = {
        **listening(folder / name, port, traces="otlp", logs="otlp"),
        semconv.ENV_OTLP_ENDPOINT.name: f"127.0.0.1:{sink.grpc_port}",
        semconv.ENV_GATEWAY_SETTLE_SECONDS.name: "2",
        **more,
    }
    program = collector.find(distribution=collector.GATEWAY)
    with running(processes, program, settings, collector.GATEWAY, name) as started:
        yield started


@contextlib.contextmanager
def balancer(
    processes: Processes, folder: Path, port: int, gateways: list[int]
) -> Iterator[RunningCollector]:
    """Run a balancer before gateways on loopback ports."""
    settings = {
        **listening(folder / "balancer", port),
        semconv.ENV_GATEWAYS.name: ",".join(f"127.0.0.1:{each}" for each in gateways),
    }
    program = collector.find(distribution=collector.BALANCER)
    with running(processes, program, settings, collector.BALANCER, "balancer") as started:
        yield started


@contextlib.contextmanager
def sidecars(processes: Processes, folder: Path, count: int, port: int) -> Iterator[list[RunningCollector]]:
    """Run the Collectors of so many sidecars, with the layer that sends to a gateway or balancer."""
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(
                running(
                    processes,
                    collector.find(),
                    {
                        **variables(folder / f"sidecar-{number}", traces="otlp", logs="otlp"),
                        semconv.ENV_OTLP_ENDPOINT.name: f"127.0.0.1:{port}",
                    },
                    name=f"sidecar-{number}",
                )
            )
            for number in range(count)
        ]


@contextlib.contextmanager
def sinks(count: int) -> Iterator[list[OtlpSink]]:
    """Run so many sinks."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(otlp_sink.serving()) for _ in range(count)]
