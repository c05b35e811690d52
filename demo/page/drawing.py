"""Draws what a panel shows, as HTML and SVG."""

from __future__ import annotations

import math
import time
from html import escape
from typing import TYPE_CHECKING, Final

from dashboards.panels import Kind, Panel
from demo.page import answers, units

if TYPE_CHECKING:
    from collections.abc import Sequence

    from demo.page.answers import Series, Span

_WIDTH, _HEIGHT = 600, 190
_LEFT, _BOTTOM, _TOP, _RIGHT = 62, 24, 8, 10
_LINES: Final = 4
_TIMES: Final = 5
_COLORS: Final = 8
_MOST_SERIES: Final = 12


def panel(panel_: Panel, series: Sequence[Series], span: Span) -> str:
    """Return the inside of a panel; where there is nothing to show, why that may be."""
    if not series:
        return f'<p class="none">{escape(panel_.empty)}</p>'
    return _DRAWN[panel_.kind](panel_, series, span)


def _stat(panel_: Panel, series: Sequence[Series], span: Span) -> str:
    value = series[0].last
    shown = escape(units.text(value, panel_.unit, span.end))
    return f'<p class="stat {color(panel_, value)}">{shown}</p>'


def _ranks(panel_: Panel, series: Sequence[Series], span: Span) -> str:
    ordered = sorted(series, key=lambda each: -each.last)[:_MOST_SERIES]
    longest = panel_.highest or max(1e-9, *(each.last for each in ordered))
    rows = []
    for each in ordered:
        width = 100 * min(max(each.last / longest, 0.01), 1)
        shown = escape(units.text(each.last, panel_.unit, span.end))
        rows.append(
            f"<dt>{escape(each.name)}</dt>"
            f'<dd><i class="{color(panel_, each.last)}" style="width:{width:.1f}%"></i><b>{shown}</b></dd>'
        )
    return f'<dl class="ranks">{"".join(rows)}</dl>'


def _table(panel_: Panel, series: Sequence[Series], span: Span) -> str:
    query = panel_.prometheus[0]
    names = [name for name in answers.columns(panel_) if any(name in each.labels for each in series)]
    head = "".join(
        f'<th scope="col">{escape(name.replace("_", " "))}</th>' for name in [*names, query.legend]
    )
    rows = []
    for each in sorted(series, key=lambda each: -each.last):
        cells = "".join(f"<td>{escape(each.labels.get(name, ''))}</td>" for name in names)
        shown = escape(units.text(each.last, query.unit or panel_.unit, span.end))
        rows.append(f'<tr>{cells}<td class="number">{shown}</td></tr>')
    return (
        f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
    )


def _lines(panel_: Panel, series: Sequence[Series], span: Span) -> str:
    shown = series[:_MOST_SERIES]
    values = [value for each in shown for _, value in each.points]
    least, most = scale(min(0.0, *values), max(values))
    parts = [_axes(panel_, least, most, span)]
    for number, each in enumerate(shown):
        spots = [(_x(at, span), _y(value, least, most)) for at, value in each.points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in spots)
        parts.append(f'<polyline class="line s{number % _COLORS}" points="{path}"/>')
        parts += [
            f'<circle class="s{number % _COLORS}" cx="{x:.1f}" cy="{y:.1f}" r="3">'
            f"<title>{_said(panel_, each.name, at, value, span)}</title></circle>"
            for (x, y), (at, value) in zip(spots, each.points, strict=True)
        ]
    return _graph(panel_, parts) + _legend(panel_, shown, span)


