"""A run is told of when it starts; never after its end, and at no cost to anything else."""

from __future__ import annotations

import functools
import logging
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Decision, Sampler, SamplingResult

from otel_prefect import environment, semconv
from otel_prefect.export import exporters
from otel_prefect.export.delivery import Delivery
from otel_prefect.runs import Runs
from otel_prefect.spans import start_spans, tracing
from otel_prefect.spans.start_spans import AfterStarts, StartSpans
from tests.support.http_server import QuietHandler, serving
from tests.support.ports import free_ports
from tests.support.process_state import PARENT_SPAN_ID, RUN_ID, TRACE_ID, TRACEPARENT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    import pytest
    from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
    from opentelemetry.trace import Span

    from tests.support.otlp_sink import OtlpSink

FLOW = {"prefect.run.type": "flow", "prefect.run.id": RUN_ID, "prefect.run.name": "brave-newt"}


@contextmanager
def process(port: int) -> Iterator[TracerProvider]:
    """Give a provider as a process has it that sends to a port; it is shut down at the end."""
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}"}
    made = tracing.provider(
        Resource({"service.name": "flow"}), Runs(environment.read({"TRACEPARENT": TRACEPARENT}, []))
    )
    starts = StartSpans(functools.partial(exporters.hasty_exporters, environ=environ))
    made.add_span_processor(starts)
    (exporter,) = exporters.exporters("traces", Delivery(1.0), environ)
    made.add_span_processor(BatchSpanProcessor(AfterStarts(exporter, starts)))
    try:
        yield made
    finally:
        made.shutdown()


def start(provider: TracerProvider, name: str, **more: Any) -> Span:
    """Start the span of a run as Prefect does."""
    return provider.get_tracer("prefect", "3.8.8").start_span(name, attributes={**FLOW, **more})


def names(sink: OtlpSink) -> list[str]:
    """Return the names of the spans that were told of when they started."""
    return [span.record.name for span in sink.started()]


def told_of(sink: OtlpSink, name: str) -> bool:
    return sink.wait_for(lambda _: name in names(sink))


def test_a_run_is_sent_when_it_starts_as_it_is_then_without_an_end(sink: OtlpSink) -> None:
    with process(sink.http_port) as provider:
        span = start(provider, "brave-newt", **{"prefect.tags": ("a", "b")})
        assert told_of(sink, "brave-newt")
        (received,) = sink.started()
        record = received.record
        assert record.trace_id == TRACE_ID.to_bytes(16, "big")
        assert record.span_id == span.get_span_context().span_id.to_bytes(8, "big")
        assert record.parent_span_id == PARENT_SPAN_ID.to_bytes(8, "big")
        assert (record.kind, record.flags) == (record.SPAN_KIND_INTERNAL, 0x300)
        assert record.end_time_unix_nano == 0
        assert record.status.code == record.status.STATUS_CODE_UNSET
        assert received.scope == "prefect"
        assert received.resource["service.name"] == "flow"
        assert received.attributes == {
            **FLOW,
            "prefect.tags": ["a", "b"],
            "flow_run_id": RUN_ID,
            "aws.xray.inprogress": True,
        }
        assert sink.spans() == []
        span.end()
        assert provider.force_flush()
    ended = sink.span("brave-newt")
    assert ended.record.span_id == record.span_id
    assert ended.record.start_time_unix_nano == record.start_time_unix_nano > 0
    assert ended.record.end_time_unix_nano >= record.start_time_unix_nano
    assert "aws.xray.inprogress" not in ended.attributes


def test_a_run_that_ends_before_it_is_told_of_is_sent_once(sink: OtlpSink) -> None:
    with process(sink.http_port) as provider:
        start(provider, "short").end()
        running = start(provider, "long")
        # Both were gathered at once, so what was to be said of the first has been said.
        assert told_of(sink, "long")
        assert names(sink) == ["long"]
        running.end()
    assert sink.span("short").record.end_time_unix_nano > 0


def test_spans_inside_of_a_run_are_sent_when_they_end_only(sink: OtlpSink) -> None:
    with process(sink.http_port) as provider:
        inside = provider.get_tracer("mine").start_span("read file")
        running = start(provider, "flow")
        assert told_of(sink, "flow")
        assert names(sink) == ["flow"]
        inside.end()
        running.end()


def test_many_runs_that_start_at_once_are_one_request(sink: OtlpSink) -> None:
    with process(sink.http_port) as provider:
        running = [start(provider, f"task-{number}") for number in range(50)]
        assert told_of(sink, "task-49")
        assert len(sink.trace_requests) == 1
        for span in running:
            span.end()
    assert len(names(sink)) == 50


