"""What X-Ray would not take is made such that it takes it; what the exporter does to the rest is pinned.

The exporter is awsxray v0.156.0. Where a test of the second half fails after an upgrade, the exporter has
changed: then see docs/collector.md, and what stands in collector-config/traces/xray.yaml because of it.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import pytest

from demo.processes import Processes
from otel_prefect import semconv
from otel_prefect.collector import start as collector
from tests.support import aws_faults, otlp
from tests.support.aws_faults import MAX_DOCUMENT_BYTES, Fault
from tests.support.collector import running, variables, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.aws_faults import Aws
    from tests.support.collector import RunningCollector

RUN = "3c32c202-9955-4b90-b936-5fbd34f1a6d5"
TRACE = RUN.replace("-", "")
RESOURCE = {"service.name": "flow", "prefect.flow-run.id": RUN}
PARENT = "00000000000000ff"
LARGE = "x" * 100_000


@pytest.fixture
def aws() -> Iterator[Aws]:
    region = aws_faults.region()
    region.keep_documents = True
    with aws_faults.serving(region):
        yield region


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    with Processes(tmp_path) as owner:
        yield owner


def settings(folder: Path, aws: Aws, own: str = "") -> dict[str, str]:
    keys = {"AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    result = {**variables(folder, traces="xray"), **aws.variables(), **keys}
    if own:
        (folder / "own.yaml").write_text(own)
        result[semconv.ENV_COLLECTOR_CONFIG.name] = str(folder / "own.yaml")
    return result


def exception(stacktrace: str, message: str = "m", kind: str = "E") -> dict[str, Any]:
    attributes = {
        "exception.type": kind,
        "exception.message": message,
        "exception.stacktrace": stacktrace,
    }
    return {"name": "exception", "timeUnixNano": 1, "attributes": otlp.key_values(attributes)}


def traceback(frames: int) -> str:
    frame = '  File "/usr/lib/python3.11/site-packages/a/module.py", line 12, in <module>\n    call()\n'
    return "Traceback (most recent call last):\n" + frame * frames + "ValueError: bad\n"


def sent(it: RunningCollector, resource: dict[str, Any], fields: dict[str, Any], number: int) -> str:
    """Send one span in the middle of a trace; return its id."""
    span_id = f"{number:016x}"
    name = fields.get("name", "step")
    rest = {key: value for key, value in fields.items() if key != "name"}
    it.send(otlp.traces({**RESOURCE, **resource}, otlp.span(name, TRACE, span_id, PARENT, **rest)))
    return span_id


TOO_MUCH: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "a long attribute": ({}, {"attributes": {"x": LARGE}}),
    "many attributes": ({}, {"attributes": {f"key {n}": "x" * 2000 for n in range(60)}}),
    "a deep attribute": ({}, {"attributes": {"x": {"y": {"z": LARGE}}}}),
    "a list": ({}, {"attributes": {"x": ["x" * 100] * 1000}}),
    "what JSON escapes": ({}, {"attributes": {f"key {n}": '"<\x01' * 1000 for n in range(10)}}),
    "a long statement": ({}, {"attributes": {"db.system": "postgresql", "db.statement": LARGE}}),
    "a long URL": ({}, {"attributes": {"http.method": "GET", "http.url": "http://x/" + LARGE}}),
    "a long name": ({}, {"name": LARGE, "attributes": {"db.system": "postgresql"}}),
    "a long status": ({}, {"status": {"code": 2, "message": LARGE}}),
    "many exceptions": ({}, {"events": [exception(traceback(100), LARGE) for _ in range(40)]}),
    "Python's exceptions": (
        {"telemetry.sdk.language": "python"},
        {"events": [exception(traceback(200), LARGE) for _ in range(40)]},
    ),
    "a large Resource": ({f"key {n}": "x" * 2000 for n in range(60)}, {"kind": otlp.SERVER}),
    "a long name of a service": ({"service.name": "x" * 300}, {"kind": otlp.SERVER}),
    "an odd name of a service": ({"service.name": "load (prod)!"}, {"kind": otlp.SERVER}),
    "an odd name of a peer": ({}, {"attributes": {"peer.service": "x(y)" * 100}}),
    "128 links, as many as an SDK allows": (
        {},
        {
            "links": [{"traceId": otlp.id_(TRACE), "spanId": otlp.id_(PARENT)}] * 128,
            "attributes": {"x": LARGE},
        },
    ),
}


def test_what_is_too_much_for_xray_is_cut_and_not_lost(
    processes: Processes, aws: Aws, tmp_path: Path
) -> None:
    with running(processes, collector.find(), settings(tmp_path, aws)) as it:
        names = {
            sent(it, resource, fields, number): name
            for number, (name, (resource, fields)) in enumerate(TOO_MUCH.items(), 1)
        }
        wait_for(lambda: len(aws.segments) + len(aws.unprocessed), lambda count: count >= len(names))
    refused = [(names[span_id], why) for span_id, why in aws.unprocessed]
    assert refused == []
    assert {names[span_id] for span_id in aws.segments} == set(names.values())
    documents = {names[span_id]: document for span_id, document in aws.documents.items()}
    for name, document in documents.items():
        assert document["annotations"]["flow_run_id"] == RUN, name
        assert len(json.dumps(document)) < MAX_DOCUMENT_BYTES
    assert documents["a long attribute"]["metadata"]["default"]["truncated"] is True
    assert documents["many attributes"]["metadata"]["default"]["key 7"] == "x" * 200
    assert documents["a deep attribute"]["metadata"]["default"]["truncated"].startswith('{"flow_run_id"')
    assert documents["an odd name of a service"]["name"] == "load prod"
    python = documents["Python's exceptions"]
    assert [len(each.get("stack", ())) > 10 for each in python["cause"]["exceptions"]] == [True] * 4
    assert python["metadata"]["default"]["exceptions"] == 40


def test_a_span_with_a_number_that_json_has_not_arrives_without_its_attributes(
    processes: Processes, aws: Aws, tmp_path: Path
) -> None:
    """The exporter drops such a span with a word at debug level only."""
    with running(processes, collector.find(), settings(tmp_path, aws)) as it:
        request = otlp.traces(RESOURCE, otlp.span("step", TRACE, "01" * 8, PARENT, attributes={"x": 1.5}))
        request.resource_spans[0].scope_spans[0].spans[0].attributes[0].value.double_value = math.nan
        it.send(request)
        wait_for(lambda: len(aws.segments), bool)
    document = aws.documents["01" * 8]
    assert document["annotations"]["flow_run_id"] == RUN
    assert "NaN" in document["metadata"]["default"]["truncated"]


# The first is what Python 3.11 prints of code without source, chained, with a message of two lines.
POISON = {
    "python: a message that ends in a colon": (
        "python",
        'Traceback (most recent call last):\n  File "<frozen a>", line 1, in f\n'
        "ValidationError: bad\ndetail:\n\n"
        "During handling of the above exception, another exception occurred:\n\n"
        'Traceback (most recent call last):\n  File "b.py", line 2, in g\n    h()\nKeyError: 1\n',
    ),
    "python: no message": (
        "python",
        'T\n  File "a", line 1, in f\nDuring handling of the above exception, another exception occurred:\n'
        '\n  File "b.py", line 2, in g\nE: m\n',
    ),
    "python: a file without a name": ("python", "T\n  File x, y, z\nE: m\n"),
    "java: cut off behind the colon": ("java", "java.lang.X: m\n\tat a.b(C.java:1)\nCaused by: Foo:"),
    "php: cut off behind the colon": ("php", "X: m\n\tat a(C.php:1)\nCaused by: Foo:\n"),
    "dotnet: no method": ("dotnet", "X: m\n   at in x\n"),
    "dotnet: no number of the line": ("dotnet", "X: m\n   at Foo() in x.cs:line"),
}


def test_no_stack_trace_kills_the_collector(processes: Processes, aws: Aws, tmp_path: Path) -> None:
    """Each of these is a panic in the exporter, and the span in the queue would be the next one's death."""
    with running(processes, collector.find(), settings(tmp_path, aws)) as it:
        for number, (language, stacktrace) in enumerate(POISON.values(), 1):
            fields = {"events": [exception(stacktrace)]}
            sent(it, {"telemetry.sdk.language": language}, fields, number)
        wait_for(lambda: len(aws.segments), lambda count: count >= len(POISON))
    first = aws.documents[f"{1:016x}"]["cause"]["exceptions"][0]
    assert [frame["label"] for frame in first["stack"]] == ["g", "f"]


