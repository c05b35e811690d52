"""A run as somebody sees it at 03:00: what failed and its log, all of it to scale, where its time went."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table
from rich.text import Text

from otel_prefect import ids, semconv
from otel_prefect.view.critical_path import critical_path
from otel_prefect.view.execution import Status
from otel_prefect.view.failures import failures
from otel_prefect.view.terminal import path as terminal_path
from otel_prefect.view.terminal.failed import failed
from otel_prefect.view.terminal.interleaved import interleaved
from otel_prefect.view.terminal.style import STATUSES, rule
from otel_prefect.view.terminal.waterfall import ON_PATH, waterfall
from otel_prefect.view.words import duration, moment

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rich.console import RenderableType

    from otel_prefect.view.critical_path import Step
    from otel_prefect.view.execution import Execution
    from otel_prefect.view.log_lines import Line


class Middle(Enum):
    """What is shown between what failed and where the time went."""

    WATERFALL = "waterfall"
    LOGS = "logs"
    CRITICAL_PATH = "critical path"


def show(
    execution: Execution,
    lines: Sequence[Line],
    now: float | None = None,
    places: Mapping[str, str] | None = None,
    middle: Middle = Middle.WATERFALL,
) -> RenderableType:
    """Return all of it, for a console of rich.

    Args:
        execution: of one trace, with one span at least.
        lines: its log, by time.
        now: in seconds since 1970, for what is in progress; None: the last time that the trace knows.
        places: what shows it too, by name, with the address.
        middle: what is shown of the run itself.
    """
    until = execution.until(now)
    path = critical_path(execution, until)
    found = failures(execution)
    parts: list[RenderableType] = [_head(execution, until)]
    if found:
        parts += [rule("what failed"), *failed(execution, found, lines)]
    parts += [
        *_middle(middle, execution, path, lines, until),
        rule("where the time went"),
        terminal_path.stages(execution, path),
        terminal_path.shares(execution, path),
    ]
    if places:
        parts += [rule("elsewhere"), _places(places)]
    return Group(*parts)


def _middle(
    middle: Middle, execution: Execution, path: Sequence[Step], lines: Sequence[Line], until: float
) -> Iterator[RenderableType]:
    if middle is Middle.LOGS:
        yield rule("the run and its log  [dim](UTC)[/]")
        yield interleaved(execution, lines)
    elif middle is Middle.CRITICAL_PATH:
        yield rule("what was waited for  [dim](UTC)[/]")
        yield terminal_path.steps(execution, path)
    else:
        yield rule(f"the run  [dim]{ON_PATH} what was waited for[/]")
        yield waterfall(execution, path, until)


def _places(places: Mapping[str, str]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    # Whole, or it could not be opened.
    table.add_column(overflow="fold")
    for name, address in places.items():
        table.add_row(Text(name, style="bold"), Text(address, style=f"dim link {address}"))
    return table


def _head(execution: Execution, until: float) -> Table:
    first = execution.first
    style = "bold green" if first.status is Status.OK else STATUSES[first.status] or "bold"
    run_name = first.attributes.get(semconv.PREFECT_RUN_NAME) or ""
    facts = Table.grid(padding=(0, 2))
    title = Text.assemble((execution.state, style), "  ", (first.name, "bold"), f"  {run_name}")
    facts.add_row(title, Text(duration(until - execution.start), style="bold"))
    facts.add_row(Text(moment(execution.start)), "")
    run_id = first.attributes.get(semconv.RECORD_FLOW_RUN_ID)
    if run_id:
        facts.add_row(Text(f"flow run {run_id}"), "")
    facts.add_row(Text(f"X-Ray    {ids.xray_trace_id(int(execution.trace_id, 16))}"), "")
    for note in execution.incomplete():
        facts.add_row(Text(f"incomplete: {note}", style="yellow"), "")
    return facts
