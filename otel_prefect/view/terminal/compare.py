"""Shows in a terminal what is different between two executions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.console import Group
from rich.table import Table
from rich.text import Text

from otel_prefect.view.compare import compare
from otel_prefect.view.terminal.style import BAD, LEAST_SHARE, rule
from otel_prefect.view.words import duration, moment

if TYPE_CHECKING:
    from rich.console import RenderableType

    from otel_prefect.view.compare import Baseline, Difference
    from otel_prefect.view.execution import Execution

_MOST_DIFFERENCES: Final = 20
_LEAST_SECONDS: Final = 0.0005
_NUMBERS: Final = ("before", "now", "difference")


def show(after: Execution, before: Baseline) -> RenderableType:
    """Return what is different in an execution from another one, or from what is usual.

    Args:
        after: the execution that is looked at, with one span at least.
        before: what it is compared with.
    """
    both = Table.grid(padding=(0, 2))
    seconds = after.end - after.start
    for said, name, start, took in (
        ("this run", after.name, after.start, seconds),
        ("compared with", before.name, before.start, before.seconds),
    ):
        both.add_row(
            Text(said, style="dim"),
            Text(name, style="bold"),
            Text("" if start is None else moment(start)),
            Text(duration(took), style="bold", justify="right"),
        )
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for title in ("process", "what", "before", "now", "difference", ""):
        table.add_column(
            title, no_wrap=True, overflow="ellipsis", justify="right" if title in _NUMBERS else "left"
        )
    whole = max(seconds, before.seconds)
    found = [each for each in compare(after, before) if _matters(each, whole)]
    for each in found[:_MOST_DIFFERENCES]:
        table.add_row(
            Text(each.work[0], style="bold"),
            each.work[1],
            duration(each.before.seconds) if each.before.count else "",
            duration(each.after.seconds) if each.after.count else "",
            _change(each.seconds),
            Text(_said_of(each), style=BAD if each.fails_anew else "dim"),
        )
    if not found:
        return Group(both, Text("nothing is much different", style="dim"))
    more = len(found) - _MOST_DIFFERENCES
    rest = [Text(f"and {more} more", style="dim")] if more > 0 else []
    return Group(both, rule("what is different"), table, *rest)


def _change(seconds: float) -> Text:
    if abs(seconds) < _LEAST_SECONDS:
        return Text()
    sign, style = ("+", "red") if seconds > 0 else ("-", "green")
    return Text(f"{sign}{duration(abs(seconds))}", style=style)


def _matters(difference: Difference, whole: float) -> bool:
    return difference.fails_anew or abs(difference.seconds) >= whole * LEAST_SHARE


def _said_of(difference: Difference) -> str:
    if difference.fails_anew:
        return f"{difference.after.failed} failed, {difference.before.failed} before"
    if not difference.before.count:
        return "new"
    if not difference.after.count:
        return "gone"
    counts = difference.before.count, difference.after.count
    return "" if counts[0] == counts[1] else f"{counts[1]} times, {counts[0]} before"
