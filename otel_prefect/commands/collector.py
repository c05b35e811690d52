"""``otel-prefect collector build|path|validate|components|run``."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, NoReturn

from otel_prefect import semconv
from otel_prefect.collector import build as collector_build
from otel_prefect.collector import destination
from otel_prefect.collector import start as collector
from otel_prefect.commands.cli import CommandError

if TYPE_CHECKING:
    import argparse
    from typing import TextIO

_VALIDATE_SECONDS = 60.0
_CHANGED_LINE_SECONDS = 30.0


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, line in (
        ("build", "build the Collector into the cache, unless it is there, and print its path"),
        ("path", "print the path of the Collector: OTELCOL_BIN, else the built one"),
        ("validate", "let the Collector check the layers and files that the environment names"),
        ("components", "print the receivers, processors, exporters that the Collector has"),
        ("run", "become the Collector: for a gateway, or a balancer; a sidecar starts its own"),
    ):
        action = actions.add_parser(name, help=line, description=line)
        action.add_argument(
            "--distribution",
            choices=sorted(collector.DISTRIBUTIONS),
            default=collector.MAIN.name,
            help="`opensearch`: the second Collector, for where the first has no opensearch exporter; "
            "`gateway` and `balancer`: a service that sidecars send to",
        )


def main(args: argparse.Namespace) -> int:
    """Carry out one action.

    Raises:
        CommandError: it cannot be done; the text says what is missing.
    """
    distribution = collector.DISTRIBUTIONS[args.distribution]
    try:
        if args.action == "build":
            _print(str(collector_build.build(distribution=distribution, report=Progress(sys.stderr))))
        elif args.action == "path":
            _print(str(collector.find(distribution=distribution)))
        elif args.action == "validate":
            validate(distribution)
            _print("the configuration is valid")
        elif args.action == "run":
            run(distribution)
        else:
            _print(_ask(distribution, ["components"]))
    except (
        collector.CollectorNotFound,
        collector.UnknownLayer,
        collector.InvalidSetting,
        collector_build.BuildError,
        OSError,
    ) as error:
        raise CommandError(str(error)) from error
    return 0


def validate(distribution: collector.Distribution = collector.MAIN) -> None:
    """Let the real Collector check what it would be started with in this environment.

    Raises:
        CommandError: it is rejected; the text is the Collector's own, in one line.
        collector.CollectorNotFound: there is no Collector to ask.
        collector.UnknownLayer, collector.InvalidSetting: a variable cannot be used.
        FileNotFoundError: a file that a variable names does not exist.
    """
    _ask(distribution, ["validate", *collector.arguments(distribution=distribution)])


def run(distribution: collector.Distribution = collector.MAIN) -> NoReturn:
    """Replace this process by the Collector, so that signals reach it and its exit code is the container's.

    Raises:
        collector.CollectorNotFound, collector.UnknownLayer, collector.InvalidSetting: as above.
        OSError: it cannot be run, or a file that a variable names does not exist.
    """
    program = collector.find(distribution=distribution)
    environ = destination.with_picked(os.environ)
    arguments = collector.arguments(environ, distribution)
    sys.stdout.flush()
    os.execve(program, [str(program), *arguments], collector.environment(environ, distribution))  # noqa: S606


def _ask(distribution: collector.Distribution, arguments: list[str]) -> str:
    """Run the Collector to its end and return what it prints."""
    command = [str(collector.find(distribution=distribution)), *arguments]
    environ = collector.environment(distribution=distribution)
    # To validate, the Collector makes its receivers, and this one takes its port at once: a free one, or
    # nothing could be validated beside a Collector that runs.
    environ[semconv.ENV_XRAY_UDP_ENDPOINT.name] = "127.0.0.1:0"
    try:
        done = subprocess.run(
            command,
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_VALIDATE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise CommandError(f"the Collector did not answer within {_VALIDATE_SECONDS:.0f} s") from error
    if done.returncode != 0:
        words = " ".join(line.strip() for line in done.stderr.splitlines() if not line.startswith("{"))
        raise CommandError(f"the Collector rejects the configuration: {words.removeprefix('Error: ')}")
    return done.stdout.rstrip()


class Progress:
    """Shows how far a build is: one line that changes on a terminal, else a line a phase and half minute.

    Args:
        stream: takes it.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._phase = ""
        self._shown_at = 0.0

    def __call__(self, phase: str, seconds: float) -> None:
        """Show a phase and the seconds since the build began."""
        line = f"building the Collector: {phase} ({seconds:.0f} s)"
        if self._stream.isatty():
            end = "\n" if phase == "compiled" else ""
            self._stream.write(f"\r\x1b[2K{line}{end}")
        elif phase != self._phase or seconds - self._shown_at >= _CHANGED_LINE_SECONDS:
            self._stream.write(f"{line}\n")
            self._shown_at = seconds
        self._phase = phase
        self._stream.flush()


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")
