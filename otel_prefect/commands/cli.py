"""The ``otel-prefect`` command: finds the subcommand's module and runs it.

Only the module of the subcommand that was asked for is imported, so that
``otel-prefect run`` in front of a container's program starts fast.
"""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

from otel_prefect import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

# A subcommand: its name, the module that carries it out, and its line in --help.
_COMMANDS = (
    (
        "alerts",
        "otel_prefect.commands.alerts",
        "write alerts: rules of Prometheus, routes of Alertmanager, alarms of CloudWatch",
    ),
    ("collector", "otel_prefect.commands.collector", "build, find or validate the OpenTelemetry Collector"),
    (
        "deploy-cost-flow",
        "otel_prefect.commands.deploy_cost_flow",
        "have Prefect read what the pipelines cost",
    ),
    ("doctor", "otel_prefect.commands.doctor", "look at what has to be right, and say what mends it"),
    ("ecs", "otel_prefect.commands.ecs", "put the sidecar into a task definition, or take it out"),
    ("logs", "otel_prefect.commands.logs", "print what all processes of a run said"),
    ("opensearch", "otel_prefect.commands.opensearch", "install index templates, pipelines and retention"),
    ("runs", "otel_prefect.commands.runs", "list the runs of late, against what is usual"),
    ("trace", "otel_prefect.commands.trace", "show what a run did, what failed, and where its time went"),
    ("work-pool", "otel_prefect.commands.work_pool", "put the sidecar into a work pool's job template"),
    ("run", "otel_prefect.commands.run", "run any program as a span of the flow run, its output as logs"),
)


_DESCRIPTION = "See one Prefect flow run as one trace and one log stream on AWS."


class CommandError(Exception):
    """Raised by a subcommand when it cannot go on; its text is shown and the exit code is 1."""


class _Command(Protocol):
    def configure(self, parser: argparse.ArgumentParser) -> None: ...
    def main(self, args: argparse.Namespace) -> int: ...


def main(argv: Sequence[str] | None = None) -> int:
    """Run the ``otel-prefect`` command.

    Args:
        argv: the arguments after the command's name; those of the process where it is None.

    Returns:
        The exit code: 0 done, 1 could not be done (one line on stderr says why), 2 wrong arguments;
        ``otel-prefect run`` gives its program's own.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    # What follows a first "--" is another program's command line: argparse must not touch it.
    end = arguments.index("--") if "--" in arguments else len(arguments)
    arguments, program = arguments[:end], arguments[end + 1 :]
    parser = argparse.ArgumentParser(prog="otel-prefect", description=_DESCRIPTION)
    parser.add_argument("--version", action="version", version=f"otel-prefect {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    command: _Command | None = None
    for name, module, line in _COMMANDS:
        subparser = subparsers.add_parser(name, help=line, description=line)
        if arguments[:1] == [name]:
            command = cast("_Command", import_module(module))
            command.configure(subparser)
    args = parser.parse_args(arguments, argparse.Namespace(program=program))
    assert command is not None, "argparse let an unknown command through"  # noqa: S101 - an invariant of ours
    try:
        return command.main(args)
    except CommandError as error:
        sys.stderr.write(f"otel-prefect: {error}\n")
        return 1
