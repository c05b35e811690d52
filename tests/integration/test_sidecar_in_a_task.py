"""A real sidecar in an ECS task, as the metadata endpoint tells of it: a killed container, a drain."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import grpc
import pytest

from otel_prefect import semconv
from tests.support import ecs_metadata, sidecar
from tests.unit.test_sidecar_open_spans import RUN, request, span_id

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.ecs_metadata import EcsMetadata
    from tests.support.otlp_sink import OtlpSink
    from tests.support.sidecar import RunningSidecar

TRACES = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
FLOW = {"DockerId": "c-1", "Name": "prefect", "KnownStatus": "RUNNING"}


@pytest.fixture
def metadata() -> Iterator[EcsMetadata]:
    yield from ecs_metadata.serve()


def start(metadata: EcsMetadata, sink: OtlpSink) -> dict[str, str]:
    metadata.containers = [dict(FLOW)]
    return {
        "OTEL_PREFECT_TRACES": "otlp",
        "OTEL_PREFECT_LOGS": "otlp",
        "OTEL_PREFECT_OTLP_ENDPOINT": f"127.0.0.1:{sink.grpc_port}",
        "ECS_CONTAINER_METADATA_URI_V4": metadata.url,
    }


def export(running: RunningSidecar, body: bytes) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{running.grpc_port}") as channel:
        channel.unary_unary(TRACES)(body, timeout=10)


def test_a_killed_container_shows_as_a_failed_run_with_its_exit_code(
    metadata: EcsMetadata, sink: OtlpSink, tmp_path: Path
) -> None:
    with sidecar.running(tmp_path, **start(metadata, sink)) as running:
        export(running, request(1, 2, open_=True))
        export(running, request(2, open_=False))
        metadata.containers[0].update(
            KnownStatus="STOPPED", ExitCode=137, FinishedAt="2026-03-01T03:00:07.620912337Z"
        )
        assert sink.wait_for(lambda _: len(sink.logs()) >= 1 and len(sink.spans()) >= 2)
        running.stop()
    closed = next(span for span in sink.spans() if span.record.span_id == span_id(1))
    assert closed.attributes[semconv.CLOSED_BY] == "sidecar"
    assert "exit code 137" in closed.record.status.message
    assert closed.record.end_time_unix_nano == 1_772_334_007_620_912_337
    assert closed.resource["aws.ecs.task.family"] == "daily-sales"
    ended = [span for span in sink.spans() if span.record.span_id == span_id(2)]
    assert [semconv.CLOSED_BY in span.attributes for span in ended] == [False]
    (log,) = sink.logs()
    assert (log.record.severity_text, log.attributes["flow_run_id"]) == ("FATAL", RUN)


def test_while_its_container_runs_a_run_stays_open(
    metadata: EcsMetadata, sink: OtlpSink, tmp_path: Path
) -> None:
    with sidecar.running(tmp_path, **start(metadata, sink)) as running:
        export(running, request(1, open_=True))
        metadata.containers.append(
            {"DockerId": "c-2", "Name": "init", "KnownStatus": "STOPPED", "ExitCode": 0}
        )
        time.sleep(3)
        assert sink.spans() == sink.started() == []
        export(running, request(1, open_=False))
        metadata.containers[0]["KnownStatus"] = "STOPPED"
        running.stop()
    assert [semconv.CLOSED_BY in span.attributes for span in sink.spans()] == [False]
    assert sink.logs() == []


def test_a_drain_goes_on_while_the_flows_container_lives_and_ends_when_it_has_ended(
    metadata: EcsMetadata, sink: OtlpSink, tmp_path: Path
) -> None:
    with sidecar.running(tmp_path, **start(metadata, sink)) as running:
        export(running, request(1, open_=True))
        running.process.send_signal(signal.SIGTERM)
        time.sleep(2)
        export(running, request(1, open_=False))
        metadata.containers[0].update(KnownStatus="STOPPED", ExitCode=0)
        accounts = running.stop(timeout=10)
    assert accounts["accepted"]["traces"] == 2
    assert accounts["delivered"]["traces"] == {"otlp_grpc/traces": 1}


def test_what_is_still_open_when_the_task_is_stopped_is_closed(
    metadata: EcsMetadata, sink: OtlpSink, tmp_path: Path
) -> None:
    with sidecar.running(tmp_path, **start(metadata, sink), OTEL_PREFECT_DRAIN_SECONDS="2") as running:
        export(running, request(1, open_=True))
        running.stop()
    (closed,) = sink.spans()
    assert closed.attributes[semconv.CLOSED_BY] == "sidecar"
    assert "the task was stopped" in closed.record.status.message
