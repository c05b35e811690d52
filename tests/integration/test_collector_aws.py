"""What the AWS layers write, read back from X-Ray and CloudWatch Logs (moto)."""

from __future__ import annotations

import asyncio
import json
import secrets
import socket
import time
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from aws_xray_sdk.core import AWSXRayRecorder
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from demo import aws
from demo.processes import Processes
from otel_prefect import ids, semconv
from otel_prefect.collector import start as collector
from sidecar.attributes import set_value
from sidecar.finished_runs import FinishedRuns
from tests.support import otlp
from tests.support.collector import RunningCollector, running, variables, wait_for
from tests.unit.test_sidecar_finished_runs import Kept, flow_span

if TYPE_CHECKING:
    from collections.abc import Iterator

STREAM = "task-1"
METRIC_GROUP = semconv.ENV_METRIC_LOG_GROUP.default
DAY = 86_400 * 10**9


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[aws.Aws, RunningCollector]]:
    """Moto, and a Collector with the three AWS layers that writes to it."""
    folder = tmp_path_factory.mktemp("aws")
    with Processes(folder) as processes:
        moto = aws.start(processes)
        settings = {
            **moto.variables(),
            **variables(folder, traces="xray", logs="cloudwatch", metrics="emf"),
            semconv.ENV_LOG_STREAM.name: STREAM,
        }
        with running(processes, collector.find(), settings) as started:
            yield moto, started


class Run:
    """A flow run of a test's own: its ids, and what its process says of itself."""

    def __init__(self) -> None:
        self.id = str(uuid.uuid4())
        self.trace_id = self.id.replace("-", "")
        self.xray_id = ids.xray_trace_id(int(self.trace_id, 16))
        self.resource = {
            "service.name": "ingestion",
            semconv.FLOW_RUN_ID: self.id,
            semconv.FLOW_NAME: "daily-sales",
            semconv.DEPLOYMENT_NAME: "prod",
            semconv.SOURCE: "shop",
            semconv.STAGE: "ingest",
        }


@pytest.fixture
def run() -> Run:
    return Run()


def segments(moto: aws.Aws, run: Run, count: int) -> dict[str, dict[str, Any]]:
    """Return the run's segment documents by id, once there are as many."""
    client = moto.client("xray")

    def read() -> list[dict[str, Any]]:
        traces = client.batch_get_traces(TraceIds=[run.xray_id])["Traces"]
        return [json.loads(each["Document"]) for trace in traces for each in trace["Segments"]]

    found = wait_for(read, lambda documents: len(documents) >= count)
    by_id = {document["id"]: document for document in found}
    assert len(by_id) == len(found) == count
    return by_id


def events(moto: aws.Aws, run: Run, count: int) -> list[tuple[int, dict[str, Any]]]:
    """Return the run's log events, each with CloudWatch's time in ms, once there are as many."""
    client = moto.client("logs")

    def read() -> list[tuple[int, dict[str, Any]]]:
        groups = client.describe_log_groups()["logGroups"]
        if semconv.ENV_LOG_GROUP.default not in {group["logGroupName"] for group in groups}:
            return []
        pages = client.get_paginator("filter_log_events").paginate(
            logGroupName=semconv.ENV_LOG_GROUP.default, logStreamNames=[STREAM]
        )
        found = [
            (event["timestamp"], json.loads(event["message"])) for page in pages for event in page["events"]
        ]
        return [each for each in found if each[1].get("flow_run_id") == run.id]

    found = wait_for(read, lambda each: len(each) >= count)
    assert len(found) == count
    return found


def test_a_process_is_a_segment_named_by_its_service_and_the_rest_are_subsegments(
    stand_in: tuple[aws.Aws, RunningCollector], run: Run
) -> None:
    moto, started = stand_in
    parent, root, child = (secrets.token_hex(8) for _ in range(3))
    started.send(
        otlp.traces(
            run.resource,
            otlp.span("load orders", run.trace_id, root, parent, flags=otlp.REMOTE_PARENT),
            otlp.span("insert", run.trace_id, child, root),
        )
    )
    found = segments(moto, run, 2)
    assert found[root]["name"] == "ingestion"
    assert "type" not in found[root]
    assert found[root]["parent_id"] == parent
    assert found[root]["annotations"] == {
        "flow_run_id": run.id,
        "flow_name": "daily-sales",
        "deployment": "prod",
        "source": "shop",
        "stage": "ingest",
        "operation": "load orders",
    }
    assert found[root]["metadata"]["default"]["otel.resource.prefect.flow-run.id"] == run.id
    assert found[root]["aws"]["cloudwatch_logs"] == [{"log_group": "/otel-prefect"}]
    assert found[child]["name"] == "insert"
    assert found[child]["type"] == "subsegment"
    assert found[child]["parent_id"] == root
    assert found[child]["annotations"]["flow_run_id"] == run.id
    assert "operation" not in found[child]["annotations"]
    assert found[child]["end_time"] - found[child]["start_time"] == pytest.approx(0.25, abs=1e-3)


