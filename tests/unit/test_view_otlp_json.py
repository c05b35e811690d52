"""Executions in files of OTLP in JSON, read and written."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from otel_prefect.view import otlp_json
from otel_prefect.view.execution import Caught, Execution, Span, Status
from tests.support.view import TRACE_ID
from tests.unit.test_view_segments import JSON

FLOW, TASK, PROGRAM = "00f067aa0ba902b7", "10f067aa0ba902b7", "20f067aa0ba902b7"


def document(span_id: str, parent: str | None = None, **more: Any) -> dict[str, Any]:
    times = {"startTimeUnixNano": "1500000000", "endTimeUnixNano": "2500000000"}
    above = {} if parent is None else {"parentSpanId": parent}
    return {"traceId": TRACE_ID, "spanId": span_id, "name": "load", **times, **above, **more}


def request(service: str, *spans: dict[str, Any]) -> dict[str, Any]:
    named = [{"key": "service.name", "value": {"stringValue": service}}]
    return {"resourceSpans": [{"resource": {"attributes": named}, "scopeSpans": [{"spans": list(spans)}]}]}


def test_a_file_with_a_request_a_line_is_one_execution_of_several_processes() -> None:
    text = "\n".join(
        json.dumps(each)
        for each in (
            request("ingest", document(PROGRAM, TASK)),
            request("flow", document(TASK, FLOW)),
            request("flow", document(FLOW)),
        )
    )
    found = otlp_json.read(text)
    assert found.odd == 0
    made = found.execution(TRACE_ID)
    assert {each.id: each.service for each in made.spans.values()} == {
        FLOW: "flow",
        TASK: None,
        PROGRAM: "ingest",
    }
    assert (made.spans[FLOW].start, made.spans[FLOW].end) == (1.5, 2.5)


def test_what_failed_says_so_with_its_exceptions_the_last_first() -> None:
    def event(kind: str) -> dict[str, Any]:
        stack = 'Traceback (most recent call last):\n  File "load.py", line 12, in read\n    x()\nE: m'
        said = {"exception.type": kind, "exception.message": "m", "exception.stacktrace": stack}
        listed = [{"key": key, "value": {"stringValue": value}} for key, value in said.items()]
        return {"name": "exception", "attributes": listed}

    failed = document(FLOW, status={"code": 2}, events=[event("First"), {"name": "x"}, event("Last")])
    span = otlp_json.read(json.dumps(request("flow", failed))).execution(TRACE_ID).spans[FLOW]
    assert span.status is Status.FAULT
    assert [each.type for each in span.exceptions] == ["Last", "First"]
    assert span.exceptions[0].stack == ('File "load.py", line 12, in read',)


@pytest.mark.parametrize("end", [{}, {"endTimeUnixNano": "0"}])
def test_a_span_without_an_end_is_in_progress(end: dict[str, str]) -> None:
    begun = document(FLOW)
    del begun["endTimeUnixNano"]
    span = otlp_json.read(json.dumps(request("flow", {**begun, **end}))).execution(TRACE_ID).spans[FLOW]
    assert (span.status, span.end) == (Status.IN_PROGRESS, None)


def test_what_is_not_understood_is_counted_and_takes_nothing_with_it() -> None:
    bad = request("flow", document("zz"), document(FLOW, startTimeUnixNano="noon"), document(TASK))
    found = otlp_json.read("\n".join(["{", "[1]", json.dumps(bad)]))
    assert set(found.execution(TRACE_ID).spans) == {TASK}
    assert found.odd == 4


VALUES = (
    st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
IDS = st.integers(1, 2**64 - 1).map(lambda number: f"{number:016x}")
SPANS = st.builds(
    Span,
    id=IDS,
    parent_id=st.none(),
    name=st.text(),
    start=st.integers(1, 10**9).map(float),
    end=st.none() | st.integers(10**9, 10**10).map(float),
    status=st.sampled_from([Status.OK, Status.FAULT]),
    service=st.just("service"),
    attributes=st.dictionaries(st.text(min_size=1), VALUES, max_size=3),
    exceptions=st.lists(st.builds(Caught, type=st.text(), message=st.text()), max_size=2).map(tuple),
)


@given(st.lists(SPANS, max_size=5, unique_by=lambda span: span.id))
def test_what_is_written_is_read_again_and_is_otlp(spans: list[Span]) -> None:
    spans = [replace(each, status=Status.IN_PROGRESS) if each.end is None else each for each in spans]
    made = Execution(TRACE_ID, spans)
    text = otlp_json.written(made)
    again = otlp_json.read(text)
    assert again.odd == 0
    for span in again.execution(TRACE_ID).spans.values():
        known = made.spans[span.id]
        own = {"service.name", "aws.xray.inprogress"}
        assert {key: value for key, value in span.attributes.items() if key not in own} == {
            key: value for key, value in known.attributes.items() if key not in own
        }
        assert (span.name, span.status) == (known.name, known.status)
        assert (span.start, span.end) == pytest.approx((known.start, known.end), abs=1e-5)
        assert span.exceptions == known.exceptions
        assert span.service == "service"
    assert set(again.execution(TRACE_ID).spans) == set(made.spans)
    # The ids of the real encoding are in base64 in protobuf's own JSON: only those are another.
    without_ids = json.loads(text)
    for group in without_ids["resourceSpans"]:
        for each in group["scopeSpans"][0]["spans"]:
            del each["traceId"], each["spanId"]
    json_format.ParseDict(without_ids, ExportTraceServiceRequest())


@given(st.lists(JSON.map(json.dumps) | st.text()).map("\n".join))
def test_nothing_that_comes_breaks_it(text: str) -> None:
    assert otlp_json.read(text).odd >= 0


@given(
    st.dictionaries(st.sampled_from(["traceId", "spanId", "startTimeUnixNano", "attributes", "events"]), JSON)
)
def test_no_span_that_comes_breaks_it(odd: dict[str, Any]) -> None:
    text = json.dumps(request("flow", {**document(FLOW), **odd}, document(TASK)))
    assert TASK in otlp_json.read(text).execution(TRACE_ID).spans
