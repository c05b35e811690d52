"""``otel-prefect runs``: the runs of late, with state and how long they took against what is usual."""

from __future__ import annotations

import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Final

from otel_prefect import ids, links
from otel_prefect.commands import asked_run
from otel_prefect.commands.cli import CommandError
from otel_prefect.commands.sources import options
from otel_prefect.commands.sources.source import NoTrace, elsewhere
from otel_prefect.prefect import api as prefect_api
from otel_prefect.view import observed, recent, runs

if TYPE_CHECKING:
    import argparse

    from otel_prefect.commands.sources.source import Source
    from otel_prefect.view.observed import Observed
    from otel_prefect.view.recent import Recent

_LIMIT: Final = 20
_AT_ONCE: Final = 5
"""Runs that are read at a time: most of each one's time is waiting for Logs Insights."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("--flow", metavar="NAME", help="only runs of this flow")
    parser.add_argument(
        "--state",
        action="append",
        default=[],
        type=str.upper,
        help="such as FAILED: only this one; may be given again",
    )
    parser.add_argument("--hours", type=float, help="only those that began in the last so many hours")
    parser.add_argument("--limit", type=int, default=_LIMIT, help=f"the most of them ({_LIMIT}; 200 at most)")
    parser.add_argument(
        "--traces",
        action="store_true",
        help="read the trace and the log of each: the process that failed, spans, log, what they cost",
    )
    parser.add_argument(
        "--source", metavar="NAME", help="only runs that load this source; reads their traces"
    )
    parser.add_argument(
        "--log-price",
        metavar="DOLLARS",
        type=float,
        default=observed.DOLLARS_PER_GIGABYTE,
        help=f"of a gigabyte of log in your region ({observed.DOLLARS_PER_GIGABYTE:g})",
    )
    parser.add_argument("--json", action="store_true", help="print them for machines")
    options.configure(parser)


def main(args: argparse.Namespace) -> int:
    """Print the runs; return 0.

    Raises:
        CommandError: Prefect cannot be asked, or their traces cannot be read.
    """
    found = _found(args)
    seen = _observed(found, args) if args.traces or args.source else {}
    if args.source:
        found = [run for run in found if run.id in seen and args.source in seen[run.id].sources]
    places = {run.id: _places(run, args) for run in found}
    if args.json:
        rows = [
            asdict(run) | (asdict(seen[run.id]) if run.id in seen else {}) | {"links": places[run.id]}
            for run in found
        ]
        sys.stdout.write(json.dumps(rows, indent=2) + "\n")
        return 0
    console = asked_run.console()
    from otel_prefect.view.terminal import runs as terminal  # noqa: PLC0415 - it needs rich

    console.print(terminal.show(found, seen, places))
    return 0


def _found(args: argparse.Namespace) -> list[Recent]:
    since = None if args.hours is None else time.time() - args.hours * 3600
    wanted = runs.Wanted(args.flow, args.state, since, args.limit)
    try:
        return recent.recent(prefect_api.of_environment(os.environ), wanted)
    except (runs.NotFound, ValueError) as error:
        raise CommandError(str(error)) from error


def _places(run: Recent, args: argparse.Namespace) -> dict[str, str]:
    """Return what shows a run; without asking AWS, which need not be there."""
    end = run.start + run.seconds
    region = args.region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    consoles = links.of_run(region, args.log_group, int(run.trace_id, 16), run.start, end) if region else {}
    # A run that another one started has a page of its own.
    return consoles | elsewhere(ids.trace_id_of(run.id), run.start, end)


def _observed(found: list[Recent], args: argparse.Namespace) -> dict[str, Observed]:
    """Return by their ids what the traces and logs of runs say; what has no trace is not there."""
    source = options.asked(args)
    # The trace of a run that another one started is that of both.
    own = [run for run in found if ids.trace_id_of(run.id) == run.trace_id]
    read = partial(_read, source, price=args.log_price)
    # The first alone: to make a client of boto3, no two threads may try at a time.
    seen = {run.id: read(run) for run in own[:1]}
    pool = ThreadPoolExecutor(_AT_ONCE)
    try:
        seen |= zip((run.id for run in own[1:]), pool.map(read, own[1:]), strict=True)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    return {run_id: each for run_id, each in seen.items() if each is not None}


def _read(source: Source, run: Recent, price: float) -> Observed | None:
    try:
        execution = source.execution(run.trace_id, run.start)
    except NoTrace:
        return None
    lines, missing = source.lines(run.trace_id, execution.start, execution.end)
    if missing:
        raise CommandError(missing)
    return observed.observed(execution, lines, price)
