"""``otel-prefect trace RUN``: what one execution did, what failed in it, and what its time went into."""

from __future__ import annotations

import json
import sys
import time
import webbrowser
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from otel_prefect.commands import asked_run, baseline
from otel_prefect.commands.cli import CommandError
from otel_prefect.commands.followed_log import FollowedLog
from otel_prefect.commands.sources import options
from otel_prefect.commands.sources.source import NoTrace
from otel_prefect.view import otlp_json, summary
from otel_prefect.view.page import html

if TYPE_CHECKING:
    import argparse

    from rich.console import RenderableType

    from otel_prefect.commands.asked_run import Asked
    from otel_prefect.commands.sources.source import Source
    from otel_prefect.view.compare import Baseline
    from otel_prefect.view.execution import Execution
    from otel_prefect.view.log_lines import Line

_FOLLOW_SECONDS: Final = 2.0
_ARRIVING_SECONDS: Final = 10.0


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    asked_run.configure(parser)
    parser.add_argument("--file", type=Path, help="read this file of OTLP in JSON, and not X-Ray")
    parser.add_argument("--compare", metavar="RUN", help=baseline.HELP)
    middle = parser.add_mutually_exclusive_group()
    middle.add_argument(
        "--logs", action="store_true", help="show the log, and when spans begin and end, in place of the bars"
    )
    middle.add_argument(
        "--critical-path", action="store_true", help="show what was waited for, step by step, in their place"
    )
    parser.add_argument("--follow", action="store_true", help="show it as it goes on, until it has ended")
    parser.add_argument("--open", action="store_true", help="open it in X-Ray's console too")
    parser.add_argument("--json", action="store_true", help="print it for machines")
    parser.add_argument("--otlp", type=Path, metavar="FILE", help="write its spans as OTLP in JSON, and end")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write it as one page of HTML, and end")


def main(args: argparse.Namespace) -> int:
    """Show the execution; return 0.

    Raises:
        CommandError: there is no such execution, or AWS or Prefect does not answer.
    """
    wanted = asked_run.asked(args.run, args.flow, args.hours)
    source = options.asked(args)
    if args.follow:
        # Who has seen enough gets what is known by then.
        with suppress(KeyboardInterrupt):
            _follow(source, wanted)
    execution = asked_run.execution(source, wanted)
    _note_that_it_has_just_ended(execution)
    if args.compare:
        before = baseline.baseline(source, execution, args.compare, args.hours)
        if args.json:
            _print_json(summary.difference(execution, before))
        else:
            asked_run.console().print(_difference(execution, before))
    elif args.otlp:
        _write(args.otlp, otlp_json.written(execution))
    elif args.html:
        _write_page(args.html, source, execution, open_it=args.open)
    elif args.json:
        _print_json(summary.summary(execution, time.time()))
    else:
        _show(source, execution, args)
    return 0


def _note_that_it_has_just_ended(execution: Execution) -> None:
    if not execution.in_progress and time.time() - execution.end < _ARRIVING_SECONDS:
        execution.notes.append("the run has just ended, and spans and log lines may still be on their way")


def _follow(source: Source, wanted: Asked) -> None:
    """Show the execution again and again until nothing of it is in progress; what is left shows its end."""
    console = asked_run.console()
    from rich.live import Live  # noqa: PLC0415 - of the extra `cli`

    from otel_prefect.view.terminal.show import show  # noqa: PLC0415 - it needs rich

    log: FollowedLog | None = None
    lines: list[Line] = []
    with Live(console=console, auto_refresh=False, transient=True) as live:
        while True:
            try:
                execution = source.execution(wanted.trace_id, wanted.since)
            except NoTrace:
                live.update("waiting until it is there", refresh=True)
            else:
                if not execution.in_progress and not execution.missing_parents:
                    return
                log = log or FollowedLog(source, wanted.trace_id, execution.start)
                lines = sorted([*lines, *log.read(time.time())], key=lambda line: line.time)
                live.update(show(execution, lines, time.time()), refresh=True)
            time.sleep(_FOLLOW_SECONDS)


def _show(source: Source, execution: Execution, args: argparse.Namespace) -> None:
    console = asked_run.console()
    from otel_prefect.view.terminal.show import Middle, show  # noqa: PLC0415 - it needs rich

    lines, places = _lines(source, execution), _places(source, execution)
    middle = Middle.LOGS if args.logs else Middle.CRITICAL_PATH if args.critical_path else Middle.WATERFALL
    console.print(show(execution, lines, time.time(), places, middle))
    if args.open and places:
        webbrowser.open(next(iter(places.values())))


def _places(source: Source, execution: Execution) -> dict[str, str]:
    return source.places(execution.trace_id, execution.start, execution.end)


def _lines(source: Source, execution: Execution) -> list[Line]:
    lines, missing = source.lines(execution.trace_id, execution.start, execution.end)
    if missing:
        sys.stderr.write(f"otel-prefect: {missing}\n")
    return lines


def _write_page(path: Path, source: Source, execution: Execution, *, open_it: bool) -> None:
    lines = _lines(source, execution)
    _write(path, html.page(execution, lines, time.time(), _places(source, execution)))
    if open_it:
        webbrowser.open(path.resolve().as_uri())


def _difference(after: Execution, before: Baseline) -> RenderableType:
    from otel_prefect.view.terminal import compare  # noqa: PLC0415 - it needs rich

    return compare.show(after, before)


def _print_json(document: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(document, indent=2) + "\n")


def _write(path: Path, text: str) -> None:
    try:
        # A lone surrogate that somebody logged cannot be written.
        path.write_text(text, encoding="utf-8", errors="replace")
    except OSError as error:
        raise CommandError(f"{path}: cannot be written: {error.strerror}") from error
