"""Regrouping: a record that names another run than its Resource gets a Resource of its own run."""

from __future__ import annotations

import tracemalloc
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from otel_prefect import semconv
from sidecar import regroup, wire
from sidecar.enrichment import Enricher
from sidecar.otlp import LOGS, METRICS, TRACES, Signal
from tests.support.otlp_sink import attributes

A = "3c32c202-9955-4b90-b936-5fbd34f1a6d5"
B = "0190b7a5-7a7c-7000-8000-0123456789ab"
C = "7f8c1d2e-0000-4000-8000-000000000001"


def request(resource_run: str | None, *scopes: list[str | None]) -> ExportTraceServiceRequest:
    """One Resource; a span for each run that is named, in one scope a list."""
    message = ExportTraceServiceRequest()
    of_resource = message.resource_spans.add(schema_url="https://schema")
    of_resource.resource.attributes.add(key="service.name").value.string_value = "flow"
    if resource_run is not None:
        of_resource.resource.attributes.add(key=semconv.FLOW_RUN_ID).value.string_value = resource_run
        of_resource.resource.attributes.add(key=semconv.FLOW_NAME).value.string_value = "flow of the Resource"
    number = 0
    for position, runs in enumerate(scopes):
        of_scope = of_resource.scope_spans.add(schema_url=f"https://scope/{position}")
        of_scope.scope.name = f"scope-{position}"
        for run in runs:
            span = of_scope.spans.add(name=f"span-{number}")
            number += 1
            if run is not None:
                span.attributes.add(key="rows").value.int_value = 3
                span.attributes.add(key=semconv.RECORD_FLOW_RUN_ID).value.string_value = run
    return message


def regrouped(message: Any, signal: Signal = TRACES) -> Any:
    enricher = Enricher({}, lambda _: None)

    def divide(body: bytes, of_resource: wire.ResourceX) -> list[bytes]:
        return regroup.divide(signal, body, of_resource, enricher.run_of(of_resource.resource))

    spliced = wire.splice(message.SerializeToString(), signal.frames, enricher.enrich, divide)
    return type(message).FromString(spliced.body)


def by_run(message: ExportTraceServiceRequest) -> dict[str | None, list[str]]:
    found: dict[str | None, list[str]] = {}
    for of_resource in message.resource_spans:
        run = attributes(of_resource.resource.attributes).get(semconv.FLOW_RUN_ID)
        assert run not in found, "one Resource a run"
        found[run] = [span.name for scope in of_resource.scope_spans for span in scope.spans]
    return found


def test_records_of_another_run_get_a_resource_of_that_run() -> None:
    assert by_run(regrouped(request(A, [A, B, None, B], [C, A]))) == {
        A: ["span-0", "span-2", "span-5"],
        B: ["span-1", "span-3"],
        C: ["span-4"],
    }


def test_a_resource_that_names_no_run_is_given_the_one_of_its_records() -> None:
    assert by_run(regrouped(request(None, [B, B]))) == {B: ["span-0", "span-1"]}


def test_what_was_said_of_the_resources_own_run_is_not_said_of_another() -> None:
    resources = [attributes(r.resource.attributes) for r in regrouped(request(A, [A, B])).resource_spans]
    assert resources == [
        {"service.name": "flow", semconv.FLOW_RUN_ID: A, semconv.FLOW_NAME: "flow of the Resource"},
        {"service.name": "flow", semconv.FLOW_RUN_ID: B},
    ]


def test_the_resources_own_run_comes_first_and_the_others_as_they_are_met() -> None:
    resources = [attributes(r.resource.attributes) for r in regrouped(request(A, [C, B, A])).resource_spans]
    assert [resource[semconv.FLOW_RUN_ID] for resource in resources] == [A, C, B]


def test_scopes_and_schema_urls_stay_with_their_records() -> None:
    of_b = regrouped(request(A, [A], [B], [A, B])).resource_spans[1]
    assert of_b.schema_url == "https://schema"
    assert [(scope.scope.name, scope.schema_url) for scope in of_b.scope_spans] == [
        ("scope-1", "https://scope/1"),
        ("scope-2", "https://scope/2"),
    ]


@pytest.mark.parametrize("runs", [[A, A], [None, None], [A, None], []])
def test_a_request_of_one_run_is_passed_on_as_it_is(runs: list[str | None]) -> None:
    message = request(A, runs)
    assert regrouped(message) == message


@pytest.mark.parametrize("written", ["latest", "", "00000000-0000-0000-0000-000000000000"])
def test_what_is_no_flow_run_id_stays_where_it_is(written: str) -> None:
    message = request(A, [written, A])
    assert regrouped(message) == message


