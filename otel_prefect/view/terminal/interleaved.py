"""The log of a run, with the begin and the end of its spans at their times."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from otel_prefect.view.execution import Status
from otel_prefect.view.terminal.style import LEVELS, STATUSES, colours
from otel_prefect.view.terminal.waterfall import in_order
from otel_prefect.view.words import clock, duration

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from otel_prefect.view.execution import Execution, Span
    from otel_prefect.view.log_lines import Line

_Row = tuple[float, int, Text, Text]
"""A time, what comes first of one time, whose it is, and what is said."""


def interleaved(execution: Execution, lines: Sequence[Line]) -> Table:
    """Return one row for each line of the log, and for each begin and end of the spans that are shown.

    Args:
        execution: of one trace.
        lines: its log, by time.
    """
    table = Table.grid(padding=(0, 1))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, overflow="ellipsis", max_width=28)
    # Whole: a stack trace that is cut is none.
    table.add_column(overflow="fold")
    rows = [*_spans(execution), *(_line(line) for line in lines)]
    for time, _, whose, said in sorted(rows, key=lambda row: row[:2]):
        table.add_row(Text(clock(time), style="dim"), whose, said)
    return table


def _spans(execution: Execution) -> Iterator[_Row]:
    shown = {span.id for _, span, _ in in_order(execution) if span is not None}
    colour_of = colours(execution)
    for depth, span in execution.walk():
        if span.id not in shown:
            continue
        process = execution.process(span)
        colour = colour_of[process.id]
        indent = "  " * depth
        whose = Text(process.label, style=colour)
        yield span.start, depth, whose, Text.assemble((f"{indent}▶ ", "dim"), span.name)
        if span.end is not None:
            # Of what ends at one time the innermost ends first.
            yield span.until(span.start), 2**31 - depth, whose, _end(span, indent)


def _end(span: Span, indent: str) -> Text:
    text = Text.assemble((f"{indent}■ {span.name}  {duration(span.until(span.start) - span.start)}", "dim"))
    if span.status is not Status.OK:
        text.append(f"  {span.status.value}", STATUSES[span.status])
    for caught in span.exceptions[:1]:
        text.append(f"  {caught.type.rpartition('.')[2]}: {caught.message}", STATUSES[span.status])
    return text


def _line(line: Line) -> _Row:
    style = LEVELS.get(line.level, "")
    said = Text.assemble((f"{line.level:5} ", style or "dim"), (line.message, style))
    return line.time, 2**30, Text(line.label), said
