"""Which trace a span lands in, and which run it says it is of."""

from __future__ import annotations

import pickle
import threading
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from otel_prefect import environment
from otel_prefect.runs import Runs
from otel_prefect.spans import tracing
from tests.support.process_state import PARENT_SPAN_ID, RUN_ID, TRACE_ID, TRACEPARENT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.sdk.trace import ReadableSpan

OTHER_RUN = "0195f4d2-7c3e-7d11-8a55-1f2e3d4c5b6a"
CHILD_OF_OTHER = f"00-{UUID(OTHER_RUN).hex}-{PARENT_SPAN_ID:016x}-01"


class Process:
    """A tracer provider as a process with a certain environment has it, and what it exported."""

    def __init__(self, environ: Mapping[str, str], provider: TracerProvider | None = None) -> None:
        runs = Runs(environment.read(environ, []))
        if provider is None:
            self.provider = tracing.provider(Resource({}), runs)
        else:
            self.provider = provider
            tracing.adopt(provider, runs)
        self._exporter = InMemorySpanExporter()
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer = self.provider.get_tracer("test")

    def span(self, name: str) -> ReadableSpan:
        (found,) = [span for span in self._exporter.get_finished_spans() if span.name == name]
        return found


def flow_run(run_id: str) -> dict[str, str]:
    return {"prefect.run.type": "flow", "prefect.run.id": run_id, "prefect.run.name": "brave-newt"}


def ids_of(span: ReadableSpan) -> tuple[int, int | None]:
    context = span.get_span_context()
    assert context is not None
    return context.trace_id, None if span.parent is None else span.parent.span_id


def test_a_root_span_gets_the_trace_id_of_the_run_in_the_environment() -> None:
    process = Process({"PREFECT_FLOW_RUN_ID": RUN_ID})
    with process.tracer.start_as_current_span("load"):
        pass
    span = process.span("load")
    assert ids_of(span) == (TRACE_ID, None)
    assert span.attributes == {"flow_run_id": RUN_ID}
    assert type(span.attributes["flow_run_id"]) is str


def test_with_a_traceparent_root_spans_of_every_thread_become_children_of_it() -> None:
    process = Process({"PREFECT_FLOW_RUN_ID": RUN_ID, "TRACEPARENT": TRACEPARENT})
    process.tracer.start_span("main").end()
    thread = threading.Thread(target=lambda: process.tracer.start_span("thread").end())
    thread.start()
    thread.join()
    assert ids_of(process.span("main")) == (TRACE_ID, PARENT_SPAN_ID)
    assert ids_of(process.span("thread")) == (TRACE_ID, PARENT_SPAN_ID)


def test_a_child_stays_its_local_parents_child() -> None:
    process = Process({"TRACEPARENT": TRACEPARENT})
    with (
        process.tracer.start_as_current_span("outer") as outer,
        process.tracer.start_as_current_span("inner"),
    ):
        pass
    assert ids_of(process.span("inner")) == (TRACE_ID, outer.get_span_context().span_id)


def test_an_explicit_context_wins_over_the_environment() -> None:
    process = Process({"TRACEPARENT": TRACEPARENT})
    remote = trace.SpanContext(7, 8, is_remote=True, trace_flags=trace.TraceFlags(1))
    context = trace.set_span_in_context(trace.NonRecordingSpan(remote))
    process.tracer.start_span("linked", context).end()
    assert ids_of(process.span("linked")) == (7, 8)


def test_prefects_flow_span_makes_the_trace_where_the_environment_says_nothing() -> None:
    process = Process({})
    process.tracer.start_span("brave-newt", attributes=flow_run(RUN_ID)).end()
    span = process.span("brave-newt")
    assert ids_of(span) == (TRACE_ID, None)
    assert span.attributes is not None
    assert span.attributes["flow_run_id"] == RUN_ID


def test_a_flow_in_a_child_process_joins_the_trace_of_the_one_that_started_it() -> None:
    process = Process({"TRACEPARENT": CHILD_OF_OTHER})
    process.tracer.start_span("brave-newt", attributes=flow_run(RUN_ID)).end()
    span = process.span("brave-newt")
    assert ids_of(span) == (UUID(OTHER_RUN).int, PARENT_SPAN_ID)
    assert span.attributes is not None
    assert span.attributes["flow_run_id"] == RUN_ID


