"""Shows an execution in a terminal: what failed and its log, all of it to scale, and where the time went."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.bar import Bar
from rich.console import Group
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from otel_prefect import ids, semconv
from otel_prefect.view import gaps, log_lines
from otel_prefect.view.critical_path import critical_path, seconds_by_span
from otel_prefect.view.execution import Status
from otel_prefect.view.failures import failures
from otel_prefect.view.words import clock, duration, moment

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from rich.console import RenderableType

    from otel_prefect.view.critical_path import Step
    from otel_prefect.view.execution import Execution, Span
    from otel_prefect.view.failures import Failure
    from otel_prefect.view.log_lines import Line

_COLOURS: Final = ("cyan", "magenta", "green", "blue", "bright_cyan", "bright_magenta", "bright_green")
BAD: Final = "bold red"
_STYLES: Final = {
    Status.OK: "",
    Status.ERROR: "yellow",
    Status.FAULT: BAD,
    Status.THROTTLED: "yellow",
    Status.IN_PROGRESS: "bold yellow",
}
_LEVELS: Final = {"FATAL": BAD, "CRITICAL": BAD, "ERROR": "red", "WARN": "yellow", "WARNING": "yellow"}
_NAME_WIDTH: Final = 52
_LEAST_BAR: Final = 20
_MOST_CHILDREN: Final = 12
"""Of one span; of more, those that failed and the longest are shown, and how many the others are."""
_MOST_FAILURES: Final = 5
_MOST_FRAMES: Final = 4
_MOST_SHARES: Final = 8
_ON_PATH: Final = "◆"
LEAST_SHARE: Final = 0.01
"""Of the execution, for something to be worth a mark or a line."""


def show(
    execution: Execution,
    lines: Sequence[Line],
    now: float | None = None,
    places: Mapping[str, str] | None = None,
) -> RenderableType:
    """Return all of it, for a console of rich.

    Args:
        execution: of one trace, with one span at least.
        lines: its log, by time.
        now: in seconds since 1970, for what is in progress; None: the last time that the trace knows.
        places: what shows it too, by name, with the address.
    """
    until = max(execution.end, now or 0.0) if execution.in_progress else execution.end
    path = critical_path(execution, until)
    found = failures(execution)
    parts: list[RenderableType] = [_head(execution, until)]
    if found:
        parts += [rule("what failed"), *_failures(execution, found, lines)]
    parts += [
        rule(f"the run  [dim]{_ON_PATH} what was waited for[/]"),
        _waterfall(execution, path, until),
        rule("where the time went"),
        _shares(execution, path),
    ]
    if places:
        parts += [rule("elsewhere"), _places(places)]
    return Group(*parts)


def _places(places: Mapping[str, str]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    # Whole, or it could not be opened.
    table.add_column(overflow="fold")
    for name, address in places.items():
        table.add_row(Text(name, style="bold"), Text(address, style=f"dim link {address}"))
    return table


def rule(title: str) -> Rule:
    """Return the line above a part."""
    return Rule(f"[bold]{title}[/]", align="left", style="dim")


# --- the head -----------------------------------------------------------------------------------


def _head(execution: Execution, until: float) -> Table:
    first = execution.first
    state = str(first.attributes.get(semconv.PREFECT_STATE_NAME) or first.status.value)
    style = "bold green" if first.status is Status.OK else _STYLES[first.status] or "bold"
    run_name = first.attributes.get(semconv.PREFECT_RUN_NAME) or ""
    facts = Table.grid(padding=(0, 2))
    title = Text.assemble((state, style), "  ", (first.name, "bold"), f"  {run_name}")
    facts.add_row(title, Text(duration(until - execution.start), style="bold"))
    facts.add_row(Text(moment(execution.start)), "")
    run_id = first.attributes.get(semconv.RECORD_FLOW_RUN_ID)
    if run_id:
        facts.add_row(Text(f"flow run {run_id}"), "")
    facts.add_row(Text(f"X-Ray    {ids.xray_trace_id(int(execution.trace_id, 16))}"), "")
    missing = execution.missing_parents
    if missing:
        said = "span that others are under is" if len(missing) == 1 else "spans that others are under are"
        facts.add_row(Text(f"incomplete: {len(missing)} {said} not there", style="yellow"), "")
    return facts


# --- what failed --------------------------------------------------------------------------------


def _failures(
    execution: Execution, found: Sequence[Failure], lines: Sequence[Line]
) -> Iterator[RenderableType]:
    for number, failure in enumerate(found[:_MOST_FAILURES]):
        if number:
            yield Text()
        yield _failure(execution, failure)
        if not failure.recovered:
            yield from _said(execution, failure.span, lines)
    if len(found) > _MOST_FAILURES:
        yield Text(f"and {len(found) - _MOST_FAILURES} more", style="dim")


def _failure(execution: Execution, failure: Failure) -> Text:
    span = failure.span
    text = Text.assemble(
        *_process_name(execution.process(span)), (" ▸ ", "dim"), span.name, "  ", (failure.said, BAD)
    )
    if failure.count > 1:
        text.append(f"  {failure.count} times", "bold")
    if failure.was_killed:
        text.append("  closed by the sidecar", "yellow")
    if failure.recovered:
        text.append("  recovered", "green")
    for caught in span.exceptions[:1]:
        for frame in caught.stack[-_MOST_FRAMES:]:
            text.append(f"\n    {frame}", "dim")
    return text


def _said(execution: Execution, span: Span, lines: Sequence[Line]) -> Iterator[RenderableType]:
    service = execution.process(span).service
    near = log_lines.around(lines, service, span.until(execution.end))
    if near:
        yield _log(near)


def _log(lines: Iterable[Line]) -> Table:
    table = Table.grid(padding=(0, 1))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="ellipsis", no_wrap=True)
    for line in lines:
        first_line = line.message.partition("\n")[0]
        style = _LEVELS.get(line.level, "")
        table.add_row(
            Text(f"    {clock(line.time)}", style="dim"),
            Text(line.level, style=style or "dim"),
            Text(first_line, style=style),
        )
    return table


# --- all of it ----------------------------------------------------------------------------------


def _waterfall(execution: Execution, path: Sequence[Step], until: float) -> Table:
    table = Table.grid(padding=(0, 1), expand=True)
    table.add_column(no_wrap=True, overflow="ellipsis", max_width=_NAME_WIDTH)
    table.add_column(no_wrap=True)
    table.add_column(ratio=1, min_width=_LEAST_BAR)
    table.add_column(no_wrap=True, justify="right")
    table.add_column(no_wrap=True)
    whole = max(until - execution.start, 1e-9)
    waited_for = seconds_by_span(path)
    colours = _colours(execution)
    for prefix, span, folded in _in_order(execution):
        if span is None:
            table.add_row(Text(f"{prefix}… {folded} more", style="dim"), "", "", "", "")
            continue
        begin, end = span.start - execution.start, span.until(until) - execution.start
        colour = colours[execution.process(span).id]
        status = "" if span.status is Status.OK else span.status.value
        table.add_row(
            Text.assemble((prefix, "dim"), *_label(span, colour)),
            Text(_ON_PATH if waited_for.get(span.id, 0) >= whole * LEAST_SHARE else "", style="dim"),
            # A sliver at least, or what was short would seem to be missing.
            Bar(whole, begin, max(end, begin + whole / 200), color=colour),
            Text(duration(end - begin), style="dim"),
            Text(status, style=_STYLES[span.status]),
        )
    return table


def _colours(execution: Execution) -> dict[str, str]:
    processes = execution.processes()
    names = list(dict.fromkeys(process.service for process in processes))
    return {each.id: _COLOURS[names.index(each.service) % len(_COLOURS)] for each in processes}


def _in_order(execution: Execution) -> Iterator[tuple[str, Span | None, int]]:
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


def _label(span: Span, colour: str) -> list[tuple[str, str]]:
    if span.service is None:
        return [(span.name, _STYLES[span.status])]
    label = _process_name(span, colour)
    return label if span.name == span.service else [*label, (f" {span.name}", "dim")]


def _process_name(process: Span, colour: str = "") -> list[tuple[str, str]]:
    source = process.attributes.get(semconv.SOURCE)
    name = [(process.service or process.name, f"bold {colour}".strip())]
    return [*name, (f" [{source}]", colour)] if source else name


# --- where the time went ------------------------------------------------------------------------


def _shares(execution: Execution, path: Sequence[Step]) -> Table:
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