def test_a_trace_id_that_is_a_random_uuid_is_taken(
    stand_in: tuple[aws.Aws, RunningCollector], run: Run
) -> None:
    """X-Ray's own ids begin with a time; a flow run's do not."""
    moto, started = stand_in
    run.trace_id = "ffffffff" + run.trace_id[8:]
    run.xray_id = ids.xray_trace_id(int(run.trace_id, 16))
    span_id = secrets.token_hex(8)
    started.send(otlp.traces(run.resource, otlp.span("flow", run.trace_id, span_id)))
    assert segments(moto, run, 1)[span_id]["trace_id"] == run.xray_id


def test_a_spans_own_flow_run_wins_over_its_processs(
    stand_in: tuple[aws.Aws, RunningCollector], run: Run
) -> None:
    moto, started = stand_in
    span_id = secrets.token_hex(8)
    own = {
        semconv.RECORD_FLOW_RUN_ID: "another",
        semconv.FLOW_NAME: "clean",
        semconv.DEPLOYMENT_NAME: "nightly",
    }
    started.send(otlp.traces(run.resource, otlp.span("subflow", run.trace_id, span_id, attributes=own)))
    annotations = segments(moto, run, 1)[span_id]["annotations"]
    found = {name: annotations[name] for name in ("flow_run_id", "flow_name", "deployment")}
    assert found == {"flow_run_id": "another", "flow_name": "clean", "deployment": "nightly"}


def test_a_failed_span_is_a_fault_with_its_exception(
    stand_in: tuple[aws.Aws, RunningCollector], run: Run
) -> None:
    moto, started = stand_in
    span_id = secrets.token_hex(8)
    exception = {"exception.type": "ValueError", "exception.message": "no <rows>", "exception.stacktrace": ""}
    event = {"name": "exception", "timeUnixNano": time.time_ns(), "attributes": otlp.key_values(exception)}
    span = otlp.span("load", run.trace_id, span_id, status={"code": 2}, events=[event])
    started.send(otlp.traces(run.resource, span))
    found = segments(moto, run, 1)[span_id]
    assert found["fault"] is True
    assert [(each["type"], each["message"]) for each in found["cause"]["exceptions"]] == [
        ("ValueError", "no <rows>")
    ]


def test_a_span_in_progress_is_a_segment_in_progress(
    stand_in: tuple[aws.Aws, RunningCollector], run: Run
) -> None:
    moto, started = stand_in
    span_id = secrets.token_hex(8)
    span = otlp.span("flow", run.trace_id, span_id, attributes={semconv.XRAY_IN_PROGRESS: True})
    started.send(otlp.traces(run.resource, span))
    found = segments(moto, run, 1)[span_id]
    assert found["in_progress"] is True
    assert "end_time" not in found


def test_segments_of_an_xray_sdk_come_through_with_parent_annotations_and_subsegments(
    stand_in: tuple[aws.Aws, RunningCollector], run: Run
) -> None:
    moto, started = stand_in
    parent = secrets.token_hex(8)
    recorder = AWSXRayRecorder()
    recorder.configure(
        sampling=False, daemon_address=started.environ[semconv.ENV_XRAY_UDP_ENDPOINT.name], plugins=()
    )
    segment = recorder.begin_segment("transform", traceid=run.xray_id, parent_id=parent)
    segment.put_annotation("flow_run_id", run.id)
    segment.put_metadata("rows", 10)
    subsegment = recorder.begin_subsegment("read")
    subsegment.put_annotation("files", 3)
    recorder.end_subsegment()
    recorder.end_segment()
    found = segments(moto, run, 2)
    assert found[segment.id]["name"] == "transform"
    assert found[segment.id]["parent_id"] == parent
    assert found[segment.id]["annotations"]["flow_run_id"] == run.id
    assert found[segment.id]["metadata"]["default"]["rows"] == 10
    assert found[subsegment.id]["name"] == "read"
    assert found[subsegment.id]["parent_id"] == segment.id
    assert found[subsegment.id]["annotations"] == {"files": 3}


