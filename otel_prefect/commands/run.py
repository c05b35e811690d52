"""``otel-prefect run -- PROGRAM…``."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING

from otel_prefect import configuration
from otel_prefect.commands.cli import CommandError

if TYPE_CHECKING:
    import argparse


def configure(parser: argparse.ArgumentParser) -> None:
    """Describe the command; what follows ``--`` is not argparse's."""
    parser.usage = "otel-prefect run [-h] -- PROGRAM [ARGUMENT ...]"
    parser.epilog = (
        "The exit code is the program's own; 128 and the signal's number where a signal ended it. "
        "OTEL_SERVICE_NAME names it in traces; otherwise its file name does."
    )


def main(args: argparse.Namespace) -> int:
    """Run the program.

    Raises:
        CommandError: there is none after ``--``.
    """
    program: list[str] = args.program
    if not program:
        raise CommandError("run: put the program after two dashes, as in: otel-prefect run -- dbt build")
    shutdown = configuration.configure("otel-prefect run", service_name=PurePath(program[0]).name)
    # Imported after the set-up, which a disabled process is spared most of.
    from otel_prefect.program import run as programs  # noqa: PLC0415

    try:
        return programs.run(program)
    finally:
        if shutdown is not None:
            shutdown.finish()