def test_a_plain_thread_belongs_to_the_flow_run_that_is_open() -> None:
    process = Process({})
    flow = process.tracer.start_span("brave-newt", attributes=flow_run(RUN_ID))
    process.tracer.start_span("thread").end()
    flow.end()
    process.tracer.start_span("afterwards").end()
    assert ids_of(process.span("thread")) == (TRACE_ID, flow.get_span_context().span_id)
    assert process.span("thread").attributes == {"flow_run_id": RUN_ID}
    assert ids_of(process.span("afterwards"))[0] != TRACE_ID
    assert process.span("afterwards").attributes == {}


def test_a_plain_thread_of_a_flow_in_a_child_process_belongs_to_that_flow() -> None:
    process = Process({"TRACEPARENT": CHILD_OF_OTHER})
    flow = process.tracer.start_span("brave-newt", attributes=flow_run(RUN_ID))
    process.tracer.start_span("thread").end()
    flow.end()
    assert ids_of(process.span("thread")) == (UUID(OTHER_RUN).int, flow.get_span_context().span_id)


def test_two_pipelines_in_one_process_are_not_mixed_up() -> None:
    process = Process({})
    first = process.tracer.start_span("first", attributes=flow_run(RUN_ID))
    second = process.tracer.start_span("second", attributes=flow_run(OTHER_RUN))
    process.tracer.start_span("whose").end()
    second.end()
    first.end()
    assert process.span("whose").attributes == {}
    assert ids_of(process.span("second"))[0] == UUID(OTHER_RUN).int


def test_a_span_of_another_thread_is_of_its_explicit_parents_run() -> None:
    process = Process({"PREFECT_FLOW_RUN_ID": OTHER_RUN})
    flow = process.tracer.start_span("brave-newt", attributes=flow_run(RUN_ID))
    process.tracer.start_span("child", trace.set_span_in_context(flow)).end()
    flow.end()
    assert process.span("child").attributes == {"flow_run_id": RUN_ID}


def test_ids_that_the_user_set_stay() -> None:
    process = Process({"PREFECT_FLOW_RUN_ID": RUN_ID})
    process.tracer.start_span("mine", attributes={"flow_run_id": "my own"}).end()
    assert process.span("mine").attributes == {"flow_run_id": "my own"}


def test_a_decorated_coroutine_and_function_are_in_the_trace_when_they_are_called() -> None:
    process = Process({})

    @process.tracer.start_as_current_span("decorated")
    def work() -> int:
        return 3

    flow = process.tracer.start_span("brave-newt", attributes=flow_run(RUN_ID))
    assert work() == 3
    flow.end()
    assert ids_of(process.span("decorated"))[0] == TRACE_ID


def test_an_exception_in_a_span_passes_unchanged_and_is_recorded() -> None:
    process = Process({"PREFECT_FLOW_RUN_ID": RUN_ID})
    error = ValueError("boom")
    with pytest.raises(ValueError, match="boom") as raised, process.tracer.start_as_current_span("load"):
        raise error
    assert raised.value is error
    span = process.span("load")
    assert span.status.status_code is trace.StatusCode.ERROR
    assert [event.name for event in span.events] == ["exception"]


def test_a_provider_that_the_user_has_set_up_learns_about_runs() -> None:
    own = TracerProvider(resource=Resource({"service.name": "mine"}))
    process = Process({"PREFECT_FLOW_RUN_ID": RUN_ID}, own)
    process.tracer.start_span("load").end()
    assert ids_of(process.span("load")) == (TRACE_ID, None)
    assert process.span("load").attributes == {"flow_run_id": RUN_ID}
    assert process.span("load").resource.attributes["service.name"] == "mine"


def test_a_tracer_that_is_pickled_is_the_other_process_own(monkeypatch: pytest.MonkeyPatch) -> None:
    process = Process({"PREFECT_FLOW_RUN_ID": RUN_ID})
    pickled = pickle.dumps(process.tracer)
    other = Process({"PREFECT_FLOW_RUN_ID": OTHER_RUN})
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: other.provider)
    pickle.loads(pickled).start_span("there").end()  # noqa: S301 - our own bytes
    span = other.span("there")
    assert ids_of(span) == (UUID(OTHER_RUN).int, None)
    assert span.instrumentation_scope is not None
    assert span.instrumentation_scope.name == "test"


def test_what_is_wrong_with_our_own_state_never_reaches_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Runs) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr(Runs, "current", broken)
    process = Process({"PREFECT_FLOW_RUN_ID": RUN_ID})
    with process.tracer.start_as_current_span("load"):
        pass
    assert process.span("load").name == "load"
