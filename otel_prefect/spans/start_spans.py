"""Tells of a run when it starts, and not only when it ends.

X-Ray then shows a run while it runs, and the sidecar can close what a killed process left open. What is told
is the span as it is at the start, marked as in progress and without an end. It is news and no more: where it
cannot be sent it is dropped, since the end carries everything.

A start that arrives after the end of the same span would open a finished run again. So both take their turn:
the worker looks whether a span has ended while it holds a lock, and sends before it lets go; an end is sent
only when nobody holds that lock. An end that is not seen by that look is so always sent after the start.
"""

from __future__ import annotations

import os
import threading
import time
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Final

from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.sdk.trace.export import SpanExporter

from otel_prefect import semconv
from otel_prefect.guard import never_raises

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from opentelemetry.context import Context
    from opentelemetry.sdk.trace.export import SpanExportResult

# How long sending starts may take, and an end may wait for it.
_SEND_SECONDS: Final = 2.0
# A run that is shorter than this costs nothing more than its end.
_GATHERING_SECONDS: Final = 0.3
# Starts that wait. A flow that maps a task over thousands of values starts some dozens of them at once.
_LIMIT: Final = 1024


class StartSpans(SpanProcessor):
    """Sends run-level spans at their start, from a thread of its own.

    The thread, its exporters and their connections exist from the first such span on, and anew in a forked
    child: a process without runs pays for none of it. Add it to a provider before the processors that send
    ends, so that it is shut down before they send what is left.
    """

    def __init__(self, make_exporters: Callable[[float], Sequence[SpanExporter]]) -> None:
        """Prepare for the first span.

        Args:
            make_exporters: makes what is sent through; is given the seconds that sending may take.
        """
        self._make_exporters = make_exporters
        self._stopped = False
        self._begin()
        os.register_at_fork(after_in_child=self._begin)

    @never_raises(None)
    def on_start(self, span: Span, parent_context: Context | None = None) -> None:  # noqa: ARG002 - the SDK's signature
        """Have a run-level span sent soon; others are let pass."""
        if not is_run_level(span) or not span.get_span_context().trace_flags.sampled or self._stopped:
            return
        if self._started.qsize() < _LIMIT:
            self._started.put(span)
        if self._worker is None:
            self._start_worker()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:  # noqa: ARG002 - the SDK's signature
        """Do nothing: starts are news. What is not true keeps the next processor from flushing."""
        return True

    def shutdown(self) -> None:
        """Begin no further request."""
        self._stopped = True
        self._started.put(None)

    def wait(self) -> None:
        """Wait for the request of starts that is being sent, if there is one; 2 s at most."""
        if self._sending.acquire(timeout=_SEND_SECONDS):
            self._sending.release()

    def _begin(self) -> None:
        """Make what a fork leaves in a state that nobody knows; what waited there is the parent's to tell."""
        self._started: SimpleQueue[Span | None] = SimpleQueue()
        self._sending = threading.Lock()
        self._starting = threading.Lock()
        self._worker: threading.Thread | None = None

    def _start_worker(self) -> None:
        with self._starting:
            if self._worker is None:
                self._worker = threading.Thread(target=self._work, name="otel-prefect-starts", daemon=True)
                self._worker.start()

    @never_raises(None)
    def _work(self) -> None:
        exporters = self._make_exporters(_SEND_SECONDS)
        while not self._stopped:
            spans = [self._started.get()]
            time.sleep(_GATHERING_SECONDS)
            spans += _drained(self._started)
            self._send([span for span in spans if span is not None], exporters)

    @never_raises(None)
    def _send(self, spans: Sequence[Span], exporters: Sequence[SpanExporter]) -> None:
        with self._sending, suppress_instrumentation():
            running = [snapshot(span) for span in spans if span.is_recording()]
            if running and not self._stopped:
                for exporter in exporters:
                    exporter.export(running)


class AfterStarts(SpanExporter):
    """Sends ends through another exporter, each after the start of the same span."""

    def __init__(self, exporter: SpanExporter, starts: StartSpans) -> None:
        self._exporter = exporter
        self._starts = starts

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Wait for starts that are being sent, in bounded time; then send."""
        self._starts.wait()
        return self._exporter.export(spans)

    def shutdown(self) -> None:
        """Shut the other exporter down."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Flush the other exporter."""
        return self._exporter.force_flush(timeout_millis)


def is_run_level(span: ReadableSpan) -> bool:
    """Tell whether a span is a flow run, a task run or a program of ``otel-prefect run``."""
    attributes = span.attributes
    if attributes and semconv.PREFECT_RUN_ID in attributes:
        return True
    scope = span.instrumentation_scope
    return scope is not None and scope.name == semconv.PROGRAM_SCOPE


def snapshot(span: ReadableSpan) -> ReadableSpan:
    """Return a span as it is at its start, marked as in progress: no end, no status, no events."""
    return ReadableSpan(
        name=span.name,
        context=span.get_span_context(),
        parent=span.parent,
        resource=span.resource,
        attributes={**(span.attributes or {}), semconv.XRAY_IN_PROGRESS: True},
        links=span.links,
        kind=span.kind,
        start_time=span.start_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def _drained(queue: SimpleQueue[Span | None]) -> list[Span | None]:
    spans = []
    try:
        while True:
            spans.append(queue.get_nowait())
    except Empty:
        return spans
