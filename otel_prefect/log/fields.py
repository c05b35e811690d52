"""Every record of Python's ``logging`` says which run, task and trace it is of.

The fields are set on each record where it enters its logger. A ``LogRecord`` factory would be too early:
``Logger.makeRecord`` refuses an ``extra`` whose name the factory has set, and Prefect's own loggers pass
``flow_run_id`` as an extra.
"""

from __future__ import annotations

import functools
import logging
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from opentelemetry import trace

from otel_prefect import ids, runs, semconv
from otel_prefect.guard import never_raises
from otel_prefect.prefect import logs as prefect_logs
from otel_prefect.runs import Identity

if TYPE_CHECKING:
    from opentelemetry.trace import SpanContext
    from opentelemetry.util.types import AnyValue

    from otel_prefect.environment import Environment

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

BARE = len(vars(logging.makeLogRecord({})))
"""How many attributes a record has that a call without extras makes."""

exporting = False
"""Whether ``log_export`` is there to take the place of each record."""

_installed = False

UNKNOWN = dict.fromkeys(FIELDS, semconv.UNKNOWN)

# Where a record's place waits, between the two hooks, for what exports the record; no handler sees it.
_PLACE = "_otel_prefect_place"
# Text of runs and traces that records were of lately. A process has few at a time; a flow that maps a task
# over thousands of values has many in the end.
_CACHE_LIMIT = 512
_cache: dict[tuple[object, ...], Words] = {}
_last: Words | None = None


class Place(NamedTuple):
    """Where a log record belongs.

    Attributes:
        run: the run that it is of.
        span: the span that it is of; one without a span id where only the trace is known.
    """

    run: Identity
    span: SpanContext | None


class Words(NamedTuple):
    """What is said of a place. The dicts are shared: change copies of them.

    Attributes:
        told: what the process, or the message that is being worked on, was told.
        run: of the place.
        trace_id: of the place; None where it has none.
        fields: of Python's records, by the names in ``FIELDS``; those of which nothing is known are missing.
        shown: the same, with ``unknown`` for what is missing.
        attributes: of OTel's records; what is not known is left out, so that no search finds "unknown".
    """

    told: Environment
    run: Identity
    trace_id: int | None
    fields: dict[str, str]
    shown: dict[str, str]
    attributes: dict[str, AnyValue]


def install() -> None:
    """Set the fields on every log record of this process from now on. Again: changes nothing."""
    global _installed  # noqa: PLW0603 - a hook that goes in once
    if _installed:
        return
    _installed = True
    prefect_logs.install()
    by_logger, by_handler = logging.Logger.handle, logging.Handler.handle

    @functools.wraps(by_logger)
    def handle(self: logging.Logger, record: logging.LogRecord) -> None:
        # Else it comes from another process, or through a second logger.
        if semconv.XRAY_TRACE_ID not in record.__dict__:
            _stamp(record, exporting)
        by_logger(self, record)

    @functools.wraps(by_handler)
    def handle_late(self: logging.Handler, record: logging.LogRecord) -> Any:
        # It has come through no logger here: it was made before us, or by another process.
        if semconv.XRAY_TRACE_ID not in record.__dict__:
            _stamp(record, keep_place=False)
        return by_handler(self, record)

    logging.Logger.handle = handle  # type: ignore[method-assign]  # the one place that every record passes
    logging.Handler.handle = handle_late  # type: ignore[method-assign]


def place_of(record: logging.LogRecord) -> Place:
    """Return where a record belongs: to the run that it names itself, else to the run that is current."""
    fields = record.__dict__
    named = fields.get(semconv.RECORD_FLOW_RUN_ID)
    if named is None:
        return current_place()
    return current_place(_identity(named, fields.get(semconv.RECORD_TASK_RUN_ID)))


def current_place(run: Identity | None = None) -> Place:
    """Return where the calling code belongs.

    Args:
        run: that it is known to be of; the current one where it is None.
    """
    process = runs.of_process()
    run = run or process.current()
    span = trace.get_current_span().get_span_context()
    if span.is_valid:
        return Place(run, span)
    origin = process.origin(run)
    if origin.trace_id is None:
        return Place(run, origin.parent)
    return Place(run, trace.SpanContext(origin.trace_id, trace.INVALID_SPAN_ID, is_remote=False))


def take_place(record: logging.LogRecord) -> Place | None:
    """Return where a record belongs, if it was found when the record got its fields, and forget it."""
    place: Place | None = record.__dict__.pop(_PLACE, None)
    return place


def words(place: Place) -> Words:
    """Return what is said of a place."""
    global _last  # noqa: PLW0603 - a cache
    run, span = place
    trace_id = None if span is None else span.trace_id
    told = runs.of_process().environment
    # By identity first, which is cheaper than the hash of two UUIDs: most records are of the last one's run.
    last = _last
    if (
        last is not None
        and last.told is told
        and last.trace_id == trace_id
        and last.run.flow_run_id is run.flow_run_id
        and last.run.task_run_id is run.task_run_id
    ):
        return last
    key = (told.source, told.stage, told.log_correlation_id, run.flow_run_id, run.task_run_id, trace_id)
    found = _cache.get(key)
    if found is None:
        if len(_cache) >= _CACHE_LIMIT:
            _cache.clear()
        found = _cache[key] = _words(told, run, trace_id)
    _last = found
    return found


def _words(told: Environment, run: Identity, trace_id: int | None) -> Words:
    flow_run_id, task_run_id = (None if value is None else str(value) for value in run)
    xray_trace_id = None if trace_id is None else ids.xray_trace_id(trace_id)
    correlation = told.log_correlation_id or flow_run_id
    fields = {
        semconv.RECORD_FLOW_RUN_ID: flow_run_id,
        semconv.LOG_CORRELATION_ID: correlation,
        semconv.SOURCE: told.source,
        semconv.STAGE: told.stage,
        semconv.RECORD_TASK_RUN_ID: task_run_id,
        semconv.RECORD_TRACE_ID: None if trace_id is None else f"{trace_id:032x}",
        semconv.XRAY_TRACE_ID: xray_trace_id,
    }
    attributes = {
        semconv.RECORD_FLOW_RUN_ID: flow_run_id,
        semconv.TASK_RUN_ID: task_run_id,
        semconv.XRAY_TRACE_ID: xray_trace_id,
        semconv.LOG_CORRELATION_ID: correlation,
        semconv.SOURCE: told.source,
        semconv.STAGE: told.stage,
    }
    known = {name: value for name, value in fields.items() if value}
    said: dict[str, AnyValue] = {name: value for name, value in attributes.items() if value is not None}
    return Words(told, run, trace_id, known, UNKNOWN | known, said)


@never_raises(None)
def _stamp(record: logging.LogRecord, keep_place: bool = False) -> None:
    fields = record.__dict__
    place = place_of(record)
    said = words(place)
    shown = said.shown if prefect_logs.may_say_unknown() else said.fields
    if len(fields) == BARE:
        fields.update(shown)
    else:
        for name, value in shown.items():
            fields.setdefault(name, value)
    if keep_place:
        fields[_PLACE] = place


def _identity(flow_run_id: object, task_run_id: object) -> Identity | None:
    """Return the run that Prefect's run loggers name as extras; None where it is none."""
    found = _uuid(flow_run_id)
    return None if found is None else Identity(found, _uuid(task_run_id))


def _uuid(value: object) -> UUID | None:
    if isinstance(value, UUID):
        return value
    return ids.read_uuid(value) if isinstance(value, str) else None
