"""``otel-prefect logs RUN``: what all processes of one execution said, in the order of time."""

from __future__ import annotations

import json
import math
import re
import sys
import time
import webbrowser
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from otel_prefect import links
from otel_prefect.commands import asked_run
from otel_prefect.commands.cli import CommandError
from otel_prefect.commands.followed_log import FollowedLog
from otel_prefect.commands.sources import options
from otel_prefect.view.words import clock

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable, Iterator

    from otel_prefect.commands.asked_run import Asked
    from otel_prefect.commands.sources.source import Source
    from otel_prefect.view.log_lines import Line

# By OpenTelemetry's severity texts, and what Python calls the same.
_LEVELS: Final = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")
_FOLLOW_SECONDS: Final = 2.0
_ALSO: Final = {"WARNING": "WARN", "CRITICAL": "FATAL", "NOTSET": "TRACE"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    asked_run.configure(parser)
    parser.add_argument("--grep", metavar="PATTERN", help="only lines in which this regular expression is")
    parser.add_argument("--level", type=str.upper, choices=_LEVELS, help="only this level and those above")
    parser.add_argument(
        "--process", metavar="NAME", help="only this process: its service, or `SERVICE [SOURCE]`"
    )
    parser.add_argument("--follow", action="store_true", help="go on until the run has ended")
    parser.add_argument("--open", action="store_true", help="open the log in a browser too")
    parser.add_argument("--json", action="store_true", help="print the records as they are kept, one a line")


def main(args: argparse.Namespace) -> int:
    """Print the lines; return 0.

    Raises:
        CommandError: there are none, or AWS or Prefect does not answer.
    """
    wanted = _filter(args)
    run = asked_run.asked(args.run, args.flow, args.hours)
    source = options.asked(args)
    when = source.when(run.trace_id, run.since)
    if args.open:
        _open(source, run, when)
    batches = _followed(source, run, when[0]) if args.follow else [_lines(source, run, when)]
    # Who has seen enough has it.
    with suppress(KeyboardInterrupt):
        for lines in batches:
            _print(filter(wanted, lines), as_json=args.json)
    return 0


def _open(source: Source, run: Asked, when: tuple[float, float]) -> None:
    """Open what shows a log first: the console of Logs Insights, or OpenSearch Dashboards."""
    start, end = (run.since, time.time()) if when[1] == math.inf else when
    places = source.places(run.trace_id, start, end)
    shown = next((places[name] for name in (links.LOGS, links.OPENSEARCH) if name in places), None)
    if shown is None:
        raise CommandError("--open: nobody has said where the log is shown: see docs/trace.md")
    webbrowser.open(shown)


def _lines(source: Source, run: Asked, when: tuple[float, float]) -> list[Line]:
    lines, missing = source.lines(run.trace_id, *when)
    if missing and not lines:
        raise CommandError(missing)
    if missing:
        sys.stderr.write(f"otel-prefect: {missing}\n")
    if not lines:
        raise CommandError(f"{source.name} has no lines of this run")
    return lines


def _followed(source: Source, run: Asked, began: float) -> Iterator[list[Line]]:
    """Yield what is new, again and again, until the run has ended and nothing comes any more."""
    log, has_ended = FollowedLog(source, run.trace_id, began), False
    while True:
        # Asked before its lines are: what it said until its end is among them. The last time all are read,
        # with what came late.
        is_last, has_ended = has_ended, _has_ended(source, run)
        new = log.read(time.time(), whole=is_last)
        if log.missing and not new:
            raise CommandError(log.missing)
        yield new
        if is_last and not new:
            return
        time.sleep(_FOLLOW_SECONDS)


def _has_ended(source: Source, run: Asked) -> bool:
    try:
        execution = source.execution(run.trace_id, run.since)
    except CommandError:
        # Not there yet, or not to be seen: then it goes on until somebody ends it.
        return False
    return not execution.in_progress and not execution.missing_parents


def _print(lines: Iterable[Line], *, as_json: bool) -> None:
    found = list(lines)
    width = max((len(line.label) for line in found), default=0)
    for line in found:
        sys.stdout.write(json.dumps(dict(line.fields)) + "\n" if as_json else _shown(line, width))
    sys.stdout.flush()


def _filter(args: argparse.Namespace) -> Callable[[Line], bool]:
    try:
        pattern = re.compile(args.grep or "")
    except re.error as error:
        raise CommandError(f"--grep {args.grep}: is no regular expression: {error}") from error
    least = _LEVELS.index(args.level) if args.level else -1

    def wanted(line: Line) -> bool:
        return (
            _rank(line.level) >= least
            and args.process in (None, line.service, line.label)
            and pattern.search(line.message) is not None
        )

    return wanted


def _rank(level: str) -> int:
    """Return where a level stands; one that nobody knows is left out by no ``--level``."""
    name = _level(level)
    return _LEVELS.index(name) if name in _LEVELS else len(_LEVELS)


def _level(level: str) -> str:
    return _ALSO.get(level.upper(), level.upper())


def _shown(line: Line, width: int) -> str:
    return "\n".join(_rows(line, width)) + "\n"


def _rows(line: Line, width: int) -> Iterator[str]:
    head = f"{clock(line.time, day=True)} {_level(line.level):5} {line.label:{width}} "
    first, *more = line.message.split("\n")
    yield head + first
    for each in more:
        yield " " * len(head) + each
