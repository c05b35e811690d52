"""``otel-prefect runs``: the runs of late, with state and how long they took against what is usual."""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from otel_prefect.commands import asked_run
from otel_prefect.commands.cli import CommandError
from otel_prefect.prefect import api as prefect_api
from otel_prefect.view import recent, runs

if TYPE_CHECKING:
    import argparse

_LIMIT: Final = 20


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
    parser.add_argument("--json", action="store_true", help="print them for machines")


def main(args: argparse.Namespace) -> int:
    """Print the runs; return 0.

    Raises:
        CommandError: Prefect cannot be asked.
    """
    since = None if args.hours is None else time.time() - args.hours * 3600
    wanted = recent.Wanted(args.flow, args.state, since, args.limit)
    try:
        found = recent.recent(prefect_api.of_environment(os.environ), wanted)
    except (runs.NotFound, ValueError) as error:
        raise CommandError(str(error)) from error
    if args.json:
        sys.stdout.write(json.dumps([asdict(each) for each in found], indent=2) + "\n")
        return 0
    console = asked_run.console()
    from otel_prefect.view.terminal import runs as terminal  # noqa: PLC0415 - it needs rich

    console.print(terminal.show(found))
    return 0
