"""What was waited for, one after another, and what the time went into by process."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Final

from rich.table import Table
from rich.text import Text

from otel_prefect.view import gaps
from otel_prefect.view.terminal.style import LEAST_SHARE, STATUSES
from otel_prefect.view.words import clock, duration

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from otel_prefect.view.critical_path import Step
    from otel_prefect.view.execution import Execution

_MOST_SHARES: Final = 8
_NAME_WIDTH: Final = 32
_LEAST_SHARE: Final = 0.001
"""Of the execution, for a step to have a row; shorter ones in a row have one together."""


def steps(execution: Execution, path: Sequence[Step]) -> Table:
    """Return the critical path, step by step.

    Args:
        execution: of one trace.
        path: as ``critical_path`` gives it.
    """
    table = _table()
    whole = sum(step.seconds for step in path) or 1.0
    for start, process, what, seconds in _rows(execution, path, whole * _LEAST_SHARE):
        share = Text(f"{seconds / whole:.0%}", style="dim")
        table.add_row(Text(clock(start), style="dim"), process, what, duration(seconds), share)
    return table


def _rows(
    execution: Execution, path: Sequence[Step], least: float
) -> Iterator[tuple[float, Text, Text, float]]:
    """Yield for each step when it began, of which process, what it was, and its seconds."""
    for is_short, group in groupby(gaps.named(execution, path), lambda each: each[0].seconds < least):
        found = list(group)
        if is_short:
            seconds = sum(step.seconds for step, _, _ in found)
            yield found[0][0].start, Text(), Text(f"{len(found):,} short steps", style="dim"), seconds
            continue
        for step, kind, waited_for in found:
            name = Text(step.span.name, style=STATUSES[step.span.status])
            if kind is not gaps.Kind.OWN:
                name.append(f"  {kind.of(waited_for)}", "yellow")
            yield step.start, Text(execution.process(step.span).label, style="bold"), name, step.seconds


def shares(execution: Execution, path: Sequence[Step]) -> Table:
    """Return what was waited for, by process and what it did, the longest first."""
    table = Table.grid(padding=(0, 2))
    for each in gaps.shares(execution, path)[:_MOST_SHARES]:
        table.add_row(
            Text(each.process, style="bold"),
            Text.assemble(each.name, (f"  {each.waiting}" if each.waiting else "", "yellow")),
            Text(duration(each.seconds), justify="right"),
            Text(f"{each.share:.0%}", justify="right", style="dim"),
        )
    return table


def stages(execution: Execution, path: Sequence[Step]) -> Text:
    """Return how much of the time each stage of the pipeline was waited for, in a line."""
    found = [each for each in gaps.stages(execution, path) if each.share >= LEAST_SHARE]
    parts = [
        Text.assemble((each.stage, "bold"), f" {duration(each.seconds)} ", (f"{each.share:.0%}", "dim"))
        for each in found
    ]
    return Text("   ").join(parts)


def _table() -> Table:
    table = Table.grid(padding=(0, 2), expand=True)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, overflow="ellipsis", max_width=_NAME_WIDTH)
    # Of a narrow terminal this loses, not the numbers.
    table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    table.add_column(no_wrap=True, justify="right")
    table.add_column(no_wrap=True, justify="right")
    return table