def test_a_text_that_looks_like_the_attribute_is_not_taken_for_it() -> None:
    message = request(A, [A])
    span = message.resource_spans[0].scope_spans[0].spans[0]
    encoded = request(None, [B]).resource_spans[0].scope_spans[0].spans[0].attributes[1].SerializeToString()
    span.events.add(name="note").attributes.add(key="blob").value.bytes_value = encoded
    assert regrouped(message) == message


def test_unknown_fields_of_records_scopes_and_resources_are_kept() -> None:
    unknown = b"\xfa\x01\x03new"
    message = request(A, [B])
    of_resource = message.resource_spans[0]
    span = of_resource.scope_spans[0].spans[0].SerializeToString() + unknown
    scope = wire.message_field(2, span) + unknown
    body = wire.message_field(
        1,
        wire.message_field(1, of_resource.resource.SerializeToString())
        + wire.message_field(2, scope)
        + unknown,
    )
    divided = regroup.divide(TRACES, body, wire.open_resource_x(body, 3, len(body), TRACES.frames), A)
    assert b"".join(divided).count(unknown) == 3


def test_log_records_are_regrouped_and_metrics_never_are() -> None:
    logs = ExportLogsServiceRequest()
    record = logs.resource_logs.add().scope_logs.add().log_records.add(severity_text="INFO")
    record.attributes.add(key=semconv.RECORD_FLOW_RUN_ID).value.string_value = B
    assert attributes(regrouped(logs, LOGS).resource_logs[0].resource.attributes) == {semconv.FLOW_RUN_ID: B}
    metrics = ExportMetricsServiceRequest()
    metric = metrics.resource_metrics.add().scope_metrics.add().metrics.add(name="rows")
    point = metric.gauge.data_points.add(as_int=1)
    point.attributes.add(key=semconv.RECORD_FLOW_RUN_ID).value.string_value = B
    assert list(regrouped(metrics, METRICS).resource_metrics[0].resource.attributes) == []


RUNS = st.sampled_from([None, A, B, C, "nonsense"])


@given(st.sampled_from([None, A]), st.lists(st.lists(RUNS, max_size=5), max_size=3))
def test_every_record_leaves_once_unchanged_and_in_order_under_its_own_run(
    own: str | None, scopes: list[list[str | None]]
) -> None:
    message = request(own, *scopes)
    sent = [span for scope in message.resource_spans[0].scope_spans for span in scope.spans]
    result = regrouped(message)
    left = {
        span.name: (span, attributes(r.resource.attributes).get(semconv.FLOW_RUN_ID))
        for r in result.resource_spans
        for scope in r.scope_spans
        for span in scope.spans
    }
    assert len(left) == len(sent) == sum(len(s.spans) for r in result.resource_spans for s in r.scope_spans)
    for span in sent:
        named = attributes(span.attributes).get(semconv.RECORD_FLOW_RUN_ID)
        assert left[span.name] == (span, named if named in (A, B, C) else own)
    for names in by_run(result).values():
        assert names == sorted(names, key=lambda name: int(name.partition("-")[2]))


def many_runs(count: int, service: str) -> bytes:
    """One Resource, and so many runs, each with a scope and a record of its own."""
    scopes: list[list[str | None]] = [[str(UUID(int=number + 2**100))] for number in range(count)]
    message = request(None, *scopes)
    message.resource_spans[0].resource.attributes[0].value.string_value = service
    return message.SerializeToString()


def test_a_request_of_many_runs_and_scopes_costs_memory_in_proportion() -> None:
    """A list of each scope for each run would be 16 million of them here."""
    enricher = Enricher({}, lambda _: None)

    def divide(body: bytes, of_resource: wire.ResourceX) -> list[bytes]:
        return regroup.divide(TRACES, body, of_resource, enricher.run_of(of_resource.resource))

    body = many_runs(4000, "flow")
    tracemalloc.start()
    try:
        spliced = wire.splice(body, TRACES.frames, enricher.enrich, divide)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(ExportTraceServiceRequest.FromString(spliced.body).resource_spans) == 4000
    assert peak < 16 * len(spliced.body)


def test_a_request_that_would_grow_beyond_measure_is_passed_on_as_it_is() -> None:
    """200 runs under a Resource of 100 KB would be 20 MB; what a record says of its run stays on it."""
    message = ExportTraceServiceRequest.FromString(many_runs(200, "x" * 100_000))
    assert regrouped(message) == message
    fewer = ExportTraceServiceRequest.FromString(many_runs(100, "x" * 100_000))
    assert len(regrouped(fewer).resource_spans) == 100
