"""Writes a number in a panel's unit, short."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from dashboards.panels import Unit

if TYPE_CHECKING:
    from collections.abc import Callable

_SECONDS: Final = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))
_BYTES: Final = ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB"))
_COUNTS: Final = ((1e9, "G"), (1e6, "M"), (1e4, "k"))


def text(value: float, unit: Unit, now: float) -> str:
    """Return a value as text.

    Args:
        value: in the unit's own measure, as Grafana takes it.
        unit: it.
        now: seconds since 1970, for times.
    """
    if unit is Unit.FROM_NOW:
        ago = f"{_seconds(max(now - value / 1000, 0))} ago"
        return f"{time.strftime('%H:%M:%S', time.gmtime(value / 1000))} UTC, {ago}"
    return _WRITTEN.get(unit, _count)(value)


def _seconds(value: float) -> str:
    if 0 < abs(value) < 1:
        return f"{_digits(value * 1000)} ms"
    for size, name in _SECONDS:
        if abs(value) >= size:
            return f"{_digits(value / size)} {name}"
    return "0 s"


def _scaled(value: float, sizes: tuple[tuple[float, str], ...], gap: str, least: str) -> str:
    for size, name in sizes:
        if abs(value) >= size:
            return f"{_digits(value / size)}{gap}{name}"
    return f"{_digits(value)}{gap}{least}".rstrip()


def _count(value: float) -> str:
    return _scaled(value, _COUNTS, " ", "")


def _digits(value: float) -> str:
    """Return three digits that matter."""
    if value == round(value) and abs(value) < 1e6:
        return f"{value:,.0f}"
    return f"{value:,.{0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2}f}"


_WRITTEN: Final[dict[Unit, Callable[[float], str]]] = {
    Unit.SHARE: lambda value: f"{_digits(value * 100)} %",
    Unit.PERCENT: lambda value: f"{_digits(value)} %",
    Unit.SECONDS: _seconds,
    Unit.BYTES: lambda value: _scaled(value, _BYTES, " ", "B"),
    Unit.MEBIBYTES: lambda value: f"{_digits(value)} MiB",
    Unit.USD: lambda value: f"${value:,.2f}",
}