def _bars(panel_: Panel, series: Sequence[Series], span: Span) -> str:
    shown = series[:_MOST_SERIES]
    stacks: dict[float, float] = {}
    for each in shown:
        for at, value in each.points:
            stacks[at] = stacks.get(at, 0.0) + max(value, 0.0)
    least, most = scale(0.0, max(stacks.values()))
    width = max((_WIDTH - _LEFT - _RIGHT) * span.step(panel_.prometheus[0]) / span.seconds * 0.8, 3)
    parts = [_axes(panel_, least, most, span)]
    reached = dict.fromkeys(stacks, 0.0)
    for number, each in enumerate(shown):
        for at, value in each.points:
            if value <= 0:
                continue
            low, high = _y(reached[at], least, most), _y(reached[at] + value, least, most)
            reached[at] += value
            parts.append(
                f'<rect class="s{number % _COLORS}" x="{_x(at, span) - width / 2:.1f}" y="{high:.1f}" '
                f'width="{width:.1f}" height="{max(low - high, 0.5):.1f}">'
                f"<title>{_said(panel_, each.name, at, value, span)}</title></rect>"
            )
    return _graph(panel_, parts) + _legend(panel_, shown, span)


_DRAWN: Final = {
    Kind.STAT: _stat,
    Kind.RANKS: _ranks,
    Kind.TABLE: _table,
    Kind.LINES: _lines,
    Kind.BARS: _bars,
}


def color(panel_: Panel, value: float) -> str:
    """Return the colour of the highest threshold that a value reaches."""
    found = panel_.thresholds[0][1]
    for least, name in panel_.thresholds:
        if least is not None and value >= least:
            found = name
    return found


def scale(least: float, most: float) -> tuple[float, float]:
    """Return the ends of a scale with round lines that has room for both values."""
    if most <= least:
        most = least + 1
    rough = (most - least) / _LINES
    size = 10 ** math.floor(math.log10(rough))
    step = next(each * size for each in (1, 2, 2.5, 5, 10) if each * size >= rough)
    return math.floor(least / step) * step, math.floor(least / step) * step + _steps(least, most, step) * step


def _steps(least: float, most: float, step: float) -> int:
    return max(math.ceil((most - math.floor(least / step) * step) / step - 1e-9), 1)


def _axes(panel_: Panel, least: float, most: float, span: Span) -> str:
    parts = []
    for number in range(_LINES + 1):
        value = least + (most - least) * number / _LINES
        y = _y(value, least, most)
        shown = escape(units.text(value, panel_.unit, span.end))
        parts.append(
            f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{shown}</text>'
        )
    form = "%H:%M" if span.seconds < 2 * 86_400 else "%d %b"
    for number in range(_TIMES):
        at = span.start + span.seconds * number / (_TIMES - 1)
        anchor = "start" if number == 0 else "end" if number == _TIMES - 1 else "middle"
        shown = time.strftime(form, time.gmtime(at))
        parts.append(f'<text x="{_x(at, span):.1f}" y="{_HEIGHT - 6}" text-anchor="{anchor}">{shown}</text>')
    return "".join(parts)


def _x(at: float, span: Span) -> float:
    share = (at - span.start) / span.seconds
    return _LEFT + (_WIDTH - _LEFT - _RIGHT) * min(max(share, 0), 1)


def _y(value: float, least: float, most: float) -> float:
    return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (1 - (value - least) / (most - least))


def _graph(panel_: Panel, parts: list[str]) -> str:
    title = escape(panel_.title)
    return f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{title}">{"".join(parts)}</svg>'


def _legend(panel_: Panel, series: Sequence[Series], span: Span) -> str:
    items = "".join(
        f'<li><i class="s{number % _COLORS}"></i>{escape(each.name or panel_.title)} '
        f"<b>{escape(units.text(_told(panel_, each), panel_.unit, span.end))}</b></li>"
        for number, each in enumerate(series)
    )
    return f'<ul class="legend">{items}</ul>'


def _told(panel_: Panel, series: Series) -> float:
    """Return what stands beside a name: of bars all together, of a line the newest."""
    return sum(value for _, value in series.points) if panel_.kind is Kind.BARS else series.last


def _said(panel_: Panel, name: str, at: float, value: float, span: Span) -> str:
    shown = units.text(value, panel_.unit, span.end)
    return escape(f"{name} {time.strftime('%H:%M:%S', time.gmtime(at))} UTC: {shown}")
