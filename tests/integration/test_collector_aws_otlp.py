"""What the layers for AWS's OTLP endpoints send, checked as AWS checks it: signature, limits, headers."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from demo.processes import Processes
from otel_prefect import semconv
from otel_prefect.collector import start as collector
from tests.support import aws_otlp, load, otlp
from tests.support.collector import running, variables, wait_for
from tests.support.otlp_sink import attributes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.aws_otlp import Endpoints
    from tests.support.collector import RunningCollector

RUN = "3c32c202-9955-4b90-b936-5fbd34f1a6d5"
TRACE = RUN.replace("-", "")
RESOURCE = {"service.name": "flow", semconv.FLOW_RUN_ID: RUN, "service.instance.id": "process-1"}
GROUP, STREAM = "/pipelines", "task-1"
DAY = 86_400 * 10**9
LARGE = "x" * 300_000
# A Resource as of a task on ECS with a long command line: over AWS's 16 KB.
LARGE_RESOURCE = {**RESOURCE, **{f"process.argument.{n}": "y" * 500 for n in range(60)}}


@pytest.fixture
def aws() -> Iterator[Endpoints]:
    with aws_otlp.serving() as endpoints:
        endpoints.groups.add((GROUP, STREAM))
        yield endpoints


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    with Processes(tmp_path) as owner:
        yield owner


def settings(folder: Path, aws: Endpoints, **layers: str) -> dict[str, str]:
    return {
        **variables(folder, **layers),
        **aws.variables(),
        semconv.ENV_LOG_GROUP.name: GROUP,
        semconv.ENV_LOG_STREAM.name: STREAM,
    }


def ids_of(spans: list[Any]) -> list[str]:
    return sorted(span.span_id.hex() for span in spans)


def words_of(records: list[Any]) -> list[str]:
    return sorted(record.body.string_value.partition(" ")[0] for record in records)


def send(started: RunningCollector, request: load.Request) -> None:
    """Send what was encoded already."""
    export = started.channel.unary_unary(load.METHODS[request.signal])
    export(request.body, timeout=10)


@pytest.mark.parametrize("layer", ["xray-otlp", "opensearch-ingestion"])
def test_every_span_arrives_once_signed_for_the_endpoints_service(
    processes: Processes, aws: Endpoints, tmp_path: Path, layer: str
) -> None:
    path = "/v1/traces" if layer == "xray-otlp" else "/ingestion/v1/traces"
    sent = [load.spans(100) for _ in range(20)]
    with running(processes, collector.find(), settings(tmp_path, aws, traces=layer)) as started:
        for request in sent:
            send(started, request)
        wait_for(lambda: len(aws.spans(path)), lambda count: count >= 2000)
    assert ids_of(aws.spans(path)) == sorted(id_ for request in sent for id_ in request.ids)
    assert not aws.refused
    assert {each.headers["content-encoding"] for each in aws.taken} == {"gzip"}


@pytest.mark.parametrize("layer", ["cloudwatch-otlp", "opensearch-ingestion"])
def test_every_log_record_arrives_once_with_its_group_and_stream_in_the_headers(
    processes: Processes, aws: Endpoints, tmp_path: Path, layer: str
) -> None:
    path = "/v1/logs" if layer == "cloudwatch-otlp" else "/ingestion/v1/logs"
    sent = [load.logs(100, "text") for _ in range(20)]
    with running(processes, collector.find(), settings(tmp_path, aws, logs=layer)) as started:
        for request in sent:
            send(started, request)
        wait_for(lambda: len(aws.records(path)), lambda count: count >= 2000)
    assert words_of(aws.records(path)) == sorted(id_ for request in sent for id_ in request.ids)
    assert not aws.refused
    if layer == "cloudwatch-otlp":
        headers = {(each.headers["x-aws-log-group"], each.headers["x-aws-log-stream"]) for each in aws.taken}
        assert headers == {(GROUP, STREAM)}


def test_a_metric_arrives_with_labels_of_few_values_and_its_processs_id(
    processes: Processes, aws: Endpoints, tmp_path: Path
) -> None:
    """Without the process's id the sums of two processes would be one series."""
    resource = {**RESOURCE, semconv.FLOW_NAME: "daily-sales", "aws.ecs.task.arn": "arn:1"}
    labels = {"table": "orders", semconv.RECORD_FLOW_RUN_ID: RUN}
    with running(processes, collector.find(), settings(tmp_path, aws, metrics="cloudwatch-otlp")) as started:
        started.send(otlp.counter(resource, "rows_loaded", 1234, "{row}", labels))
        wait_for(lambda: aws.messages("/v1/metrics"), bool)
    (of_resource,) = aws.messages("/v1/metrics")[0].resource_metrics
    assert attributes(of_resource.resource.attributes) == {
        "service.name": "flow",
        "service.instance.id": "process-1",
    }
    (point,) = of_resource.scope_metrics[0].metrics[0].sum.data_points
    assert point.as_int == 1234
    assert attributes(point.attributes) == {"table": "orders", "flow_name": "daily-sales"}


