"""``otel-prefect opensearch setup``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from otel_prefect.commands.cli import CommandError

if TYPE_CHECKING:
    import argparse


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    line = "install index templates, ingest pipelines and retention; safe to run again"
    actions.add_parser("setup", help=line, description=line)


def main(args: argparse.Namespace) -> int:  # noqa: ARG001 - there is one action, and it takes no argument
    """Install everything and say what was done.

    Raises:
        CommandError: it could not be done; the text says which step and why.
    """
    try:
        from otel_prefect.deploy import opensearch  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise CommandError(f"{error.name} is not installed: pip install 'otel-prefect[cli]'") from error
    try:
        steps = opensearch.setup(opensearch.connect())
    except (opensearch.SetupError, OSError) as error:
        raise CommandError(str(error)) from error
    for step in steps:
        sys.stdout.write(f"{step.what}: {step.note or 'installed'}\n")
    return 0
