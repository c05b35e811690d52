"""Work on what was received belongs to the run that sent it."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import otel_prefect
from otel_prefect.spans import tracing
from tests.support.process_state import (
    PARENT_SPAN_ID,
    RUN_ID,
    TRACE_ID,
    TRACEPARENT,
    XRAY_TRACE_ID,
    told,
)

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

OWN_RUN = "11111111-1111-4111-8111-111111111111"
HEADER = f"Root={XRAY_TRACE_ID};Parent={PARENT_SPAN_ID:016x};Sampled=1"


def attributes(key: str, **more: str) -> dict[str, Any]:
    values = {"traceparent": TRACEPARENT, "PREFECT_FLOW_RUN_ID": RUN_ID, "SOURCE": "crm", **more}
    return {name: {key: value} for name, value in values.items()}


RECEIVED = {
    "boto3's message of SQS": {"Body": "b", "MessageAttributes": attributes("StringValue")},
    "a Lambda's record of SQS": {"body": "b", "messageAttributes": attributes("stringValue")},
    "a Lambda's record of SNS": {"Sns": {"Message": "m", "MessageAttributes": attributes("Value")}},
    "a notification in a queue": {
        "Body": json.dumps({"Type": "Notification", "MessageAttributes": attributes("Value")})
    },
    "a Lambda's context": SimpleNamespace(
        client_context=SimpleNamespace(
            custom={"TRACEPARENT": TRACEPARENT, "PREFECT_FLOW_RUN_ID": RUN_ID, "SOURCE": "crm"}
        )
    ),
    "a plain mapping": {"TRACEPARENT": TRACEPARENT, "PREFECT_FLOW_RUN_ID": RUN_ID, "SOURCE": "crm", "n": 1},
}


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A process that works for a run of its own: give it what it receives, get the span of the work."""
    process = told(monkeypatch, {"PREFECT_FLOW_RUN_ID": OWN_RUN, "SOURCE": "own"})
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing.adopt(provider, process)
    tracer = provider.get_tracer("t")

    def work(received: object) -> ReadableSpan:
        with tracer.start_as_current_span("outside"), otel_prefect.joined(received):
            tracer.start_span("work").end()
        return exporter.get_finished_spans()[-2]

    return work


@pytest.mark.parametrize("received", RECEIVED.values(), ids=list(RECEIVED))
def test_work_is_a_child_of_the_span_that_sent_it_and_of_its_run(spans: Any, received: object) -> None:
    span = spans(received)
    assert span.name == "work"
    assert span.context.trace_id == TRACE_ID
    assert span.parent.span_id == PARENT_SPAN_ID
    assert span.attributes["flow_run_id"] == RUN_ID


@pytest.mark.parametrize("received", RECEIVED.values(), ids=list(RECEIVED))
@pytest.mark.usefixtures("spans")
def test_what_is_started_in_the_block_is_told_the_same_run(received: object) -> None:
    with otel_prefect.joined(received):
        assert otel_prefect.propagation_env() == {
            "PREFECT_FLOW_RUN_ID": RUN_ID,
            "LOG_CORRELATION_ID": RUN_ID,
            "SOURCE": "crm",
            "TRACEPARENT": TRACEPARENT,
        }
    assert otel_prefect.propagation_env()["PREFECT_FLOW_RUN_ID"] == OWN_RUN


def test_the_trace_header_of_sqs_is_enough_for_the_trace(spans: Any) -> None:
    span = spans({"Body": "b", "Attributes": {"AWSTraceHeader": HEADER}})
    assert span.context.trace_id == TRACE_ID
    assert span.parent.span_id == PARENT_SPAN_ID
    assert "flow_run_id" not in span.attributes


def test_with_the_id_alone_work_is_a_root_in_the_runs_trace(spans: Any) -> None:
    span = spans({"PREFECT_FLOW_RUN_ID": RUN_ID})
    assert span.context.trace_id == TRACE_ID
    assert span.parent is None


@pytest.mark.parametrize(
    "received",
    [
        None,
        7,
        "text",
        {},
        {"Body": "Notification {"},
        {"Body": '{"Type": "Notification"'},
        {"MessageAttributes": None},
        {"Attributes": {"AWSTraceHeader": "Root=1-2-3"}},
        {"TRACEPARENT": "nonsense"},
        {"PREFECT_FLOW_RUN_ID": 7},
        SimpleNamespace(client_context=None),
    ],
)
def test_what_says_nothing_changes_nothing(spans: Any, received: object) -> None:
    span = spans(received)
    assert span.context.trace_id == UUID(OWN_RUN).int
    assert span.parent is not None
    assert span.attributes["flow_run_id"] == OWN_RUN


@pytest.mark.usefixtures("spans")
def test_an_exception_of_the_block_passes_unchanged() -> None:
    error = KeyError("mine")
    with pytest.raises(KeyError) as raised, otel_prefect.joined(RECEIVED["a plain mapping"]):
        raise error
    assert raised.value is error
    assert not trace.get_current_span().get_span_context().is_valid
