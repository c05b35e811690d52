"""Nothing that goes wrong in this library may reach the code it is loaded into."""

from __future__ import annotations

import functools
import logging
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

_P = ParamSpec("_P")
_R = TypeVar("_R")
_D = TypeVar("_D")

_logger = logging.getLogger(__name__)
_reported: set[str] = set()


def never_raises(default: _D) -> Callable[[Callable[_P, _R]], Callable[_P, _R | _D]]:
    """Make a function that users' code calls without knowing it safe to call.

    An exception in it is logged once for each function, with its traceback, and the default is
    returned. ``BaseException`` (an interrupt, an exit) passes: it is not ours to hold back.

    Args:
        default: what the function gives where it fails.
    """

    def decorate(function: Callable[_P, _R]) -> Callable[_P, _R | _D]:
        @functools.wraps(function)
        def guarded(*args: _P.args, **kwargs: _P.kwargs) -> _R | _D:
            try:
                return function(*args, **kwargs)
            except Exception:  # the point of this module
                _report(function.__qualname__)
                return default

        return guarded

    return decorate


def warn_once(logger: logging.Logger, message: str, *args: object) -> None:
    """Log a warning the first time that this message, its arguments apart, is to be said in this process.

    Args:
        logger: the caller's own.
        message: with ``%`` places for the arguments.
        *args: what goes into them.
    """
    if message not in _reported:
        _reported.add(message)
        logger.warning(message, *args)


def _report(name: str) -> None:
    # Once: a defect in what runs for every span must not fill the user's log. Added before it is
    # logged, since logging may be the very thing that fails.
    if name not in _reported:
        _reported.add(name)
        _logger.warning("%s failed; your program is not affected, its telemetry may be", name, exc_info=True)
