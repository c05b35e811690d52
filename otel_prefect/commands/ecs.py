"""``otel-prefect ecs add-sidecar``: a task definition in, the same with the sidecar out."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from otel_prefect.commands import sidecar_options
from otel_prefect.commands.cli import CommandError
from otel_prefect.deploy import task_definition
from otel_prefect.deploy.task_definition import TaskDefinitionError

if TYPE_CHECKING:
    import argparse

_FAMILY: Final = re.compile(r"(arn:aws[\w-]*:ecs:[^/]+/)?[A-Za-z0-9_-]{1,255}(:\d+)?")
_STANDARD_INPUT: Final = "-"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    line = "print a task definition with the sidecar in it"
    add = actions.add_parser("add-sidecar", help=line, description=f"{line}; safe to run again.")
    add.add_argument(
        "definition",
        help="a JSON file, `-` for standard input, or a family (with or without revision) in ECS",
    )
    sidecar_options.configure(add)
    add.add_argument("--register", action="store_true", help="register the result in ECS and print its ARN")


def main(args: argparse.Namespace) -> int:
    """Carry the action out.

    Raises:
        CommandError: the definition cannot be had or changed; nothing was changed then.
    """
    before = _read(args.definition)
    try:
        if args.remove:
            after, notes = task_definition.remove(before), []
        else:
            after = task_definition.add(before, sidecar_options.sidecar(args))
            notes = task_definition.notes(after)
    except TaskDefinitionError as error:
        raise CommandError(str(error)) from error
    for note in notes:
        sys.stderr.write(f"otel-prefect: note: {note}\n")
    if args.diff:
        sys.stdout.writelines(sidecar_options.diff(before, after))
    elif not args.register:
        sys.stdout.write(sidecar_options.text(after))
    if args.register:
        sys.stdout.write(_register(after) + "\n")
    return 0


def _read(named: str) -> Any:
    """Return what a file, standard input or ECS has."""
    if named == _STANDARD_INPUT:
        return _parse(sys.stdin.read(), "standard input")
    path = Path(named)
    if path.is_file():
        return _parse(path.read_text(), named)
    if not _FAMILY.fullmatch(named):
        raise CommandError(f"{named}: there is no such file, and it is no name of a task definition")
    return _ecs("describe_task_definition", named, taskDefinition=named)["taskDefinition"]


def _parse(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise CommandError(f"{where} is not JSON: {error}") from error


def _register(definition: dict[str, Any]) -> str:
    answer = _ecs("register_task_definition", str(definition.get("family")), **definition)
    return str(answer["taskDefinition"]["taskDefinitionArn"])


def _ecs(operation: str, resource: str, **arguments: Any) -> Any:
    """Call ECS; say which action was refused on what."""
    import boto3  # noqa: PLC0415 - only where AWS is asked
    from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError  # noqa: PLC0415

    try:
        return getattr(boto3.client("ecs"), operation)(**arguments)
    except ParamValidationError as error:
        raise CommandError(f"not a task definition that ECS takes: {error}") from error
    except (BotoCoreError, ClientError) as error:
        action = "".join(part.title() for part in operation.split("_"))
        raise CommandError(f"ecs:{action} on {resource}: {error}") from error
