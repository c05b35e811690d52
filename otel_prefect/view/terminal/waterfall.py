"""All of a run, to scale."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.bar import Bar
from rich.table import Table
from rich.text import Text

from otel_prefect.view.attempts import attempts
from otel_prefect.view.critical_path import seconds_by_span
from otel_prefect.view.execution import Status
from otel_prefect.view.terminal.style import LEAST_SHARE, STATUSES, colours, label
from otel_prefect.view.words import duration

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from otel_prefect.view.critical_path import Step
    from otel_prefect.view.execution import Execution, Span

ON_PATH: Final = "◆"
_NAME_WIDTH: Final = 52
_LEAST_BAR: Final = 20
_MOST_CHILDREN: Final = 12
"""Of one span; of more, those that failed and the longest are shown, and how many the others are."""


def waterfall(execution: Execution, path: Sequence[Step], until: float) -> Table:
    """Return a row for each span that is shown.

    Args:
        execution: of one trace.
        path: its critical path.
        until: seconds since 1970, for what is in progress.
    """
    table = Table.grid(padding=(0, 1), expand=True)
    table.add_column(no_wrap=True, overflow="ellipsis", max_width=_NAME_WIDTH)
    table.add_column(no_wrap=True)
    table.add_column(ratio=1, min_width=_LEAST_BAR)
    table.add_column(no_wrap=True, justify="right")
    table.add_column(no_wrap=True)
    whole = max(until - execution.start, 1e-9)
    waited_for = seconds_by_span(path)
    colour_of, tried = colours(execution), attempts(execution)
    for prefix, span, folded in in_order(execution):
        if span is None:
            table.add_row(Text(f"{prefix}… {folded:,} more", style="dim"), "", "", "", "")
            continue
        begin, end = span.start - execution.start, span.until(until) - execution.start
        colour = colour_of[execution.process(span).id]
        table.add_row(
            Text.assemble((prefix, "dim"), *label(span, colour)),
            Text(ON_PATH if waited_for.get(span.id, 0) >= whole * LEAST_SHARE else "", style="dim"),
            # A sliver at least, or what was short would seem to be missing.
            Bar(whole, begin, max(end, begin + whole / 200), color=colour),
            Text(duration(end - begin), style="dim"),
            _status(span, tried.get(span.id)),
        )
    return table


def _status(span: Span, attempt: tuple[int, int] | None) -> Text:
    status = "" if span.status is Status.OK else span.status.value
    text = Text(status, style=STATUSES[span.status])
    if attempt:
        text.append(f"{' ' if status else ''}{attempt[0]}/{attempt[1]}", "dim")
    return text


def in_order(execution: Execution) -> Iterator[tuple[str, Span | None, int]]:
    """Yield each span that is shown with the lines that lead to it; None with how many are not."""

    def below(spans: Sequence[Span], indent: str, *, top: bool) -> list[tuple[str, Span | None, int, str]]:
        shown, folded = _shown(execution, spans)
        rows: list[tuple[str, Span | None, int, str]] = []
        for span in shown:
            is_last = span is shown[-1] and not folded
            branch = "" if top else "└ " if is_last else "├ "
            rows.append((indent + branch, span, 0, indent + ("" if top else "  " if is_last else "│ ")))
        if folded:
            rows.append((indent + ("" if top else "└ "), None, folded, ""))
        return rows

    waiting = below(execution.roots(), "", top=True)[::-1]
    while waiting:
        prefix, span, folded, indent = waiting.pop()
        yield prefix, span, folded
        if span is not None:
            waiting += below(execution.children(span), indent, top=False)[::-1]


def _shown(execution: Execution, spans: Sequence[Span]) -> tuple[list[Span], int]:
    if len(spans) <= _MOST_CHILDREN:
        return list(spans), 0

    def matters(span: Span) -> tuple[bool, bool, float]:
        return span.status.is_bad, span.service is not None, span.until(execution.end) - span.start

    kept = {span.id for span in sorted(spans, key=matters, reverse=True)[: _MOST_CHILDREN - 1]}
    return [span for span in spans if span.id in kept], len(spans) - len(kept)
