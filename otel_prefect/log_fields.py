"""Every record of Python's ``logging`` says which run, task and trace it is of.

The fields are set on each record where it enters its logger. A ``LogRecord`` factory would be too early:
``Logger.makeRecord`` refuses an ``extra`` whose name the factory has set, and Prefect's own loggers pass
``flow_run_id`` as an extra.
"""

from __future__ import annotations

import functools
import logging
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

from opentelemetry import trace

from otel_prefect import ids, prefect_logs, runs, semconv
from otel_prefect.guard import never_raises
from otel_prefect.runs import Identity

if TYPE_CHECKING:
    from opentelemetry.trace import SpanContext

FIELDS = (
    semconv.RECORD_FLOW_RUN_ID,
    semconv.LOG_CORRELATION_ID,
    semconv.SOURCE,
    semconv.STAGE,
    semconv.RECORD_TASK_RUN_ID,
    semconv.RECORD_TRACE_ID,
    semconv.XRAY_TRACE_ID,
)
"""The names that a format string may use; each is text, ``unknown`` where there is nothing to say."""

_installed = False

UNKNOWN = dict.fromkeys(FIELDS, semconv.UNKNOWN)


class Place(NamedTuple):
    """Where a log record belongs.

    Attributes:
        run: the run that it is of.
        span: the span that it is of; one without a span id where only the trace is known.
    """

    run: Identity
    span: SpanContext | None


def install() -> None:
    """Set the fields on every log record of this process from now on. Again: changes nothing."""
    global _installed  # noqa: PLW0603 - a hook that goes in once
    if _installed:
        return
    _installed = True
    prefect_logs.install()
    original = logging.Logger.handle

    @functools.wraps(original)
    def handle(self: logging.Logger, record: logging.LogRecord) -> None:
        _stamp(record)
        original(self, record)

    logging.Logger.handle = handle  # type: ignore[method-assign]  # the one place that every record passes


def place_of(record: logging.LogRecord) -> Place:
    """Return where a record belongs: to the run that it names itself, else to the run that is current."""
    process = runs.of_process()
    run = _named_run(record) or process.current()
    span = trace.get_current_span().get_span_context()
    if span.is_valid:
        return Place(run, span)
    origin = process.origin(run)
    if origin.trace_id is None:
        return Place(run, origin.parent)
    return Place(run, trace.SpanContext(origin.trace_id, trace.INVALID_SPAN_ID, is_remote=False))


@never_raises(None)
def _stamp(record: logging.LogRecord) -> None:
    fields = record.__dict__
    if semconv.XRAY_TRACE_ID in fields:
        return  # it comes from another process, or through a second logger
    place = place_of(record)
    told = runs.of_process().environment
    run_id = None if place.run.flow_run_id is None else str(place.run.flow_run_id)
    values = {
        semconv.RECORD_FLOW_RUN_ID: run_id,
        semconv.LOG_CORRELATION_ID: told.log_correlation_id or run_id,
        semconv.SOURCE: told.source,
        semconv.STAGE: told.stage,
        semconv.RECORD_TASK_RUN_ID: None if place.run.task_run_id is None else str(place.run.task_run_id),
        semconv.RECORD_TRACE_ID: None if place.span is None else f"{place.span.trace_id:032x}",
        semconv.XRAY_TRACE_ID: None if place.span is None else ids.xray_trace_id(place.span.trace_id),
    }
    missing = semconv.UNKNOWN if prefect_logs.may_say_unknown() else None
    for name, value in values.items():
        if value or missing:
            fields.setdefault(name, value or missing)


def _named_run(record: logging.LogRecord) -> Identity | None:
    """Return the run that Prefect's run loggers name as extras; None on all other records."""
    flow_run_id = _uuid(record.__dict__.get(semconv.RECORD_FLOW_RUN_ID))
    task_run_id = _uuid(record.__dict__.get(semconv.RECORD_TASK_RUN_ID))
    return None if flow_run_id is None else Identity(flow_run_id, task_run_id)


def _uuid(value: object) -> UUID | None:
    if isinstance(value, UUID):
        return value
    try:
        return UUID(value) if isinstance(value, str) else None
    except ValueError:
        return None
