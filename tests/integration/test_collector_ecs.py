"""What containers and their task use, as a real Prometheus has it from the task metadata endpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from demo import prometheus
from demo.processes import Processes
from otel_prefect import prometheus_names, semconv
from otel_prefect.collector import start as collector
from tests.support import ecs_metadata
from tests.support.collector import running, variables, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from demo.prometheus import Prometheus
    from tests.support.ecs_metadata import EcsMetadata

MIB = 1024 * 1024
OFTEN = "receivers: {awsecscontainermetrics: {collection_interval: 1s}}"
FAMILY = {"task_family": "daily-sales"}
INGEST = {"container": "ingest", **FAMILY}


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    with Processes(tmp_path) as owner:
        yield owner


@pytest.fixture
def metadata() -> Iterator[EcsMetadata]:
    yield from ecs_metadata.serve()


@pytest.fixture
def server(processes: Processes, metadata: EcsMetadata, tmp_path: Path) -> Iterator[Prometheus]:
    """A Prometheus that a Collector in a task with one other container writes to."""
    own = tmp_path / "often.yaml"
    own.write_text(OFTEN)
    metadata.containers = [
        {"DockerId": "d1", "Name": "ingest", "KnownStatus": "RUNNING", "Image": "ingest:1"}
    ]
    started = prometheus.start(processes, tmp_path / "prometheus")
    environ = {
        **variables(tmp_path / "queue", metrics="prometheus"),
        semconv.ENV_PROMETHEUS_ENDPOINT.name: started.write_url,
        semconv.ENV_ECS_METADATA.name: metadata.url,
        semconv.ENV_COLLECTOR_CONFIG.name: str(own),
    }
    with running(processes, collector.find(), environ):
        yield started


def newest(server: Prometheus, declared: semconv.Metric) -> list[tuple[dict[str, str], float]]:
    return [
        ({key: text for key, text in labels.items() if key != "__name__"}, value)
        for labels, value in server.query(f"last_over_time({prometheus_names.metric(declared)}[1h])")
    ]


def wait_for_newest(
    server: Prometheus, declared: semconv.Metric, expected: list[tuple[dict[str, str], float]]
) -> None:
    wait_for(lambda: newest(server, declared), lambda found: found == expected)


def wait_for_received(server: Prometheus, total: int) -> None:
    query = "sum(sum_over_time(container_network_io_usage_rx_bytes_total[1h]))"
    wait_for(lambda: server.query(query), lambda found: found == [({}, total)])


def test_cpu_memory_and_disk_are_told_of_the_container_and_of_the_task_with_its_limits(
    server: Prometheus, metadata: EcsMetadata
) -> None:
    metadata.task = {
        "Limits": {"CPU": 0.5, "Memory": 1024},
        "EphemeralStorageMetrics": {"Utilized": 2100, "Reserved": 20496},
    }
    metadata.stats = {"d1": ecs_metadata.stats_of("d1", 500_000_000, 101 * MIB, 1000, 4096)}
    expected: dict[semconv.Metric, list[tuple[dict[str, str], float]]] = {
        semconv.METRIC_CONTAINER_CPU: [(INGEST, 0.25)],
        semconv.METRIC_CONTAINER_MEMORY: [(INGEST, 100)],
        semconv.METRIC_TASK_CPU: [(FAMILY, 256)],
        semconv.METRIC_TASK_CPU_RESERVED: [(FAMILY, 512)],
        semconv.METRIC_TASK_MEMORY: [(FAMILY, 100)],
        semconv.METRIC_TASK_MEMORY_RESERVED: [(FAMILY, 1024)],
        semconv.METRIC_TASK_DISK: [(FAMILY, 2100)],
        semconv.METRIC_TASK_DISK_RESERVED: [(FAMILY, 20496)],
    }
    for declared, values in expected.items():
        wait_for_newest(server, declared, values)


def test_network_and_disk_of_a_container_add_up_to_its_totals(
    server: Prometheus, metadata: EcsMetadata
) -> None:
    for step in (1, 2, 3):
        metadata.stats = {"d1": ecs_metadata.stats_of("d1", 1, MIB, 1000 * step, 4096 * step)}
        wait_for_received(server, 2000 * step)
    for declared, total in {
        semconv.METRIC_CONTAINER_RECEIVED: 6000,
        semconv.METRIC_CONTAINER_SENT: 12_000,
        semconv.METRIC_CONTAINER_READ: 3 * 4096,
        semconv.METRIC_CONTAINER_WRITTEN: 6 * 4096,
    }.items():
        query = f"sum_over_time({prometheus_names.metric(declared)}[1h])"
        assert server.query(query) == [(INGEST, total)]


def test_what_a_task_does_not_have_is_not_told_as_zero(server: Prometheus, metadata: EcsMetadata) -> None:
    metadata.stats = {"d1": ecs_metadata.stats_of("d1", 1, 5 * MIB, 1000, 4096)}
    wait_for_newest(server, semconv.METRIC_TASK_MEMORY, [(FAMILY, 4)])
    for declared in (
        semconv.METRIC_TASK_CPU_RESERVED,
        semconv.METRIC_TASK_MEMORY_RESERVED,
        semconv.METRIC_TASK_DISK,
        semconv.METRIC_TASK_DISK_RESERVED,
    ):
        assert newest(server, declared) == []
