"""``otel-prefect logs RUN``: what all processes of one execution said, in the order of time."""

from __future__ import annotations

import json
import re
import sys
from typing import TYPE_CHECKING, Final

from otel_prefect.commands import asked_run
from otel_prefect.commands.cli import CommandError
from otel_prefect.commands.sources import options
from otel_prefect.view.words import clock

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

    from otel_prefect.view.log_lines import Line

# By OpenTelemetry's severity texts, and what Python calls the same.
_LEVELS: Final = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")
_ALSO: Final = {"WARNING": "WARN", "CRITICAL": "FATAL", "NOTSET": "TRACE"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    asked_run.configure(parser)
    parser.add_argument("--grep", metavar="PATTERN", help="only lines in which this regular expression is")
    parser.add_argument("--level", type=str.upper, choices=_LEVELS, help="only this level and those above")
    parser.add_argument("--process", metavar="NAME", help="only this process, by its service name")
    parser.add_argument("--json", action="store_true", help="print the records as they are kept, one a line")


def main(args: argparse.Namespace) -> int:
    """Print the lines; return 0.

    Raises:
        CommandError: there are none, or AWS or Prefect does not answer.
    """
    wanted = _filter(args)
    run = asked_run.asked(args.run, args.flow, args.hours)
    source = options.asked(args)
    all_lines, unread = source.lines(run.trace_id, run.since, None)
    if unread:
        raise CommandError(unread)
    if not all_lines:
        raise CommandError(f"{source.name} has no lines of this run")
    width = max(len(line.service) for line in all_lines)
    for line in filter(wanted, all_lines):
        sys.stdout.write(json.dumps(dict(line.fields)) + "\n" if args.json else _shown(line, width))
    return 0


def _filter(args: argparse.Namespace) -> Callable[[Line], bool]:
    try:
        pattern = re.compile(args.grep or "")
    except re.error as error:
        raise CommandError(f"--grep {args.grep}: is no regular expression: {error}") from error
    least = _LEVELS.index(args.level) if args.level else -1

    def wanted(line: Line) -> bool:
        return (
            _rank(line.level) >= least
            and args.process in (None, line.service)
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
    head = f"{clock(line.time, day=True)} {_level(line.level):5} {line.service:{width}} "
    first, *more = line.message.split("\n")
    yield head + first
    for each in more:
        yield " " * len(head) + each