def test_many_data_points_with_many_labels_keep_to_the_limits(
    processes: Processes, aws: Endpoints, tmp_path: Path
) -> None:
    labels = {f"label.{n}": "x" * 1000 for n in range(200)}
    request = otlp.counter(RESOURCE, "rows_loaded", 0, "{row}", labels)
    (metric,) = request.resource_metrics[0].scope_metrics[0].metrics
    (point,) = metric.sum.data_points
    for number in range(1, 3000):
        metric.sum.data_points.add(
            time_unix_nano=point.time_unix_nano, as_int=number, attributes=point.attributes[:4]
        )
    with running(processes, collector.find(), settings(tmp_path, aws, metrics="cloudwatch-otlp")) as started:
        started.send(request)
        wait_for(lambda: len(values(aws)), lambda count: count >= 3000)
    assert sorted(values(aws)) == list(range(3000))
    assert not aws.refused


def values(aws: Endpoints) -> list[int]:
    return [
        point.as_int
        for message in aws.messages("/v1/metrics")
        for of_resource in message.resource_metrics
        for of_scope in of_resource.scope_metrics
        for metric in of_scope.metrics
        for point in metric.sum.data_points
    ]


def test_what_waits_in_the_queue_is_split_to_the_limits_of_a_request(
    processes: Processes, aws: Endpoints, tmp_path: Path
) -> None:
    """While AWS is away the queue grows to many times of what a request may have."""
    aws.faults = (aws_otlp.UNAVAILABLE,)
    spans, logs = [load.spans(3000) for _ in range(8)], [load.logs(3000) for _ in range(4)]
    large_spans = [load.spans(40, "z" * 55_000) for _ in range(5)]
    large_logs = [load.logs(20, "z" * 39_000) for _ in range(5)]
    layers = settings(tmp_path, aws, traces="xray-otlp", logs="cloudwatch-otlp")
    with running(processes, collector.find(), layers) as started:
        for request in [*spans, *logs, *large_spans, *large_logs]:
            send(started, request)
        wait_for(aws.refused.total, bool)
        aws.faults = (None,)
        wait_for(lambda: len(aws.spans()), lambda count: count >= 24_200, 60)
        wait_for(lambda: len(aws.records()), lambda count: count >= 12_100, 60)
    assert ids_of(aws.spans()) == sorted(id_ for each in [*spans, *large_spans] for id_ in each.ids)
    assert words_of(aws.records()) == sorted(id_ for each in [*logs, *large_logs] for id_ in each.ids)
    assert set(aws.refused) == {"503 ServiceUnavailableException"}
    assert aws.lost_spans == 0


def exception(stacktrace: str) -> dict[str, Any]:
    pairs = {"exception.type": "E", "exception.message": "m" * 5000, "exception.stacktrace": stacktrace}
    return {"name": "exception", "timeUnixNano": 1, "attributes": otlp.key_values(pairs)}


TOO_MUCH: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "a long attribute": (RESOURCE, {"attributes": otlp.key_values({"x": LARGE})}),
    "many attributes": (
        RESOURCE,
        {"attributes": otlp.key_values({f"key {n}": "x" * 3000 for n in range(120)})},
    ),
    "a deep attribute": (RESOURCE, {"attributes": otlp.key_values({"x": {"y": {"z": LARGE}}})}),
    "a list": (RESOURCE, {"attributes": otlp.key_values({"x": ["x" * 100] * 3000})}),
    "many exceptions": (RESOURCE, {"events": [exception(LARGE) for _ in range(100)]}),
    "a long name": (RESOURCE, {"name": LARGE}),
    "a long status": (RESOURCE, {"status": {"code": 2, "message": LARGE}}),
    "a large Resource": (LARGE_RESOURCE, {}),
    "all at once": (
        {**LARGE_RESOURCE, "telemetry.sdk.language": "python"},
        {
            "name": LARGE,
            "attributes": otlp.key_values({f"key {n}": {"y": "x" * 3000} for n in range(120)}),
            "events": [exception(LARGE) for _ in range(100)],
            "links": [{"traceId": otlp.id_(TRACE), "spanId": otlp.id_("00000000000000ff")}] * 128,
        },
    ),
}


