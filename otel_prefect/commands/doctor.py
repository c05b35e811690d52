"""``otel-prefect doctor``: is all well here, and if not, what mends it."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from typing import Final

from otel_prefect.doctor import report, runner
from otel_prefect.doctor.aws import Aws
from otel_prefect.doctor.checks import ALL
from otel_prefect.doctor.concealment import without_secrets
from otel_prefect.doctor.findings import Surroundings

_SECONDS: Final = 30.0
_EPILOG: Final = """exit code: 0 nothing is wrong, 1 something is, 2 wrong arguments.
It goes by the environment that it is run in: that of a container of the task, or the same
variables on a laptop."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's arguments."""
    parser.epilog = _EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    parser.add_argument(
        "--only",
        type=_names,
        metavar="NAMES",
        help=f"look at these only, comma-separated: {', '.join(check.name for check in ALL)}",
    )
    parser.add_argument("--no-send", action="store_true", help="send no test span and log line")
    parser.add_argument(
        "--timeout",
        type=_seconds,
        default=_SECONDS,
        metavar="SECONDS",
        help=f"how long one check may take, reading back too ({_SECONDS:g})",
    )


def main(args: argparse.Namespace) -> int:
    """Look at everything and show it; return 0 where nothing is wrong, else 1."""
    surroundings = Surroundings(os.environ, Aws(os.environ), send=not args.no_send, seconds=args.timeout)
    chosen = [check for check in ALL if args.only is None or check.name in args.only]
    on_terminal = sys.stderr.isatty() and not args.json

    def started(name: str) -> None:
        if on_terminal:
            sys.stderr.write(f"\r\x1b[2Klooking at {name} …")
            sys.stderr.flush()

    examined = runner.run(chosen, surroundings, started)
    if on_terminal:
        sys.stderr.write("\r\x1b[2K")
    for each in examined:
        each.findings = [without_secrets(finding, os.environ) for finding in each.findings]
    if args.json:
        shown = report.as_json(examined)
    else:
        colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        shown = report.table(examined, shutil.get_terminal_size().columns, colour=colour)
    sys.stdout.write(shown)
    return 0 if report.is_well(examined) else 1


def _names(written: str) -> frozenset[str]:
    names = frozenset(name.strip() for name in written.split(",") if name.strip())
    known = {check.name for check in ALL}
    if not names or names - known:
        unknown = ", ".join(sorted(names - known)) or "nothing"
        raise argparse.ArgumentTypeError(f"{unknown} is not one of {', '.join(check.name for check in ALL)}")
    return names


def _seconds(written: str) -> float:
    try:
        seconds = float(written)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 3600:
        raise argparse.ArgumentTypeError(f"{written!r} is not a number of seconds between 0 and 3600")
    return seconds
