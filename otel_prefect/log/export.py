"""Every log record of this process goes out over OTLP, once.

The hook is in ``Logger.callHandlers``, not a handler at the root logger: a handler there is removed by
Prefect's logging set-up, keeps ``logging.basicConfig`` from doing anything, takes the place of the standard
library's last resort on stderr, and misses loggers that do not propagate.

structlog and loguru come by hooks of their own (``structlog_logs``, ``loguru_logs``). They may hand their
records to ``logging`` or take records from it; ``handing_on`` keeps those from going out a second time.
"""

from __future__ import annotations

import functools
import logging
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from opentelemetry.instrumentation.utils import is_instrumentation_enabled

from otel_prefect import semconv
from otel_prefect.guard import never_raises
from otel_prefect.log import fields as log_fields
from otel_prefect.log import records as log_records

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry._logs import Logger, LoggerProvider, LogRecord
    from opentelemetry.util.types import AnyValue

_provider: LoggerProvider | None = None
_loggers: dict[str, Logger] = {}
_hooked = False
# The library, of the two that may hand each other their records, whose handlers are at work on a record that
# has gone out. What the other one is given meanwhile is that record.
_handing_on: ContextVar[str] = ContextVar("otel_prefect_handing_on", default="")
_LOGGING = "logging"
LOGURU = "loguru"
loguru_is_used = False
"""Set by ``loguru_logs``: without loguru nobody hands records on."""


def install(provider: LoggerProvider) -> None:
    """Send every log record that a logger passes on to its handlers from now on.

    Records that come from sending itself (the exporter's and its HTTP client's) are left out, or each
    batch would make the next. A second call replaces the provider.

    Args:
        provider: that makes and exports OTel's records; the logger's name becomes their scope.
    """
    global _provider  # noqa: PLW0603 - read by the hook, which can be put in only once
    _loggers.clear()
    _provider = provider
    log_fields.exporting = True
    _hook()


def uninstall() -> None:
    """Send no more records; the hook stays, and does nothing."""
    global _provider  # noqa: PLW0603 - as in install
    _provider = None
    log_fields.exporting = False


def is_new_to(library: str) -> bool:
    """Tell whether a record of a library is to go out: not where another one has handed it on.

    Args:
        library: ``LOGURU``, or a name of a library that is handed nothing.
    """
    return _provider is not None and _handing_on.get() in ("", library) and is_instrumentation_enabled()


@contextmanager
def handing_on(library: str) -> Iterator[None]:
    """Keep what a library hands on inside from going out a second time."""
    token = _handing_on.set(library)
    try:
        yield
    finally:
        _handing_on.reset(token)


def send(name: str, record: LogRecord) -> None:
    """Send one record of OTel's.

    Args:
        name: of the logger, which becomes the scope.
        record: that is sent.
    """
    if _provider is None:
        return
    logger = _loggers.get(name)
    if logger is None:
        logger = _loggers[name] = _provider.get_logger(name)
    logger.emit(record)


@never_raises(None)
def _send(record: logging.LogRecord) -> None:
    place = log_fields.take_place(record)  # in any case: no handler is to see it
    if is_new_to(_LOGGING) and not _is_of_loguru(record):
        send(record.name, log_records.translate(record, place))


def _is_of_loguru(record: logging.LogRecord) -> bool:
    """Tell whether a record is loguru's, which hands its own to handlers of ``logging``."""
    extra = record.__dict__.get("extra")
    return isinstance(extra, dict) and semconv.XRAY_TRACE_ID in extra


def _hook() -> None:
    global _hooked  # noqa: PLW0603 - a hook that goes in once
    if _hooked:
        return
    _hooked = True
    original = logging.Logger.callHandlers

    @functools.wraps(original)
    def call_handlers(self: logging.Logger, record: logging.LogRecord) -> None:
        if _provider is not None:
            _send(record)
        if loguru_is_used:
            with handing_on(_LOGGING):
                original(self, record)
        else:
            original(self, record)

    logging.Logger.callHandlers = call_handlers  # type: ignore[method-assign]  # see the module's docstring


def identity(place: log_fields.Place) -> dict[str, AnyValue]:
    """Return the ids of a record; what is not known is left out, so that no search finds "unknown"."""
    return dict(log_fields.words(place).attributes)
