"""Open spans: known from their start, forgotten at their end, closed as failed where the end never comes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from otel_prefect import semconv
from sidecar import open_spans
from sidecar.closing import cause_of
from sidecar.ecs import Container
from sidecar.open_spans import Cause, OpenSpan, OpenSpans
from tests.support.otlp_sink import attributes

RUN = "3c32c202-9955-4b90-b936-5fbd34f1a6d5"
TRACE = bytes.fromhex(RUN.replace("-", ""))
CAUSE = Cause("SIGKILL", "container prefect ended with exit code 137", 2_000)


def span_id(number: int) -> bytes:
    return b"span" + number.to_bytes(4, "big")


def request(
    *numbers: int, open_: bool, parent: int | None = None, run: str | None = RUN, kind: str | None = None
) -> bytes:
    message = ExportTraceServiceRequest()
    of_resource = message.resource_spans.add()
    of_resource.resource.attributes.add(key="service.name").value.string_value = "flow"
    of_resource.resource.attributes.add(key=semconv.CONTAINER_ID).value.string_value = "c-1"
    of_scope = of_resource.scope_spans.add()
    of_scope.scope.name = "prefect"
    for number in numbers:
        span = of_scope.spans.add(
            trace_id=TRACE, span_id=span_id(number), name=f"task {number}", start_time_unix_nano=1_000
        )
        if parent is not None:
            span.parent_span_id = span_id(parent)
        if run is not None:
            span.attributes.add(key=semconv.RECORD_FLOW_RUN_ID).value.string_value = run
        if kind is not None:
            span.attributes.add(key=semconv.PREFECT_RUN_ID).value.string_value = RUN
            span.attributes.add(key=semconv.PREFECT_RUN_TYPE).value.string_value = kind
        if open_:
            span.attributes.add(key=semconv.XRAY_IN_PROGRESS).value.bool_value = True
        else:
            span.end_time_unix_nano = 1_500
    return message.SerializeToString()


def observe(spans: OpenSpans, body: bytes) -> list[OpenSpan]:
    return spans.observe(body, of_runs=open_spans.mentions_runs(body))


def observed(*bodies: bytes) -> OpenSpans:
    spans = OpenSpans()
    for body in bodies:
        observe(spans, body)
    return spans


def test_an_attempt_of_a_flow_is_closed_as_its_run_is_and_counts_as_no_run() -> None:
    spans = OpenSpans()
    assert observe(spans, request(2, open_=True, kind=semconv.RUN_TYPE_ATTEMPT)) == []
    assert len(spans) == 1
    assert observe(spans, request(2, open_=False, kind=semconv.RUN_TYPE_ATTEMPT)) == []
    assert len(spans) == 0
    (ended,) = observe(spans, request(1, open_=False, kind="flow"))
    assert ended.own_flow_run_id == RUN


def test_a_span_is_open_from_its_start_to_its_end() -> None:
    spans = observed(request(1, 2, open_=True))
    assert len(spans) == 2
    observe(spans, request(1, open_=False))
    assert [each.span.name for each in spans] == ["task 2"]
    observe(spans, request(2, open_=False))
    assert len(spans) == 0


def test_the_end_of_a_child_is_not_the_end_of_its_parent() -> None:
    assert len(observed(request(1, open_=True), request(7, open_=False, parent=1))) == 1


def test_ends_are_found_also_among_many_open_spans() -> None:
    many = range(1, 5 * open_spans._SEARCHED)
    spans = observed(request(*many, open_=True), request(*many, open_=False))
    assert len(spans) == 0


def test_spans_that_were_never_open_are_not_remembered() -> None:
    assert len(observed(request(1, 2, 3, open_=False))) == 0


def test_the_number_remembered_is_bounded_and_the_oldest_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_spans, "LIMIT", 3)
    spans = observed(*(request(number, open_=True) for number in range(5)))
    assert [each.span.name for each in spans] == ["task 2", "task 3", "task 4"]


def test_a_closed_span_is_failed_says_why_and_by_whom_and_is_no_longer_in_progress() -> None:
    spans = observed(request(1, open_=True))
    traces, _ = spans.close(list(spans), CAUSE)
    of_resource = ExportTraceServiceRequest.FromString(traces).resource_spans[0]
    assert attributes(of_resource.resource.attributes) == {
        "service.name": "flow",
        semconv.CONTAINER_ID: "c-1",
    }
    assert of_resource.scope_spans[0].scope.name == "prefect"
    span = of_resource.scope_spans[0].spans[0]
    assert (span.trace_id, span.span_id, span.name) == (TRACE, span_id(1), "task 1")
    assert (span.start_time_unix_nano, span.end_time_unix_nano) == (1_000, 2_000)
    assert (span.status.code, span.status.message) == (Status.STATUS_CODE_ERROR, CAUSE.message)
    assert attributes(span.attributes) == {
        semconv.RECORD_FLOW_RUN_ID: RUN,
        semconv.CLOSED_BY: "sidecar",
        semconv.ERROR_TYPE: "SIGKILL",
    }
    (event,) = span.events
    assert event.name == "exception"
    assert attributes(event.attributes) == {
        "exception.type": "SIGKILL",
        "exception.message": CAUSE.message,
    }
    assert len(spans) == 0


def test_each_run_gets_one_log_record_at_fatal_with_its_ids() -> None:
    spans = observed(request(1, 2, open_=True))
    _, logs = spans.close(list(spans), CAUSE)
    (of_resource,) = ExportLogsServiceRequest.FromString(logs).resource_logs
    (record,) = of_resource.scope_logs[0].log_records
    assert (record.severity_text, record.severity_number) == ("FATAL", 21)
    assert record.body.string_value == CAUSE.message
    assert record.time_unix_nano == 2_000
    assert record.trace_id == TRACE
    assert attributes(record.attributes) == {
        "exception.type": "SIGKILL",
        "exception.message": CAUSE.message,
        "xray_trace_id": "1-3c32c202-99554b90b9365fbd34f1a6d5",
        "flow_run_id": RUN,
    }


def test_a_span_never_ends_before_it_started() -> None:
    spans = observed(request(1, open_=True))
    traces, _ = spans.close(list(spans), Cause("SIGKILL", "clock went back", 5))
    span = ExportTraceServiceRequest.FromString(traces).resource_spans[0].scope_spans[0].spans[0]
    assert span.end_time_unix_nano == 1_000


@given(st.binary(max_size=80))
def test_bytes_that_are_no_request_are_passed_over(body: bytes) -> None:
    spans = observed(request(1, open_=True))
    observe(spans, body + open_spans._IN_PROGRESS)
    observe(spans, body + open_spans._SPAN_ID + span_id(1))


def container(**answer: Any) -> Container:
    return Container.read({"DockerId": "c-1", "Name": "prefect", "KnownStatus": "STOPPED", **answer})


@pytest.mark.parametrize(
    ("exit_code", "kind", "words"),
    [
        (137, "SIGKILL", "ended with exit code 137 (SIGKILL: killed, most often for using more memory"),
        (139, "SIGSEGV", "ended with exit code 139 (SIGSEGV)"),
        (1, "ContainerEnded", "ended with exit code 1 before the run's end was told"),
        (0, "ContainerEnded", "ended with exit code 0 before the run's end was told"),
        (255, "ContainerEnded", "ended with exit code 255 before"),
        (None, "ContainerEnded", "ended; ECS does not say how"),
    ],
)
def test_the_cause_names_the_container_its_exit_code_and_signal(
    exit_code: int | None, kind: str, words: str
) -> None:
    cause = cause_of(container(ExitCode=exit_code, FinishedAt="2026-03-01T03:00:07.620912337Z"))
    assert cause.kind == kind
    assert f"container prefect {words}" in cause.message
    assert cause.time_unix_nano == 1_772_334_007_620_912_337


@pytest.mark.parametrize("text", [None, "", "yesterday", "2026-13-01T00:00:00Z", 5])
def test_a_time_that_is_none_is_left_out(text: object) -> None:
    assert container(FinishedAt=text).finished_unix_nano is None


def test_a_time_with_fewer_digits_is_read_right() -> None:
    assert container(FinishedAt="2026-03-01T03:00:07.5Z").finished_unix_nano == 1_772_334_007_500_000_000
    assert container(FinishedAt="2026-03-01T03:00:07Z").finished_unix_nano == 1_772_334_007_000_000_000


def test_a_start_that_its_end_has_overtaken_opens_nothing() -> None:
    spans = observed(request(1, open_=False, kind="task"), request(1, open_=True, kind="task"))
    assert len(spans) == 0
    observe(spans, request(2, open_=True))
    observe(spans, request(2, open_=False))
    observe(spans, request(2, open_=True))
    assert len(spans) == 0


@pytest.mark.parametrize("started", [True, False])
def test_the_end_of_a_flow_run_is_told_and_that_of_other_spans_is_not(started: bool) -> None:
    spans = OpenSpans()
    if started:
        observe(spans, request(1, 2, open_=True, kind="flow"))
    assert observe(spans, request(3, open_=False, kind="task")) == []
    assert observe(spans, request(4, open_=False)) == []
    (ended,) = observe(spans, request(1, open_=False, kind="flow"))
    assert (ended.own_flow_run_id, ended.closed_by_us) == (RUN, False)


def test_a_flow_run_that_was_closed_here_says_so_when_it_comes_by() -> None:
    spans = observed(request(1, open_=True, kind="flow"))
    traces, _ = spans.close(list(spans), CAUSE)
    (ended,) = observe(spans, traces)
    assert (ended.own_flow_run_id, ended.closed_by_us) == (RUN, True)
    assert len(spans) == 0


def test_the_memory_of_what_has_ended_is_bounded() -> None:
    spans = observed(request(*range(open_spans.LIMIT + 10), open_=False, kind="task"))
    assert len(spans._ended) == open_spans.LIMIT
    assert not spans._programs
