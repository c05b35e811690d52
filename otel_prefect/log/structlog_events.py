"""Events of structlog carry the fields of the run and go out over OTLP, once.

The fields are values of the event, so that any renderer shows them; what the code has bound itself wins.
What is sent is the event as it comes to the last processor, which renders it: what processors have taken out
of it, a password say, does not leave. Where structlog hands the event to ``logging``, it goes out from there,
with these values.

It is done by the sequence of processors that a bound logger is given: structlog's own functions call ours
between the user's, so that processors which look for the caller's frame find none of ours.
"""

from __future__ import annotations

import logging
import sys
import time
from typing import TYPE_CHECKING, Any

import wrapt

from otel_prefect.guard import never_raises
from otel_prefect.log import export as log_export
from otel_prefect.log import fields as log_fields
from otel_prefect.log import records as log_records

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    Processor = Callable[[Any, str, Any], Any]

_MODULE = "structlog._base"
_NAME = "structlog"

# Methods of loggers whose names are no level's.
_LEVELS = {
    "warn": logging.WARNING,
    "exception": logging.ERROR,
    "fatal": logging.CRITICAL,
    "msg": logging.INFO,
}
# Said by the record itself, or by its exception.
_NOT_VALUES = frozenset(
    {"event", "level", "logger", "timestamp", "exc_info", "exception", "stack_info", *log_fields.FIELDS}
)


def install() -> None:
    """Join structlog's loggers, now or as soon as it is imported; those that are bound from then on."""
    wrapt.register_post_import_hook(_wrap, _MODULE)


def _wrap(module: Any) -> None:
    # https://www.structlog.org/en/stable/api.html#structlog.BoundLoggerBase: the base of all bound loggers.
    if hasattr(module, "BoundLoggerBase"):
        wrapt.wrap_function_wrapper(module, "BoundLoggerBase.__init__", _init)


def _init(wrapped: Any, _: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    given = dict(zip(("logger", "processors", "context"), args, strict=False)) | kwargs
    if "processors" in given and not isinstance(given["processors"], _Processors):
        given["processors"] = _Processors(given["processors"])
    wrapped(**given)


class _Processors:
    """The user's processors, with ours before the first and around the last.

    They are looked up for each event: ``structlog.testing.capture_logs`` exchanges them in their list.
    """

    def __init__(self, users: Sequence[Processor]) -> None:
        self._users = users

    def __getattr__(self, name: str) -> Any:
        return getattr(self._users, name)

    def __len__(self) -> int:
        return len(self._users)

    def __getitem__(self, index: Any) -> Any:
        return self._users[index]

    def __iter__(self) -> Iterator[Processor]:
        processors = list(self._users)
        # What a test of the user's captures is what the code has logged, and goes nowhere.
        if not processors or type(processors[-1]).__name__ == "LogCapture":
            yield from processors
            return
        event = _Event(processors[-1])
        yield event.begin
        yield from processors[:-1]
        yield event.render


class _Event:
    """One event on its way through the processors."""

    def __init__(self, last: Processor) -> None:
        self._last = last
        self._error: BaseException | None = None

    def begin(self, _logger: Any, _method: str, event: Any) -> Any:
        """Keep the exception, of which processors make text."""
        if isinstance(event, dict) and event.get("exc_info"):
            self._error = _error(event["exc_info"])
        return event

    def render(self, logger: Any, method: str, event: Any) -> Any:
        """Add the fields, have the event rendered and send it."""
        values = _values(event) or {}
        rendered = self._last(logger, method, event)
        self._send(logger, method, values, rendered)
        return rendered

    @never_raises(None)
    def _send(self, logger: Any, method: str, values: dict[str, Any], rendered: Any) -> None:
        text = log_records.text(values.get("event", ""))
        attributes = log_records.values(
            (name, value)
            for name, value in values.items()
            if name not in _NOT_VALUES and not name.startswith("_")
        )
        if self._error is not None:
            attributes |= log_records.exception_attributes(self._error, self._error.__traceback__)
        if isinstance(logger, logging.Logger | logging.LoggerAdapter):
            log_records.rendered.set(log_records.Rendered(_message(rendered), text, attributes))
        elif log_export.is_new_to(_NAME):
            name, level = values.get("logger"), _level(method, values.get("level"))
            place = log_fields.current_place()
            record = log_records.record_of(place, time.time_ns(), level, text, attributes)
            log_export.send(name if isinstance(name, str) else _NAME, record)


@never_raises(None)
def _values(event: Any) -> dict[str, Any]:
    """Add the fields to an event; return a copy of it, since a renderer may take it apart."""
    if not isinstance(event, dict):
        return {"event": event}
    for name, value in log_fields.words(log_fields.current_place()).shown.items():
        event.setdefault(name, value)
    return dict(event)


def _error(exc_info: object) -> BaseException | None:
    """Return the exception that ``exc_info`` means, as ``logging`` reads it."""
    if isinstance(exc_info, BaseException):
        return exc_info
    if isinstance(exc_info, tuple):
        return exc_info[1] if len(exc_info) > 1 and isinstance(exc_info[1], BaseException) else None
    return sys.exc_info()[1]


def _message(rendered: Any) -> object:
    """Return what ``logging`` will find as the message of its record."""
    if isinstance(rendered, tuple) and len(rendered) == 2:
        arguments, keywords = rendered
        return arguments[0] if arguments else keywords.get("msg")
    # `render_to_log_kwargs` gives the text and passes the values as extras, which a record has anyway.
    return rendered.get("msg") if isinstance(rendered, dict) else rendered


def _level(*names: object) -> int:
    """Return the level of a method or of the event, the first that is one."""
    for name in names:
        known = _LEVELS.get(str(name)) or logging.getLevelName(str(name).upper())
        if isinstance(known, int):
            return known
    return logging.INFO
