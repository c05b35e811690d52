"""Calls back when Python says that something happens in this process (https://peps.python.org/pep-0578/).

A hook cannot be taken away again and is called for every event there is, so all of ours are one.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from otel_prefect.guard import never_raises

if TYPE_CHECKING:
    from collections.abc import Callable

_callbacks: dict[str, list[Callable[..., None]]] = {}


def on(event: str, callback: Callable[..., None]) -> None:
    """Call a function at each event of a name, in the thread where it happens.

    What the function raises is logged and goes no further: it would stop what the event announces.

    Args:
        event: of https://docs.python.org/3/library/audit_events.html.
        callback: is given the event's arguments.
    """
    if not _callbacks:
        sys.addaudithook(_hook)
    _callbacks.setdefault(event, []).append(never_raises(None)(callback))


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    for callback in _callbacks.get(event, ()):
        callback(*arguments)
