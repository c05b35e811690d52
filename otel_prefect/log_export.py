"""Every record of Python's ``logging`` goes out over OTLP, once.

The hook is in ``Logger.callHandlers``, not a handler at the root logger: a handler there is removed by
Prefect's logging set-up, keeps ``logging.basicConfig`` from doing anything, takes the place of the standard
library's last resort on stderr, and misses loggers that do not propagate.
"""

from __future__ import annotations

import functools
import logging
import traceback
from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.context import get_current
from opentelemetry.instrumentation.utils import is_instrumentation_enabled
from opentelemetry.semconv.attributes import exception_attributes

from otel_prefect import ids, log_fields, runs, semconv
from otel_prefect.guard import never_raises

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry._logs import LoggerProvider
    from opentelemetry.util.types import AnyValue

# What is an attribute of every record (https://docs.python.org/3/library/logging.html#logrecord-attributes)
# is no extra, nor are our own fields.
_NOT_EXTRA = frozenset(vars(logging.makeLogRecord({}))) | {
    "message",
    "asctime",
    "taskName",
    "send_to_api",  # Prefect's word to its own handler
    *log_fields.FIELDS,
}

_RENAMED = {
    semconv.RECORD_FLOW_RUN_NAME: semconv.FLOW_RUN_NAME,
    semconv.RECORD_FLOW_NAME: semconv.FLOW_NAME,
    semconv.RECORD_TASK_RUN_NAME: semconv.TASK_RUN_NAME,
    semconv.RECORD_TASK_NAME: semconv.TASK_NAME,
}

# Lowest level of Python → OTel severity, by the log data model's table
# (https://opentelemetry.io/docs/specs/otel/logs/data-model-appendix/#appendix-b-severitynumber-example-mappings).
_SEVERITIES = (
    (logging.CRITICAL, SeverityNumber.FATAL, "FATAL"),
    (logging.ERROR, SeverityNumber.ERROR, "ERROR"),
    (logging.WARNING, SeverityNumber.WARN, "WARN"),
    (logging.INFO, SeverityNumber.INFO, "INFO"),
    (logging.DEBUG, SeverityNumber.DEBUG, "DEBUG"),
    (logging.NOTSET, SeverityNumber.TRACE, "TRACE"),
)

_emit: Callable[[logging.LogRecord], None] | None = None
_hooked = False


def install(provider: LoggerProvider) -> None:
    """Send every log record that a logger passes on to its handlers from now on.

    Records that come from sending itself (the exporter's and its HTTP client's) are left out, or each
    batch would make the next. A second call replaces the provider.

    Args:
        provider: that makes and exports OTel's records; the logger's name becomes their scope.
    """
    global _emit  # noqa: PLW0603 - read by the hook, which can be put in only once

    @never_raises(None)
    def emit(record: logging.LogRecord) -> None:
        if is_instrumentation_enabled():
            provider.get_logger(record.name).emit(translate(record))

    _emit = emit
    _hook()


def uninstall() -> None:
    """Send no more records; the hook stays, and does nothing."""
    global _emit  # noqa: PLW0603 - as in install
    _emit = None


def _hook() -> None:
    global _hooked  # noqa: PLW0603 - a hook that goes in once
    if _hooked:
        return
    _hooked = True
    original = logging.Logger.callHandlers

    @functools.wraps(original)
    def call_handlers(self: logging.Logger, record: logging.LogRecord) -> None:
        if _emit is not None:
            _emit(record)
        original(self, record)

    logging.Logger.callHandlers = call_handlers  # type: ignore[method-assign]  # see the module's docstring


def translate(record: logging.LogRecord) -> LogRecord:
    """Return OTel's form of a record, with the ids of its run, its exception and its extras."""
    place = log_fields.place_of(record)
    context = get_current()
    if place.span is not None:
        # Where no span is current this gives the record its trace all the same.
        context = trace.set_span_in_context(trace.NonRecordingSpan(place.span), context)
    severity, text = _severity(record.levelno)
    return LogRecord(
        timestamp=int(record.created * 1e9),
        context=context,
        severity_number=severity,
        severity_text=text,
        body=message(record),
        attributes=extras(record) | exception(record) | identity(place),
    )


def identity(place: log_fields.Place) -> dict[str, AnyValue]:
    """Return the ids of a record; what is not known is left out, so that no search finds "unknown"."""
    told = runs.of_process().environment
    run_id, task_run_id = place.run
    values = {
        semconv.RECORD_FLOW_RUN_ID: run_id,
        semconv.TASK_RUN_ID: task_run_id,
        semconv.XRAY_TRACE_ID: None if place.span is None else ids.xray_trace_id(place.span.trace_id),
        semconv.LOG_CORRELATION_ID: told.log_correlation_id or run_id,
        semconv.SOURCE: told.source,
        semconv.STAGE: told.stage,
    }
    return {key: str(value) for key, value in values.items() if value is not None}


def exception(record: logging.LogRecord) -> dict[str, AnyValue]:
    """Return the exception by https://opentelemetry.io/docs/specs/semconv/exceptions/exceptions-logs/."""
    if not isinstance(record.exc_info, tuple) or record.exc_info[0] is None:
        return {}
    kind, value, trace_back = record.exc_info
    module = "" if kind.__module__ in ("builtins", "__main__") else f"{kind.__module__}."
    return {
        exception_attributes.EXCEPTION_TYPE: f"{module}{kind.__qualname__}",
        exception_attributes.EXCEPTION_MESSAGE: _text(value),
        exception_attributes.EXCEPTION_STACKTRACE: "".join(
            traceback.format_exception(kind, value, trace_back)
        ),
    }


def extras(record: logging.LogRecord) -> dict[str, AnyValue]:
    """Return what the user's call passed as ``extra``, under Prefect's attribute names where it has one."""
    return {
        _RENAMED.get(key, key): _value(value)
        for key, value in record.__dict__.items()
        if key not in _NOT_EXTRA and not key.startswith("_") and value is not None
    }


def _value(value: object) -> AnyValue:
    """Return a value that OTLP can carry: numbers and truth values as they are, the rest as text."""
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return str(value)  # 64 bits are what OTLP has for an integer
    return value if isinstance(value, bool | int | float) else _text(value)


def _text(value: object) -> str:
    try:
        return _encodable(str(value))
    except Exception:  # a user's __str__ may do anything
        return f"<{type(value).__name__} that cannot be shown>"


def _encodable(text: str) -> str:
    """Return text that UTF-8 can hold: one lone surrogate would cost the whole batch."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def message(record: logging.LogRecord) -> str:
    """Return the record's text, also where its arguments do not fit it."""
    try:
        return _encodable(record.getMessage())
    except Exception:  # arguments that do not fit the text; logging shows the user where
        return f"{_text(record.msg)} {_text(record.args)}"


def _severity(level: int | None) -> tuple[SeverityNumber, str]:
    return next(
        (severity, text)
        for lowest, severity, text in _SEVERITIES
        if (level or logging.NOTSET) >= lowest or lowest == logging.NOTSET
    )