def test_a_span_that_is_too_large_is_cut_and_takes_no_other_with_it(
    processes: Processes, aws: Endpoints, tmp_path: Path
) -> None:
    with running(processes, collector.find(), settings(tmp_path, aws, traces="xray-otlp")) as started:
        for number, (resource, fields) in enumerate(TOO_MUCH.values(), 1):
            span = {**otlp.span("step", TRACE, f"{number:016x}"), **fields}
            started.send(otlp.traces(resource, span, otlp.span("small", TRACE, f"{number + 100:016x}")))
        wait_for(lambda: len(aws.spans()), lambda count: count >= 2 * len(TOO_MUCH))
    assert not aws.refused
    assert aws.lost_spans == 0
    by_id = {span.span_id.hex(): span for span in aws.spans()}
    names = list(TOO_MUCH)
    cut = by_id[f"{names.index('a long attribute') + 1:016x}"]
    assert attributes(cut.attributes)["truncated"] is True
    small = by_id[f"{101:016x}"]
    assert "truncated" not in attributes(small.attributes)
    assert "events" not in attributes(small.attributes)


@pytest.mark.parametrize("off", [-20 * DAY, -DAY, 3 * 3600 * 10**9], ids=["too old", "a day", "ahead"])
def test_a_record_whose_time_is_not_taken_is_filed_under_now_and_keeps_it(
    processes: Processes, aws: Endpoints, tmp_path: Path, off: int
) -> None:
    when = (time.time_ns() + off) // 10**9 * 10**9
    with running(processes, collector.find(), settings(tmp_path, aws, logs="cloudwatch-otlp")) as started:
        started.send(otlp.logs(RESOURCE, otlp.record("good"), otlp.record("odd", timeUnixNano=when)))
        wait_for(lambda: len(aws.records()), lambda count: count >= 2)
    assert not aws.refused
    odd = next(record for record in aws.records() if record.body.string_value == "odd")
    assert abs(odd.time_unix_nano / 1e9 - time.time()) < 600
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(when // 10**9))
    found = attributes(odd.attributes)
    assert found["retimed"] is True
    assert str(found["timestamp"]).startswith(stamp)


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (LARGE, {}),
        ("word", {"attributes": {"exception.stacktrace": LARGE, "x": LARGE}}),
        ("word", {"attributes": {"deep": {"er": LARGE}}}),
        ({"a": {"b": LARGE}}, {}),
    ],
    ids=["message", "stack trace", "nested attribute", "body that is a map"],
)
def test_a_record_that_is_too_long_is_cut_and_says_so(
    processes: Processes, aws: Endpoints, tmp_path: Path, body: Any, fields: dict[str, Any]
) -> None:
    with running(processes, collector.find(), settings(tmp_path, aws, logs="cloudwatch-otlp")) as started:
        started.send(otlp.logs(LARGE_RESOURCE, otlp.record(body, **fields), otlp.record("small")))
        wait_for(lambda: len(aws.records()), lambda count: count >= 2)
    assert not aws.refused
    marks = [attributes(record.attributes).get("truncated") for record in aws.records()]
    assert marks == [True, None]


def test_throttling_loses_no_span_and_no_record(processes: Processes, aws: Endpoints, tmp_path: Path) -> None:
    """Three requests of four are throttled, with a time to wait in the answer."""
    aws.faults = (aws_otlp.THROTTLED, aws_otlp.THROTTLED, aws_otlp.UNAVAILABLE, None)
    spans, logs = [load.spans(100) for _ in range(5)], [load.logs(100) for _ in range(5)]
    layers = settings(tmp_path, aws, traces="xray-otlp", logs="cloudwatch-otlp")
    with running(processes, collector.find(), layers) as started:
        for request in [*spans, *logs]:
            send(started, request)
        wait_for(lambda: len(aws.spans()) + len(aws.records()), lambda count: count >= 1000, 60)
    assert ids_of(aws.spans()) == sorted(id_ for each in spans for id_ in each.ids)
    assert words_of(aws.records()) == sorted(id_ for each in logs for id_ in each.ids)
    assert aws.refused["429 ThrottlingException"] > 0


@pytest.mark.parametrize(
    "refusal", [aws_otlp.DENIED, aws_otlp.INTERNAL], ids=lambda refusal: str(refusal.status)
)
def test_what_the_exporter_takes_for_final_is_counted_as_given_up(
    processes: Processes, aws: Endpoints, tmp_path: Path, refusal: aws_otlp.Refusal
) -> None:
    """OTLP says that only 429, 502, 503 and 504 are to be tried again, and the exporter keeps to it."""
    aws.faults = (refusal,)
    with running(processes, collector.find(), settings(tmp_path, aws, traces="xray-otlp")) as started:
        started.send(otlp.traces(RESOURCE, otlp.span("step", TRACE, "00000000000000aa")))
        name = "otelcol_exporter_send_failed_spans"
        wait_for(lambda: started.own_metric(name, "otlp_http/xray"), lambda count: count == 1)
    assert f"HTTP Status Code {refusal.status}" in started.log()