def iso_milliseconds(at: int) -> str:
    """Always with three digits, so that times sort as text."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at // 1000)) + f".{at % 1000:03d}Z"


def test_a_log_record_is_one_json_object_with_what_a_person_searches_by(
    stand_in: tuple[aws.Aws, RunningCollector], run: Run
) -> None:
    moto, started = stand_in
    span_id = secrets.token_hex(8)
    attributes = {
        semconv.TASK_RUN_ID: "task-run",
        "exception.type": "KeyError",
        "exception.message": "'id'",
        "exception.stacktrace": 'File "<stdin>"',
        "code.line.number": 7,
        "log_group_name": "not-a-redirection",
    }
    record = otlp.record(
        'row "7" is <bad> é',
        trace_id=run.trace_id,
        span_id=span_id,
        severityText="WARNING",
        severityNumber=13,
        attributes=attributes,
    )
    started.send(otlp.logs(run.resource, record, logger="shop.load"))
    ((at, event),) = events(moto, run, 1)
    assert at == record["timeUnixNano"] // 10**6
    assert event.pop("timestamp") == iso_milliseconds(at)
    assert event == {
        "message": 'row "7" is <bad> é',
        "level": "WARN",
        "logger": "shop.load",
        "service": "ingestion",
        "flow_run_id": run.id,
        "flow_name": "daily-sales",
        "deployment": "prod",
        "source": "shop",
        "stage": "ingest",
        "task_run_id": "task-run",
        "trace_id": run.trace_id,
        "span_id": span_id,
        "xray_trace_id": run.xray_id,
        "exception": {"type": "KeyError", "message": "'id'", "stacktrace": 'File "<stdin>"'},
        "other": {"code.line.number": 7, "log_group_name": "not-a-redirection"},
    }


def test_a_record_without_a_trace_still_has_the_xray_trace_id_of_its_run(
    stand_in: tuple[aws.Aws, RunningCollector], run: Run
) -> None:
    moto, started = stand_in
    started.send(otlp.logs(run.resource, otlp.record("no span here")))
    ((_, event),) = events(moto, run, 1)
    assert event["xray_trace_id"] == run.xray_id
    assert "trace_id" not in event
    assert "span_id" not in event


def test_a_records_own_flow_run_wins_over_its_processs(
    stand_in: tuple[aws.Aws, RunningCollector], run: Run
) -> None:
    moto, started = stand_in
    resource = {**run.resource, semconv.FLOW_RUN_ID: str(uuid.uuid4())}
    record = otlp.record("of a subflow", attributes={semconv.RECORD_FLOW_RUN_ID: run.id})
    started.send(otlp.logs(resource, record))
    ((_, event),) = events(moto, run, 1)
    assert event["message"] == "of a subflow"


@pytest.mark.parametrize("off", [-20 * DAY, 3 * 3600 * 10**9], ids=["too old", "too far ahead"])
def test_a_record_that_cloudwatch_would_refuse_is_filed_under_now_and_keeps_its_time(
    stand_in: tuple[aws.Aws, RunningCollector], run: Run, off: int
) -> None:
    """Beside a good one: refused, it would have its whole batch sent again for ever."""
    moto, started = stand_in
    when = (time.time_ns() + off) // 10**9 * 10**9
    started.send(otlp.logs(run.resource, otlp.record("good"), otlp.record("odd", timeUnixNano=when)))
    found = {event["message"]: (at, event) for at, event in events(moto, run, 2)}
    at, event = found["odd"]
    assert abs(at / 1000 - time.time()) < 600
    assert event["retimed"] is True
    assert event["timestamp"] == iso_milliseconds(when // 10**6)
    assert "retimed" not in found["good"][1]


@pytest.mark.parametrize(
    ("body", "attributes"),
    [
        ("x" * 300_000, {}),
        ("\x01" * 100_000, {"exception.type": "E", "exception.stacktrace": "\x02" * 100_000}),
        ("short", {"nested": {"deep": "é" * 200_000}}),
    ],
    ids=["long message", "characters that JSON makes six of", "long attribute"],
)
def test_a_record_that_is_too_long_is_cut_and_stays_json(
    stand_in: tuple[aws.Aws, RunningCollector], run: Run, body: str, attributes: dict[str, Any]
) -> None:
    """The limit is the exporter's, 256 KiB: beyond it, it cuts without regard for what is inside."""
    moto, started = stand_in
    started.send(otlp.logs(run.resource, otlp.record(body, attributes=attributes)))
    ((_, event),) = events(moto, run, 1)
    assert event["truncated"] is True
    assert event["message"][:20] == body[:20]
    assert len(json.dumps(event, ensure_ascii=False).encode()) < 256 * 1024