# --- what the exporter does, pinned --------------------------------------------------------------

WITHOUT_LIMITS = """
service: {pipelines: {traces/xray-segments: {processors: [memory_limiter, transform/xray]}}}
"""


def test_pinned_without_the_limits_a_stack_trace_kills_the_collector(
    processes: Processes, aws: Aws, tmp_path: Path
) -> None:
    with running(processes, collector.find(), settings(tmp_path, aws, WITHOUT_LIMITS)) as it:
        language, stacktrace = POISON["python: a message that ends in a colon"]
        sent(it, {"telemetry.sdk.language": language}, {"events": [exception(stacktrace)]}, 1)
        wait_for(it.log, lambda log: "panic: runtime error: slice bounds out of range" in log)


def test_pinned_what_xray_answers_of_unprocessed_segments_is_not_looked_at(
    processes: Processes, aws: Aws, tmp_path: Path
) -> None:
    """A span id of zeros is not valid in OTLP either; nothing else is known that the limits let through."""
    with running(processes, collector.find(), settings(tmp_path, aws)) as it:
        it.send(otlp.traces(RESOURCE, *(otlp.span("step", TRACE, digit * 16, PARENT) for digit in "01")))
        wait_for(lambda: it.own_metric("otelcol_exporter_sent_spans", "awsxray"), lambda count: count == 2)
        assert (len(aws.segments), len(aws.unprocessed)) == (1, 1)
        assert not it.own_metric("otelcol_exporter_send_failed_spans", "awsxray")
        assert "nprocessed" not in it.log()


