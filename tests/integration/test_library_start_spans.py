"""A run is seen while it runs, and as failed when its container is killed: library, sidecar and Collector."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from demo import aws, prefect_server, readback
from demo.processes import Processes, environment
from otel_prefect import semconv
from tests.support import ecs_metadata, sidecar
from tests.support.collector import wait_for
from tests.support.killed_flow import CONTAINER, kill_in_mid_task
from tests.support.process_state import RUN_ID

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.ecs_metadata import EcsMetadata
    from tests.support.otlp_sink import OtlpSink, Received

BIN = Path(sys.executable).parent
RUN = str(BIN / "otel-prefect")


@pytest.fixture
def metadata() -> Iterator[EcsMetadata]:
    yield from ecs_metadata.serve()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[prefect_server.PrefectServer]:
    with Processes(tmp_path / "logs") as processes:
        yield prefect_server.start(processes, tmp_path / "home")


def exception_of(span: Received) -> dict[str, Any]:
    (event,) = span.record.events
    assert event.name == "exception"
    return {attribute.key: attribute.value.string_value for attribute in event.attributes}


def test_a_flow_that_is_killed_in_a_task_shows_as_failed_with_the_signal(
    server: prefect_server.PrefectServer, metadata: EcsMetadata, sink: OtlpSink, tmp_path: Path
) -> None:
    other = {"DockerId": "c-2", "Name": "proxy", "KnownStatus": "RUNNING"}
    out = {
        "OTEL_PREFECT_TRACES": "otlp",
        "OTEL_PREFECT_LOGS": "otlp",
        "OTEL_PREFECT_OTLP_ENDPOINT": f"127.0.0.1:{sink.grpc_port}",
        "ECS_CONTAINER_METADATA_URI_V4": metadata.url,
    }
    with sidecar.running(tmp_path, **out) as running:
        now = kill_in_mid_task(metadata, server, running, other)
        assert sink.wait_for(lambda _: len(sink.spans()) >= 3 and fatal(sink))
        other["KnownStatus"] = "STOPPED"
        running.stop()
    by_type = {
        (span.attributes["prefect.run.type"], span.attributes.get(semconv.CLOSED_BY)): span
        for span in sink.spans()
    }
    assert set(by_type) == {("flow", "sidecar"), ("task", "sidecar"), ("task", None)}
    assert len(sink.spans()) == 3
    flow, load = by_type["flow", "sidecar"], by_type["task", "sidecar"]
    assert by_type["task", None].record.name == "task extract"
    assert load.record.name == "task load"
    run_id = flow.attributes["prefect.run.id"]
    for span in (flow, load):
        assert span.record.trace_id == UUID(run_id).bytes
        assert span.record.status.code == span.record.status.STATUS_CODE_ERROR
        assert exception_of(span)["exception.type"] == "SIGKILL"
        assert "exit code 137" in exception_of(span)["exception.message"]
        assert span.record.end_time_unix_nano == int(now.timestamp()) * 10**9 + now.microsecond * 1000
        assert span.attributes["flow_run_id"] == run_id
        assert span.resource["container.id"] == CONTAINER
    assert load.record.parent_span_id == flow.record.span_id
    (record,) = fatal(sink)
    assert record.attributes["flow_run_id"] == run_id
    assert sink.started() == []


def fatal(sink: OtlpSink) -> list[Received]:
    return [log for log in sink.logs() if log.record.severity_text == "FATAL"]


def test_a_program_is_in_progress_in_xray_while_it_runs_and_finished_when_it_has_ended(
    tmp_path: Path,
) -> None:
    with Processes(tmp_path / "logs") as processes:
        moto = aws.start(processes)
        with sidecar.running(tmp_path, **moto.variables(), OTEL_PREFECT_TRACES="xray") as running:
            variables = {
                "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{running.http_port}",
                "PREFECT_FLOW_RUN_ID": RUN_ID,
            }
            process = subprocess.Popen(
                [RUN, "run", "--", "cat"], env=environment(variables), stdin=subprocess.PIPE
            )
            client = moto.client("xray")
            seen = wait_for(lambda: readback.xray(client, RUN_ID), lambda trace: bool(trace.segments))
            ((id_, segment),) = seen.segments.items()
            assert (segment.name, segment.status, segment.end) == ("cat", "in progress", None)
            assert segment.annotations["flow_run_id"] == RUN_ID
            assert [document["in_progress"] for document in seen.documents] == [True]
            process.communicate(timeout=30)
            seen = wait_for(lambda: readback.xray(client, RUN_ID), lambda trace: len(trace.documents) > 1)
            running.stop()
    assert list(seen.segments) == [id_]
    assert seen.segments[id_].status == "ok"
    assert seen.segments[id_].start == segment.start
    assert seen.repeated == 0


@pytest.mark.parametrize(
    ("variables", "started", "shown"),
    [
        ({}, 1, 0),
        ({"OTEL_PREFECT_START_SPANS": "false"}, 0, 0),
        ({"OTEL_TRACES_EXPORTER": "console,otlp"}, 1, 1),
        ({"OTEL_TRACES_SAMPLER": "always_off"}, 0, 0),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, 1, 0),
    ],
)
def test_the_start_of_a_run_goes_where_it_is_wanted_and_its_end_once(
    sink: OtlpSink, variables: dict[str, str], started: int, shown: int
) -> None:
    port = sink.grpc_port if "OTEL_EXPORTER_OTLP_PROTOCOL" in variables else sink.http_port
    env = environment({"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}", **variables})
    done = subprocess.run(
        [RUN, "run", "--", "sleep", "2"], env=env, capture_output=True, text=True, check=True, timeout=60
    )
    assert (len(sink.started()), done.stdout.count('"name": "sleep"')) == (started, shown)
    assert len(sink.spans()) == (0 if "OTEL_TRACES_SAMPLER" in variables else 1)
    assert done.stderr == ""


FORKS = """
import os, sys, time
from opentelemetry import trace
tracer = trace.get_tracer("prefect")
run = {"prefect.run.type": "task", "prefect.run.id": "0195f4d2-7c3e-7d11-8a55-1f2e3d4c5b6a"}
with tracer.start_as_current_span("parent", attributes=run):
    time.sleep(1)
    child = os.fork()
    with tracer.start_as_current_span("after", attributes=run):
        time.sleep(1)
    if child == 0:
        trace.get_tracer_provider().force_flush()
        os._exit(0)
    os.waitpid(child, 0)