def test_the_log_group_is_created_with_its_retention(
    stand_in: tuple[aws.Aws, RunningCollector], run: Run
) -> None:
    moto, started = stand_in
    started.send(otlp.logs(run.resource, otlp.record("first")))
    events(moto, run, 1)
    groups = moto.client("logs").describe_log_groups(logGroupNamePrefix=semconv.ENV_LOG_GROUP.default)
    retention = {group["logGroupName"]: group["retentionInDays"] for group in groups["logGroups"]}
    assert retention[semconv.ENV_LOG_GROUP.default] == 30


def metric_events(moto: aws.Aws, name: str) -> list[dict[str, Any]]:
    client = moto.client("logs")
    groups = client.describe_log_groups()["logGroups"]
    if METRIC_GROUP not in {group["logGroupName"] for group in groups}:
        return []
    page = client.get_log_events(logGroupName=METRIC_GROUP, logStreamName=STREAM, startFromHead=True)
    return [event for event in (json.loads(each["message"]) for each in page["events"]) if name in event]


def test_a_metrics_dimensions_have_few_values_and_no_run_in_them(
    stand_in: tuple[aws.Aws, RunningCollector], run: Run
) -> None:
    """CloudWatch bills each combination of values as a metric of its own."""
    moto, started = stand_in
    labels = {"table": "orders", semconv.RECORD_FLOW_RUN_ID: run.id, semconv.FLOW_RUN_NAME: "happy-otter"}
    started.send(otlp.counter(run.resource, "rows_loaded", 1234, "{row}", labels))
    (event,) = wait_for(lambda: metric_events(moto, "rows_loaded"), bool)
    (directive,) = event["_aws"]["CloudWatchMetrics"]
    assert directive["Namespace"] == "Prefect"
    assert [set(each) for each in directive["Dimensions"]] == [
        {"table", "flow_name", "deployment", "source", "stage"}
    ]
    assert directive["Metrics"] == [{"Name": "rows_loaded", "Unit": "Count", "StorageResolution": 60}]
    assert event["rows_loaded"] == 1234
    assert run.id not in json.dumps(event)


def test_a_statsd_counter_becomes_a_metric(stand_in: tuple[aws.Aws, RunningCollector]) -> None:
    moto, started = stand_in
    host, _, port = started.environ[semconv.ENV_STATSD_ENDPOINT.name].rpartition(":")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.sendto(b"legacy.rows:7|c|#source:crm", (host, int(port)))
    (event,) = wait_for(lambda: metric_events(moto, "legacy.rows"), bool)
    assert event["legacy.rows"] == 7
    assert event["source"] == "crm"


def test_a_finished_run_is_one_in_cloudwatch_by_state_flow_and_deployment(
    stand_in: tuple[aws.Aws, RunningCollector], run: Run
) -> None:
    """A sidecar lives for a run or some: its first and only value must not be taken for a starting point."""
    moto, started = stand_in

    async def counted() -> bytes:
        kept = Kept()
        finished = FinishedRuns(said, kept)
        span = flow_span(failed=True)
        for key, value in run.resource.items():
            set_value(span.resource.attributes.add(key=key).value, value)
        finished.ended([span])
        await finished.count_the_rest()
        return kept.bodies[0]

    async def said(_: uuid.UUID) -> str:
        return "FAILED"

    started.send(ExportMetricsServiceRequest.FromString(asyncio.run(counted())))
    (event,) = wait_for(lambda: metric_events(moto, semconv.METRIC_FINISHED_RUNS.name), bool)
    assert event[semconv.METRIC_FINISHED_RUNS.name] == 1
    (directive,) = event["_aws"]["CloudWatchMetrics"]
    (metric,) = directive["Metrics"]
    assert (metric["Name"], metric["Unit"]) == (semconv.METRIC_FINISHED_RUNS.name, "Count")
    dimensions = {"state": "failed", "flow_name": "daily-sales", "deployment": "prod"}
    assert {key: event[key] for key in dimensions} == dimensions
    assert [set(each) for each in directive["Dimensions"]] == [{*dimensions, "source", "stage"}]
