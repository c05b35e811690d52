"""The runs of late, a row each."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Final

from rich.console import Group
from rich.style import Style
from rich.table import Table
from rich.text import Text

from otel_prefect import links
from otel_prefect.view.terminal.style import BAD
from otel_prefect.view.words import dollars, duration, size

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import RenderableType

    from otel_prefect.view.observed import Observed
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


def show(
    found: Sequence[Recent],
    seen: Mapping[str, Observed] | None = None,
    places: Mapping[str, Mapping[str, str]] | None = None,
) -> RenderableType:
    """Return a table of runs.

    Args:
        found: in the order in which they are shown.
        seen: by their ids, what their traces say; None or empty: nobody asked.
        places: by their ids, what shows them, by name with the address: of the state a link to the trace, of
            the run's name one to Prefect, in terminals that have links.
    """
    if not found:
        return Text("no runs", style="dim")
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", expand=True)
    for title in ("state", "flow", "run", "began (UTC)"):
        table.add_column(title, no_wrap=True)
    for title in ("took", "of usual", *(("spans", "log", "cost") if seen else ())):
        table.add_column(title, no_wrap=True, justify="right")
    # Of a narrow terminal this loses.
    table.add_column("failed in", no_wrap=True, overflow="ellipsis", ratio=1)
    for run in found:
        observed = seen.get(run.id) if seen else None
        began = datetime.fromtimestamp(run.start, timezone.utc)
        table.add_row(
            Text(run.state, style=_linked(_STYLES.get(run.state, ""), run, links.XRAY, places)),
            Text(run.flow, style="bold"),
            Text(run.name, style=_linked("", run, links.PREFECT, places)),
            Text(f"{began:%Y-%m-%d %H:%M:%S}", style="dim"),
            duration(run.seconds),
            _against(run),
            *(_amounts(observed) if seen else ()),
            Text(observed.failed_in if observed and observed.failed_in else run.failed_in, style=BAD),
        )
    return Group(table, _together(seen)) if seen else table


def _linked(style: str, run: Recent, place: str, places: Mapping[str, Mapping[str, str]] | None) -> Style:
    return Style.parse(style) + Style(link=(places or {}).get(run.id, {}).get(place))


def _against(run: Recent) -> Text:
    if run.ratio is None:
        return Text()
    return Text(f"{run.ratio:.1f} x", style="bold red" if run.ratio >= _SLOW else "dim")


def _amounts(observed: Observed | None) -> tuple[str, str, str]:
    if observed is None:
        return "no trace", "", ""
    return f"{observed.spans:,}", size(observed.log_bytes), dollars(observed.dollars)


def _together(seen: Mapping[str, Observed]) -> Text:
    all_seen = seen.values()
    spans, log = sum(each.spans for each in all_seen), sum(each.log_bytes for each in all_seen)
    cost = dollars(sum(each.dollars for each in all_seen))
    return Text(f"together {spans:,} spans, {size(log)} of log, {cost}", style="dim")