def test_pinned_a_call_that_xray_calls_invalid_is_given_up_with_an_error_and_counted(
    processes: Processes, aws: Aws, tmp_path: Path
) -> None:
    aws.faults = (Fault.INVALID,)
    with running(processes, collector.find(), settings(tmp_path, aws)) as it:
        sent(it, {}, {}, 1)
        failed = "otelcol_exporter_send_failed_spans"
        wait_for(lambda: it.own_metric(failed, "otlp_grpc/loop-xray"), lambda count: count == 1)
        assert "Dropping data" in it.log()
        assert "InvalidRequestException" in it.log()


# So many at once that the tests see in seconds what takes the shipped two consumers five minutes.
MANY_CONSUMERS = """
exporters:
  otlp_grpc/loop-xray:
    sending_queue: {num_consumers: 60, batch: {flush_timeout: 10ms, min_size: 1, max_size: 1}}
"""


def test_pinned_throttling_without_an_end_is_given_up_and_counted(
    processes: Processes, aws: Aws, tmp_path: Path
) -> None:
    """The AWS SDK has 500 tokens, a retry costs 5, and then throttling is the client's mistake."""
    aws.faults = (Fault.THROTTLE,)
    with running(processes, collector.find(), settings(tmp_path, aws, MANY_CONSUMERS)) as it:
        for number in range(1, 61):
            sent(it, {}, {}, number)
        failed = "otelcol_exporter_send_failed_spans"
        wait_for(lambda: it.own_metric(failed, "otlp_grpc/loop-xray"), bool)
        assert "retry quota exceeded" in it.log()
