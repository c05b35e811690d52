"""Shows the runs of late in a terminal."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Final

from rich.table import Table
from rich.text import Text

from otel_prefect.view.terminal.style import BAD
from otel_prefect.view.words import duration

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import RenderableType

    from otel_prefect.view.recent import Recent

_STYLES: Final = {
    "COMPLETED": "green",
    "FAILED": BAD,
    "CRASHED": BAD,
    "RUNNING": "bold yellow",
    "CANCELLED": "yellow",
}
_SLOW: Final = 1.5
"""Times what is usual, from which on a run is marked."""


def show(found: Iterable[Recent]) -> RenderableType:
    """Return a table of runs.

    Args:
        found: in the order in which they are shown.
    """
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for title in ("state", "flow", "run", "began (UTC)"):
        table.add_column(title, no_wrap=True)
    table.add_column("took", no_wrap=True, justify="right")
    table.add_column("against usual", no_wrap=True, justify="right")
    empty = True
    for each in found:
        empty = False
        began = datetime.fromtimestamp(each.start, timezone.utc)
        table.add_row(
            Text(each.state, style=_STYLES.get(each.state, "")),
            Text(each.flow, style="bold"),
            each.name,
            Text(f"{began:%Y-%m-%d %H:%M:%S}", style="dim"),
            duration(each.seconds),
            _against(each),
        )
    return Text("no runs", style="dim") if empty else table


def _against(run: Recent) -> Text:
    if run.ratio is None:
        return Text()
    return Text(f"{run.ratio:.1f} x", style="bold red" if run.ratio >= _SLOW else "dim")