"""


def test_a_forked_child_tells_of_its_own_runs_and_not_of_its_parents(sink: OtlpSink) -> None:
    env = environment({"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{sink.http_port}"})
    command = [str(BIN / "opentelemetry-instrument"), sys.executable, "-c", FORKS]
    subprocess.run(command, env=env, check=True, timeout=60)
    assert sorted(span.record.name for span in sink.started()) == ["after", "after", "parent"]
    ids = {span.record.span_id for span in sink.started()}
    assert len(ids) == 3
    assert {span.record.span_id for span in sink.spans()} == ids


OWN = """
import time
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
own = TracerProvider()
own.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter()))
trace.set_tracer_provider(own)
from otel_prefect import configuration
configuration.configure("this test")
run = {"prefect.run.type": "task", "prefect.run.id": "0195f4d2-7c3e-7d11-8a55-1f2e3d4c5b6a"}
with trace.get_tracer("prefect").start_as_current_span("load", attributes=run):
    time.sleep(1)
"""


def test_a_provider_of_the_programs_own_sends_ends_only(sink: OtlpSink) -> None:
    env = environment({"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{sink.http_port}"})
    subprocess.run([sys.executable, "-c", OWN], env=env, check=True, timeout=60)
    assert sink.started() == []
    assert sink.span("load").attributes["prefect.run.type"] == "task"
