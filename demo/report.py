"""Shows what was read back, and writes the same for machines."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from demo import readback

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from demo.failing import Failure
    from demo.ledger import Ledger
    from demo.readback import Trace
    from demo.seen import Seen

_LINES_EACH: Final = 2
_MISSING_EACH: Final = 5
_LEVELS: Final = {"FATAL": 0, "CRITICAL": 0, "ERROR": 1, "WARN": 2, "WARNING": 2, "INFO": 3}
_LEVEL_STYLES: Final = {0: "bold red", 1: "red", 2: "yellow", 3: "green"}


@dataclass
class Result:
    """One flow run as it was read back.

    Attributes:
        flow_run: the run as Prefect's API describes it.
        trace: from X-Ray.
        spans: documents from OpenSearch.
        logs: destination → documents of log records.
        ledger: what is missing and what is there too often.
        seconds: from the demo's start until all was read back.
        dashboard: the page that was written of the run's own numbers.
        seen: the run as `otel-prefect trace` shows it.
    """

    flow_run: dict[str, Any]
    trace: Trace
    spans: list[dict[str, Any]]
    logs: dict[str, list[dict[str, Any]]]
    ledger: Ledger
    seconds: float = 0.0
    dashboard: Path | None = None
    seen: Seen | None = None
    _order: dict[str, int] = field(default_factory=dict)

    def log_counts(self) -> dict[str, Counter[str]]:
        """Return destination → service → how many log records were found."""
        return {
            destination: Counter(str(each.get("service", "?")) for each in documents)
            for destination, documents in self.logs.items()
        }

    def summary(self) -> dict[str, Any]:
        """Return what ``.demo/summary.json`` holds."""
        return {
            "flow_run_id": self.flow_run["id"],
            "flow_run_name": self.flow_run["name"],
            "state": self.flow_run["state_type"],
            "trace_id": self.trace.id,
            "spans": dict(sorted(self.trace.by_service().items())),
            "spans_by_destination": {"xray": len(self.trace.segments), "opensearch": len(self.spans)},
            "logs": {
                where.lower().replace(" ", "_"): dict(sorted(counts.items()))
                for where, counts in self.log_counts().items()
            },
            "lost": self.ledger.lost,
            "duplicates": self.ledger.duplicates,
            "missing": {
                where: [str(record) for record in records.elements()]
                for where, records in self.ledger.missing.items()
                if records
            },
            "seconds": round(self.seconds, 1),
        }


def write(folder: Path, result: Result) -> Path:
    """Write ``summary.json``, and beside it what each destination returned, document by document.

    Returns:
        The summary's path.
    """
    found = {"X-Ray": result.trace.documents, "OpenSearch spans": result.spans, **result.logs}
    (folder / "readback").mkdir()
    for destination, documents in found.items():
        path = folder / "readback" / f"{destination.lower().replace(' ', '-')}.json"
        path.write_text(json.dumps(documents, indent=2) + "\n")
    summary = folder / "summary.json"
    summary.write_text(json.dumps(result.summary(), indent=2) + "\n")
    return summary


def show(console: Console, result: Result) -> None:
    """Print the result for a person."""
    console.print(_head(result))
    console.rule("[bold]the run in X-Ray[/]  [dim]BatchGetTraces[/]", align="left", style="dim")
    if result.seen is not None:
        console.print(result.seen.waterfall())
    console.print()
    console.rule("[bold]log records found by the flow run id[/]", align="left", style="dim")
    console.print(_counts(result))
    console.print()
    console.rule("[bold]some of them, as CloudWatch Logs returned them[/]", align="left", style="dim")
    console.print(_lines(result))
    console.print()
    console.print(_balance(result))


def show_failure(console: Console, failure: Failure) -> None:
    """Print for a person how a broken ingestion was told of."""
    story = failure.story
    console.print(f"[dim]$ otel-prefect trace {story.failed['name']}[/]")
    console.print(failure.seen.whole())
    console.print()
    facts = Table.grid(padding=(0, 2))
    facts.add_row("told", Text(str(story.incident.payload["summary"]), style="bold red"))
    facts.add_row(
        "", Text(f"{story.paged_after:.1f} s after the run's end, in {story.incident.triggers} event")
    )
    for name, link in story.incident.links.items():
        facts.add_row(name, Text(link, overflow="fold"))
    over = f"{story.over_after:.1f} s after {story.good['name']} had completed"
    facts.add_row("over", Text(over, style="bold green"))
    console.print(Panel(facts, title="what PagerDuty was told (P1)", title_align="left", border_style="dim"))


def _head(result: Result) -> Panel:
    run = result.flow_run
    state = Text(run["state_type"], style="bold green" if run["state_type"] == "COMPLETED" else "bold red")
    facts = Table.grid(padding=(0, 2))
    facts.add_row("flow run", Text(run["name"]) + Text("  ") + state)
    facts.add_row("flow run id", Text(run["id"], style="bold"))
    facts.add_row("X-Ray trace id", Text(result.trace.id, style="bold"))
    return Panel(facts, title="one flow run, one trace", title_align="left", border_style="dim")


def _counts(result: Result) -> Table:
    counts = result.log_counts()
    styles = result.seen.colours() if result.seen else {}
    table = Table(box=None, padding=(0, 2), header_style="dim")
    table.add_column("process")
    for destination in counts:
        table.add_column(destination, justify="right")
    services = [*styles, *sorted({name for each in counts.values() for name in each} - set(styles))]
    for service in services:
        shown = (str(each[service]) for each in counts.values())
        table.add_row(Text(service, style=styles.get(service, "")), *shown)
    table.add_row("together", *(str(each.total()) for each in counts.values()), style="bold")
    return table


def _lines(result: Result) -> Table:
    """A few lines of each process, the most serious first, in the order in which they were written."""
    by_service: dict[str, list[dict[str, Any]]] = {}
    for event in next(iter(result.logs.values()), []):
        by_service.setdefault(str(event.get("service", "?")), []).append(event)
    chosen = [
        event for events in by_service.values() for event in sorted(events, key=_seriousness)[:_LINES_EACH]
    ]
    styles = result.seen.colours() if result.seen else {}
    table = Table.grid(padding=(0, 1), expand=True)
    table.add_column(no_wrap=True, style="dim")
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    for event in sorted(chosen, key=readback.time_of):
        service = str(event.get("service", "?"))
        table.add_row(
            readback.time_of(event)[11:23].ljust(12, "0"),
            Text(service, style=styles.get(service, "")),
            Text(str(event.get("level", "")), style=_LEVEL_STYLES.get(_seriousness(event), "dim")),
            Text(" ".join(str(event.get("message", "")).split())),
        )
    return table


def _seriousness(event: dict[str, Any]) -> int:
    return _LEVELS.get(str(event.get("level", "")).upper(), 4)


def _balance(result: Result) -> Text:
    ledger = result.ledger
    spans, logs = len(result.trace.segments), max((len(each) for each in result.logs.values()), default=0)
    text = Text(f"lost: {ledger.lost}", style="bold green" if ledger.lost == 0 else "bold red")
    text.append(
        f"  of {spans} spans and {logs} log records, at two destinations each; "
        f"duplicates: {ledger.duplicates}",
        style="not bold default",
    )
    for where, records in ledger.missing.items():
        named = list(records.items())
        for record, count in named[:_MISSING_EACH]:
            text.append(f"\n  missing, {where}: {count} of {record}", style="red not bold")
        if len(named) > _MISSING_EACH:
            text.append(f"\n  missing, {where}: {len(named) - _MISSING_EACH} more", style="red not bold")
    return text
