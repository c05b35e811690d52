"""Keeps ``unknown`` out of what Prefect's own log handler reads.

``APILogHandler.prepare`` takes ``flow_run_id`` and ``task_run_id`` from the record and refuses what is not
an id. So it is shown a copy of the record without the fields that say ``unknown``. Where that class is not
as expected, records do not get those fields in the first place (``may_say_unknown``).
"""

from __future__ import annotations

import copy
import sys
from typing import TYPE_CHECKING, Any

import wrapt

from otel_prefect import semconv

if TYPE_CHECKING:
    import logging

_MODULE = "prefect.logging.handlers"
_IDS = (semconv.RECORD_FLOW_RUN_ID, semconv.RECORD_TASK_RUN_ID)

_installed = False
_wrapped = False


def install() -> None:
    """Stand before Prefect's handler, now or as soon as Prefect is imported. Again: changes nothing."""
    global _installed  # noqa: PLW0603 - a hook that goes in once
    if not _installed:
        _installed = True
        wrapt.register_post_import_hook(_wrap, _MODULE)


def may_say_unknown() -> bool:
    """Tell whether a record without a run may carry ``unknown`` as its ids."""
    return _wrapped or _MODULE not in sys.modules


def _wrap(module: Any) -> None:
    global _wrapped  # noqa: PLW0603 - read by may_say_unknown
    # Absent in a Prefect that has changed, or while the module is only half imported.
    if hasattr(getattr(module, "APILogHandler", None), "prepare"):
        wrapt.wrap_function_wrapper(module, "APILogHandler.prepare", _prepare)
        _wrapped = True


def _prepare(wrapped: Any, _: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if not args:
        return wrapped(**kwargs)
    return wrapped(_without_unknown(args[0]), *args[1:], **kwargs)


def _without_unknown(record: logging.LogRecord) -> logging.LogRecord:
    unknown = [name for name in _IDS if record.__dict__.get(name) == semconv.UNKNOWN]
    if not unknown:
        return record
    shown = copy.copy(record)
    for name in unknown:
        del shown.__dict__[name]
    return shown