def test_the_program_of_otel_prefect_run_is_told_of(sink: OtlpSink) -> None:
    with process(sink.http_port) as provider:
        running = provider.get_tracer(semconv.PROGRAM_SCOPE).start_span("dbt")
        assert told_of(sink, "dbt")
        running.end()


class SamplesNot(Sampler):
    """Has one span recorded and not sampled, and samples all others."""

    def should_sample(self, *args: Any, **kwargs: Any) -> SamplingResult:
        name = args[2]
        if name == "unsampled":
            return SamplingResult(Decision.RECORD_ONLY)
        return ALWAYS_ON.should_sample(*args, **kwargs)

    def get_description(self) -> str:
        return "samples not"


def test_a_run_that_is_not_sampled_is_not_told_of(sink: OtlpSink) -> None:
    with process(sink.http_port) as provider:
        provider.sampler = SamplesNot()
        unsampled = start(provider, "unsampled")
        assert unsampled.is_recording()
        running = start(provider, "sampled")
        assert told_of(sink, "sampled")
        assert names(sink) == ["sampled"]
        unsampled.end()
        running.end()


def test_an_end_is_sent_only_when_the_start_that_is_being_sent_has_arrived() -> None:
    events: list[str] = []
    start_came, end_came = threading.Event(), threading.Event()

    class Slow(QuietHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            request = ExportTraceServiceRequest.FromString(body)
            (span,) = request.resource_spans[0].scope_spans[0].spans
            if span.end_time_unix_nano:
                events.append("end comes")
                end_came.set()
            else:
                start_came.set()
                end_came.wait(1.0)  # in which an end that does not wait would come
                events.append("start is taken")
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

    with serving(Slow) as port, process(port) as provider:
        span = start(provider, "brave-newt")
        assert start_came.wait(10)
        span.end()
        provider.force_flush()
    assert events == ["start is taken", "end comes"]


def test_nothing_is_begun_after_the_shutdown(sink: OtlpSink) -> None:
    with process(sink.http_port) as provider:
        running = [start(provider, "first")]
        assert told_of(sink, "first")
        worker = next(each for each in threading.enumerate() if each.name == "otel-prefect-starts")
        running.append(start(provider, "second"))
        provider.shutdown()
        worker.join(10)
        assert not worker.is_alive()
        assert all(span.is_recording() for span in running)
    assert names(sink) == ["first"]
    assert sink.spans() == []


def test_a_start_that_nobody_takes_is_dropped_without_a_word(caplog: pytest.LogCaptureFixture) -> None:
    (port,) = free_ports(1)
    finished = threading.Event()

    class Told(InMemorySpanExporter):
        def __init__(self, seconds: float) -> None:
            super().__init__()
            environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}"}
            (self.real,) = exporters.hasty_exporters(seconds, environ)

        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            result: SpanExportResult = self.real.export(spans)
            assert result is SpanExportResult.FAILURE
            finished.set()
            return result

    starts = StartSpans(lambda seconds: [Told(seconds)])
    provider = tracing.provider(Resource({}), Runs(environment.read({}, [])))
    provider.add_span_processor(starts)
    with caplog.at_level(logging.INFO):
        start(provider, "brave-newt")
        assert finished.wait(10)
        provider.shutdown()
    assert caplog.messages == []


def test_starts_that_wait_are_bounded() -> None:
    held, release = threading.Event(), threading.Event()
    sent: list[int] = []

    class Held(InMemorySpanExporter):
        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            sent.append(len(spans))
            held.set()
            release.wait(10)
            return SpanExportResult.SUCCESS

    provider = tracing.provider(Resource({}), Runs(environment.read({}, [])))
    starts = StartSpans(lambda _: [Held()])
    provider.add_span_processor(starts)
    start(provider, "first")
    assert held.wait(10)
    running = [start(provider, "more") for _ in range(3 * start_spans._LIMIT)]
    held.clear()
    release.set()
    assert held.wait(10)
    assert sent == [1, start_spans._LIMIT]
    provider.shutdown()
    assert all(span.is_recording() for span in running)


def test_a_defect_of_ours_never_reaches_the_flow(caplog: pytest.LogCaptureFixture) -> None:
    def broken(_: float) -> list[InMemorySpanExporter]:
        raise RuntimeError("a defect")

    provider = tracing.provider(Resource({}), Runs(environment.read({}, [])))
    provider.add_span_processor(StartSpans(broken))
    with trace.use_span(start(provider, "brave-newt"), end_on_exit=True):
        worker = next((each for each in threading.enumerate() if each.name == "otel-prefect-starts"), None)
    if worker is not None:
        worker.join(10)
    provider.shutdown()
    assert "your program is not affected" in caplog.text
