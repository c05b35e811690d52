"""``otel-prefect ecs add-sidecar``: a task definition in, the same with the sidecar out."""

from __future__ import annotations

import difflib
import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from otel_prefect import task_definition
from otel_prefect.cli import CommandError
from otel_prefect.task_definition import Sidecar, TaskDefinitionError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

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
    add.add_argument("--image", help="the sidecar's image (needed but with --remove)")
    add.add_argument("--sender", action="append", default=[], help="a container that sends; default: all")
    add.add_argument(
        "--spans-per-second",
        type=_positive,
        default=Sidecar.spans_per_second,
        help="to size it for (%(default)s)",
    )
    add.add_argument(
        "--env", action="append", default=[], metavar="NAME=VALUE", help="a variable of the sidecar"
    )
    add.add_argument(
        "--secret", action="append", default=[], metavar="NAME=ARN", help="a variable whose value is a secret"
    )
    add.add_argument("--remove", action="store_true", help="take the sidecar out again")
    add.add_argument("--diff", action="store_true", help="print what changes, and no task definition")
    add.add_argument("--register", action="store_true", help="register the result in ECS and print its ARN")


def main(args: argparse.Namespace) -> int:
    """Carry the action out.

    Raises:
        CommandError: the definition cannot be had or changed; nothing was changed then.
    """
    before = _read(args.definition)
    try:
        after = task_definition.remove(before) if args.remove else task_definition.add(before, _sidecar(args))
        notes = [] if args.remove else task_definition.notes(after)
    except TaskDefinitionError as error:
        raise CommandError(str(error)) from error
    for note in notes:
        sys.stderr.write(f"otel-prefect: note: {note}\n")
    if args.diff:
        sys.stdout.writelines(_diff(before, after))
    elif not args.register:
        sys.stdout.write(_text(after))
    if args.register:
        sys.stdout.write(_register(after) + "\n")
    return 0


def _sidecar(args: argparse.Namespace) -> Sidecar:
    if not args.image:
        raise CommandError("--image is needed: where your registry has the sidecar's image")
    return Sidecar(
        image=args.image,
        senders=tuple(args.sender),
        spans_per_second=args.spans_per_second,
        environment=dict(_pairs(args.env, "--env", "NAME=VALUE")),
        secrets=dict(_pairs(args.secret, "--secret", "NAME=ARN")),
    )


def _pairs(written: Iterable[str], option: str, form: str) -> Iterable[tuple[str, str]]:
    for each in written:
        name, equals, value = each.partition("=")
        if not name or not equals:
            # What stands there may be a secret in the wrong place.
            raise CommandError(f"{option}: {form} is needed")
        yield name, value


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


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


def _text(definition: Any) -> str:
    return json.dumps(definition, indent=2, default=str) + "\n"


def _diff(before: Any, after: Any) -> Iterable[str]:
    old, new = _text(before).splitlines(keepends=True), _text(after).splitlines(keepends=True)
    return difflib.unified_diff(old, new, "before", "after")
