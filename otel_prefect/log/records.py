"""What a log record of OTel's is made of, whatever library it was logged with."""

from __future__ import annotations

import logging
import traceback
from collections import deque
from contextvars import ContextVar
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from opentelemetry._logs import LogRecord, SeverityNumber

from otel_prefect import semconv
from otel_prefect.log import fields as log_fields

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import TracebackType

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

# How many attributes a record without extras has, once it has our fields and before a formatter has seen it.
_PLAIN = log_fields.BARE + len(log_fields.FIELDS)

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


# Exceptions that the last records were about.
_described: deque[tuple[object, ...]] = deque(maxlen=16)


class Rendered(NamedTuple):
    """A record that another library has made one text of, on its way to ``logging``.

    Attributes:
        message: what it hands to ``logging`` as the record's message.
        text: what was logged.
        values: what was logged with it.
    """

    message: object
    text: str
    values: Mapping[str, object]


rendered: ContextVar[Rendered | None] = ContextVar("otel_prefect_rendered", default=None)
"""The last such record of this context."""


def translate(record: logging.LogRecord, place: log_fields.Place | None = None) -> LogRecord:
    """Return OTel's form of a record, with the ids of its run, its exception and its extras.

    Args:
        record: one of ``logging``.
        place: where it belongs; found where it is None.
    """
    made = rendered.get()
    if made is not None and made.message is record.msg:
        body, attributes = text(made.text), values(made.values.items())
    else:
        body, attributes = message(record), extras(record)
    if record.exc_info:
        attributes |= exception(record)
    return record_of(
        place or log_fields.place_of(record), int(record.created * 1e9), record.levelno, body, attributes
    )


def record_of(
    place: log_fields.Place, nanoseconds: int, level: int, body: str, attributes: dict[str, AnyValue]
) -> LogRecord:
    """Return a record of OTel's.

    Args:
        place: where it belongs.
        nanoseconds: since 1970.
        level: by Python's numbers.
        body: its text.
        attributes: of its own; those of its place are added to them, and win.
    """
    severity, name = _severity(level)
    attributes.update(log_fields.words(place).attributes)
    made = LogRecord(
        timestamp=nanoseconds,
        severity_number=severity,
        severity_text=name,
        body=body,
        attributes=attributes,
    )
    if place.span is not None:
        # Where no span is current this gives the record its trace all the same.
        made.trace_id, made.span_id = place.span.trace_id, place.span.span_id
        made.trace_flags = place.span.trace_flags
    return made


def exception(record: logging.LogRecord) -> dict[str, AnyValue]:
    """Return the exception of a record; nothing where it has none."""
    if not isinstance(record.exc_info, tuple) or record.exc_info[1] is None:
        return {}
    return exception_attributes(record.exc_info[1], record.exc_info[2])


def exception_attributes(error: BaseException, trace_back: TracebackType | None) -> dict[str, AnyValue]:
    """Return an exception by https://opentelemetry.io/docs/specs/semconv/exceptions/exceptions-logs/."""
    kind = type(error)
    attributes: dict[str, AnyValue] = {
        semconv.EXCEPTION_TYPE: type_name(kind),
        semconv.EXCEPTION_MESSAGE: text(error),
        semconv.EXCEPTION_STACKTRACE: text("".join(traceback.format_exception(kind, error, trace_back))),
    }
    _described.append(_mark(error))
    return attributes


def was_described(error: BaseException) -> bool:
    """Tell whether one of the last records was about this exception."""
    return _mark(error) in _described


def _mark(error: BaseException) -> tuple[object, ...]:
    """Return what tells an exception from others, without keeping it and the frames that it holds alive.

    Its address alone would not do: a later exception may get it.
    """
    innermost = error.__traceback__
    while innermost is not None and innermost.tb_next is not None:
        innermost = innermost.tb_next
    where = None if innermost is None else (innermost.tb_frame.f_code.co_name, innermost.tb_lineno)
    return (id(error), type(error), text(error), where)


def type_name(kind: type) -> str:
    """Return a type's name, with its module where that says something."""
    module = "" if kind.__module__ in ("builtins", "__main__") else f"{kind.__module__}."
    return f"{module}{kind.__qualname__}"


def extras(record: logging.LogRecord) -> dict[str, AnyValue]:
    """Return what the user's call passed as ``extra``, under Prefect's attribute names where it has one."""
    fields = record.__dict__
    if len(fields) == _PLAIN and "message" not in fields and "asctime" not in fields:
        return {}
    names = fields.keys() - _NOT_EXTRA
    return values((name, fields[name]) for name in names if not name.startswith("_")) if names else {}


def values(pairs: Iterable[tuple[str, object]]) -> dict[str, AnyValue]:
    """Return what was logged with a record, by names, as OTLP can carry it; what is None is left out."""
    return {_RENAMED.get(name, name): _value(value) for name, value in pairs if value is not None}


def _value(value: object) -> AnyValue:
    """Return a value that OTLP can carry: numbers and truth values as they are, the rest as text."""
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return str(value)  # 64 bits are what OTLP has for an integer
    return value if isinstance(value, bool | int | float) else text(value)


def text(value: object) -> str:
    """Return a value as text that UTF-8 can hold: one lone surrogate would cost the whole batch."""
    try:
        found = str(value)
    except Exception:  # a user's __str__ may do anything
        return f"<{type(value).__name__} that cannot be shown>"
    return found if found.isascii() else found.encode("utf-8", "replace").decode()


def message(record: logging.LogRecord) -> str:
    """Return the record's text, also where its arguments do not fit it."""
    try:
        return text(record.getMessage())
    except Exception:  # arguments that do not fit the text; logging shows the user where
        return f"{text(record.msg)} {text(record.args)}"


@lru_cache(64)
def _severity(level: int | None) -> tuple[SeverityNumber, str]:
    for lowest, severity, name in _SEVERITIES:
        if (level or logging.NOTSET) >= lowest:
            return severity, name
    return _SEVERITIES[-1][1:]
