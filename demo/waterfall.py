"""Draws an X-Ray trace in a terminal: a line a span, nested, with bars to scale."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

from rich.bar import Bar
from rich.table import Table
from rich.text import Text

from otel_prefect import semconv

if TYPE_CHECKING:
    from collections.abc import Iterator

    from demo.readback import Segment, Trace

_NAME_WIDTH: Final = 44
_BAR_WIDTH: Final = 20
_COLOURS: Final = ("cyan", "magenta", "green", "yellow", "blue", "bright_red", "bright_cyan")
_STATUS_STYLES: Final = {"ok": "dim", "error": "yellow", "fault": "bold red", "in progress": "bold yellow"}


def colours(trace: Trace) -> dict[str, str]:
    """Return a colour for each process, in the order in which they first appear."""
    names = dict.fromkeys(
        trace.service_of(segment) for segment in sorted(trace.segments.values(), key=lambda each: each.start)
    )
    return {name: _COLOURS[position % len(_COLOURS)] for position, name in enumerate(names)}


def draw(trace: Trace) -> Table:
    """Return the waterfall of a trace, made of nothing but what X-Ray returned."""
    table = Table.grid(padding=(0, 1), expand=True)
    table.add_column(no_wrap=True, overflow="ellipsis", max_width=_NAME_WIDTH)
    table.add_column(ratio=1, min_width=_BAR_WIDTH)
    table.add_column(no_wrap=True, justify="right")
    table.add_column(no_wrap=True)
    if not trace.segments:
        return table
    first = min(segment.start for segment in trace.segments.values())
    last = max(segment.end or segment.start for segment in trace.segments.values())
    styles = colours(trace)
    for prefix, segment in _in_order(trace):
        style = styles[trace.service_of(segment)]
        end = segment.end or last
        table.add_row(
            Text.assemble((prefix, "dim"), *_label(segment, style)),
            # A bar has at least a visible sliver, or short spans would seem to be missing.
            Bar(
                last - first,
                segment.start - first,
                max(end - first, segment.start - first + (last - first) / 200),
                color=style,
            ),
            _seconds(end - segment.start),
            Text("" if segment.status == "ok" else segment.status, style=_STATUS_STYLES[segment.status]),
        )
    return table


def _in_order(trace: Trace) -> Iterator[tuple[str, Segment]]:
    """Yield each segment under its parent, siblings by their start, with the lines that lead to it."""
    children: dict[str | None, list[Segment]] = defaultdict(list)
    for segment in sorted(trace.segments.values(), key=lambda each: (each.start, each.id)):
        known = segment.parent_id in trace.segments
        children[segment.parent_id if known else None].append(segment)

    def walk(parent: str | None, indent: str) -> Iterator[tuple[str, Segment]]:
        siblings = children[parent]
        for segment in siblings:
            is_last = segment is siblings[-1]
            branch = "" if parent is None else "└ " if is_last else "├ "
            yield indent + branch, segment
            yield from walk(segment.id, indent + ("" if parent is None else "  " if is_last else "│ "))

    return walk(None, "")


def _label(segment: Segment, style: str) -> list[tuple[str, str]]:
    """Return the pieces of a segment's label, each with its style."""
    if not segment.is_process:
        return [(segment.name, "")]
    pieces = [(segment.name, f"bold {style}")]
    if source := segment.annotations.get(semconv.ANNOTATION_SOURCE):
        pieces.append((f" [{source}]", style))
    if segment.operation and segment.operation != segment.name:
        pieces.append((f" {segment.operation}", "dim"))
    return pieces


def _seconds(duration: float) -> Text:
    return Text(f"{duration * 1000:.0f} ms" if duration < 1 else f"{duration:.2f} s", style="dim")
