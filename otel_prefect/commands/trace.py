"""``otel-prefect trace RUN``: what one execution did, what failed in it, and what its time went into."""

from __future__ import annotations

import json
import sys
import time
import webbrowser
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from otel_prefect.commands import asked_run
from otel_prefect.commands.cli import CommandError
from otel_prefect.view import otlp_json, summary

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from rich.console import RenderableType

    from otel_prefect.view.execution import Execution
    from otel_prefect.view.log_lines import Line

_MOST_NAMED: Final = 5
_FOLLOW_SECONDS: Final = 2.0


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    asked_run.configure(parser)
    parser.add_argument("--file", type=Path, help="read this file of OTLP in JSON, and not X-Ray")
    parser.add_argument(
        "--compare", metavar="RUN", help="show what is different from this run, which may be `latest` too"
    )
    parser.add_argument("--follow", action="store_true", help="show it as it goes on, until it has ended")
    parser.add_argument("--open", action="store_true", help="open it in X-Ray's console too")
    parser.add_argument("--json", action="store_true", help="print it for machines")
    parser.add_argument("--otlp", type=Path, metavar="FILE", help="write its spans as OTLP in JSON, and end")


def main(args: argparse.Namespace) -> int:
    """Show the execution; return 0.

    Raises:
        CommandError: there is no such execution, or AWS or Prefect does not answer.
    """
    trace_id = asked_run.trace_id(args.run, args.flow)
    session = None if args.file else asked_run.session(args)

    def read(asked: str) -> tuple[Execution, int]:
        return asked_run.execution(session, asked) if session else _of_file(args.file, asked)

    if args.follow and session:
        # Who has seen enough gets what is known by then.
        with suppress(KeyboardInterrupt):
            _follow(session, trace_id, args.log_group)
    execution, odd = read(trace_id)
    if args.compare:
        before, _ = read(asked_run.trace_id(args.compare))
        asked_run.console().print(_difference(execution, before))
    elif args.otlp:
        _write(args.otlp, execution)
    elif args.json:
        sys.stdout.write(json.dumps(summary.summary(execution, time.time()), indent=2) + "\n")
    else:
        lines, unread = asked_run.lines(session, execution, args.log_group) if session else ([], "")
        places = asked_run.places(session, execution, args.log_group) if session else {}
        _show(execution, lines, places)
        if unread:
            sys.stderr.write(f"otel-prefect: no log lines: {unread}\n")
        if args.open and places:
            webbrowser.open(next(iter(places.values())))
    if odd:
        sys.stderr.write(f"otel-prefect: {odd} parts of the trace were not understood\n")
    return 0


def _follow(session: Any, trace_id: str, group: str) -> None:
    """Show the execution again and again until nothing of it is in progress; what is left shows its end."""
    console = asked_run.console()
    from rich.live import Live  # noqa: PLC0415 - of the extra `cli`

    from otel_prefect.view import terminal  # noqa: PLC0415 - it needs rich

    with Live(console=console, auto_refresh=False, transient=True) as live:
        while True:
            try:
                execution, _ = asked_run.execution(session, trace_id)
            except asked_run.NoTrace:
                live.update("waiting until X-Ray shows it", refresh=True)
            else:
                if not execution.in_progress and not execution.missing_parents:
                    return
                lines, _ = asked_run.lines(session, execution, group)
                live.update(terminal.show(execution, lines, time.time()), refresh=True)
            time.sleep(_FOLLOW_SECONDS)


def _show(execution: Execution, lines: list[Line], places: Mapping[str, str]) -> None:
    console = asked_run.console()
    from otel_prefect.view import terminal  # noqa: PLC0415 - it needs rich

    console.print(terminal.show(execution, lines, time.time(), places))


def _difference(after: Execution, before: Execution) -> RenderableType:
    from otel_prefect.view import terminal_compare  # noqa: PLC0415 - it needs rich

    return terminal_compare.show(after, before)


def _of_file(path: Path, trace_id: str) -> tuple[Execution, int]:
    try:
        found = otlp_json.read(path.read_text(encoding="utf-8", errors="replace"))
    except OSError as error:
        raise CommandError(f"{path}: cannot be read: {error.strerror}") from error
    execution = found.execution(trace_id)
    if not execution.spans:
        others = ", ".join(sorted(found.traces)[:_MOST_NAMED]) or "none"
        raise CommandError(f"{path}: has no spans of trace {trace_id}; of these it has: {others}")
    return execution, found.odd


def _write(path: Path, execution: Execution) -> None:
    try:
        path.write_text(otlp_json.written(execution), encoding="utf-8")
    except OSError as error:
        raise CommandError(f"{path}: cannot be written: {error.strerror}") from error
