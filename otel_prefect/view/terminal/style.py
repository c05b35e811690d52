"""What looks the same everywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from otel_prefect import semconv
from otel_prefect.view.execution import Status
from otel_prefect.view.words import clock

if TYPE_CHECKING:
    from collections.abc import Iterable

    from otel_prefect.view.execution import Execution, Span
    from otel_prefect.view.log_lines import Line

BAD: Final = "bold red"
STATUSES: Final = {
    Status.OK: "",
    Status.ERROR: "yellow",
    Status.FAULT: BAD,
    Status.THROTTLED: "yellow",
    Status.IN_PROGRESS: "bold yellow",
}
LEVELS: Final = {"FATAL": BAD, "CRITICAL": BAD, "ERROR": "red", "WARN": "yellow", "WARNING": "yellow"}
LEAST_SHARE: Final = 0.01
"""Of the execution, for something to be worth a mark or a line."""
_COLOURS: Final = ("cyan", "magenta", "green", "blue", "bright_cyan", "bright_magenta", "bright_green")


def rule(title: str) -> Rule:
    """Return the line above a part."""
    return Rule(f"[bold]{title}[/]", align="left", style="dim")


def colours(execution: Execution) -> dict[str, str]:
    """Return a colour for each process, by the id of its first span; of one service all have one."""
    processes = execution.processes()
    names = list(dict.fromkeys(process.service for process in processes))
    return {each.id: _COLOURS[names.index(each.service) % len(_COLOURS)] for each in processes}


def process_name(process: Span, colour: str = "") -> list[tuple[str, str]]:
    """Return the name of a process, given by its first span, with its source."""
    source = process.attributes.get(semconv.SOURCE)
    name = [(process.service or process.name, f"bold {colour}".strip())]
    return [*name, (f" [{source}]", colour)] if source else name


def label(span: Span, colour: str) -> list[tuple[str, str]]:
    """Return what a span is called: its name, after that of the process that it is the first of."""
    if span.service is None:
        return [(span.name, STATUSES[span.status])]
    named = process_name(span, colour)
    return named if span.name == span.service else [*named, (f" {span.name}", "dim")]


def log(lines: Iterable[Line]) -> Table:
    """Return log lines, each by its first line."""
    table = Table.grid(padding=(0, 1), expand=True)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="ellipsis", no_wrap=True, ratio=1)
    for line in lines:
        style = LEVELS.get(line.level, "")
        table.add_row(
            Text(f"    {clock(line.time)}", style="dim"),
            Text(line.level, style=style or "dim"),
            Text(line.message.partition("\n")[0], style=style),
        )
    return table
