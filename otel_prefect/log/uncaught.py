"""Warnings, and exceptions that nothing has caught, go out as log records too.

Python shows them on stderr by hooks that a program may replace. What it shows stays as it is, and so do the
program's hooks: an uncaught exception is heard of by Python's audit events, before any hook is called.
"""

from __future__ import annotations

import functools
import logging
import sys
import threading
import time
import warnings
from typing import TYPE_CHECKING, Any

from otel_prefect import audit, semconv
from otel_prefect.guard import never_raises
from otel_prefect.log import export as log_export
from otel_prefect.log import fields as log_fields
from otel_prefect.log import records as log_records

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from opentelemetry.util.types import AnyValue

_SCOPE = "otel_prefect.log.uncaught"
# What `logging.captureWarnings` calls their logger.
_WARNINGS_SCOPE = "py.warnings"

_installed = False


def install() -> None:
    """Hear of warnings and uncaught exceptions from now on. Again: changes nothing."""
    global _installed  # noqa: PLW0603 - hooks that go in once
    if _installed:
        return
    _installed = True
    audit.on("sys.excepthook", _on_exception)
    audit.on("sys.unraisablehook", _on_unraisable)
    _hear_threads()
    _hear_warnings()


def _on_exception(_hook: object, _kind: type, error: BaseException, trace_back: TracebackType | None) -> None:
    # Python ends by it, unless a thread of a library written in C has printed it.
    _send_exception(error, trace_back, logging.CRITICAL)


def _on_unraisable(_hook: object, unraisable: Any) -> None:
    if unraisable.exc_value is not None:
        where = f"{unraisable.err_msg or 'Exception ignored in'}: {log_records.text(unraisable.object)}"
        _send_exception(unraisable.exc_value, unraisable.exc_traceback, logging.ERROR, where)


def _hear_threads() -> None:
    """Hear of exceptions that end threads; there is no audit event for them."""
    # Each thread asks this for what calls `threading.excepthook`, whatever that is by then. Where a Python
    # has it no more, the hook that is there now is wrapped.
    make: Callable[[], Callable[[threading.Thread], None]] | None
    make = getattr(threading, "_make_invoke_excepthook", None)
    if make is None:
        threading.excepthook = _before_hook(threading.excepthook)
        return

    @functools.wraps(make)
    def make_heard() -> Callable[[threading.Thread], None]:
        invoke = make()

        def invoke_heard(thread: threading.Thread) -> None:
            _on_thread_exception()
            invoke(thread)

        return invoke_heard

    threading._make_invoke_excepthook = make_heard  # type: ignore[attr-defined]  # noqa: SLF001


def _before_hook(hook: Callable[[Any], object]) -> Callable[[Any], object]:
    @functools.wraps(hook)
    def heard(args: Any) -> object:
        _on_thread_exception()
        return hook(args)

    return heard


@never_raises(None)
def _on_thread_exception() -> None:
    error = sys.exc_info()[1]
    # An exit of a thread is no failure; Python ignores it too.
    if error is not None and not isinstance(error, SystemExit):
        _send_exception(error, error.__traceback__, logging.ERROR)


def _send_exception(
    error: BaseException, trace_back: TracebackType | None, level: int, where: str | None = None
) -> None:
    if log_records.was_described(error) or not log_export.is_new_to(_SCOPE):
        return  # Prefect and many a program log it first, and raise it again
    attributes = log_records.exception_attributes(error, trace_back)
    if threading.current_thread() is not threading.main_thread():
        attributes[semconv.THREAD_NAME] = threading.current_thread().name
    said = f"{log_records.type_name(type(error))}: {log_records.text(error)}"
    _send(_SCOPE, level, said if where is None else f"{where}: {said}", attributes)


def _hear_warnings() -> None:
    original = warnings.showwarning

    @functools.wraps(original)
    def show_warning(  # noqa: PLR0913, PLR0917 - the signature is Python's
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: Any = None,
        line: str | None = None,
    ) -> None:
        original(message, category, filename, lineno, file, line)
        # `logging.captureWarnings` makes records of them by itself.
        if file is None and original.__module__ != logging.__name__:
            _on_warning(message, category, filename, lineno)

    warnings.showwarning = show_warning


@never_raises(None)
def _on_warning(message: Warning | str, category: type[Warning], filename: str, lineno: int) -> None:
    if log_export.is_new_to(_WARNINGS_SCOPE):
        attributes: dict[str, AnyValue] = {
            semconv.EXCEPTION_TYPE: log_records.type_name(category),
            semconv.EXCEPTION_MESSAGE: log_records.text(message),
            semconv.CODE_FILE_PATH: filename,
            semconv.CODE_LINE_NUMBER: lineno,
        }
        _send(_WARNINGS_SCOPE, logging.WARNING, log_records.text(message), attributes)


def _send(scope: str, level: int, body: str, attributes: dict[str, AnyValue]) -> None:
    place = log_fields.current_place()
    log_export.send(scope, log_records.record_of(place, time.time_ns(), level, body, attributes))
