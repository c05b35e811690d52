"""What the commands that put a sidecar somewhere have in common: their options, and how changes are shown."""

from __future__ import annotations

import difflib
import json
import os
import re
from typing import TYPE_CHECKING, Any, Final

from otel_prefect.commands.cli import CommandError
from otel_prefect.deploy.task_definition import Efs, LogGroup, Sidecar

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable


_EFS: Final = re.compile(r"(fs-[0-9a-f]{8,40})(?::(fsap-[0-9a-f]{8,40}))?")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options that describe the sidecar, ``--remove`` and ``--diff``."""
    configure_variables(parser)
    parser.add_argument(
        "--sender", action="append", default=[], metavar="NAME", help="a container that sends; default: all"
    )
    parser.add_argument(
        "--spans-per-second",
        type=_positive,
        default=Sidecar.spans_per_second,
        metavar="N",
        help="to size it for (%(default)s)",
    )
    parser.add_argument(
        "--efs",
        metavar="FS[:FSAP]",
        help="an EFS file system (and access point) for queues that outlive a task",
    )
    parser.add_argument(
        "--own-log-group",
        metavar="GROUP",
        help="of CloudWatch in AWS_REGION, for the sidecar's own output; default: as the first sender's",
    )
    parser.add_argument("--remove", action="store_true", help="take the sidecar out again")
    parser.add_argument("--diff", action="store_true", help="print what changes, and do nothing else")


def configure_variables(parser: argparse.ArgumentParser) -> None:
    """Add the options that say what the sidecar's container is made of."""
    parser.add_argument("--image", help="the sidecar's image")
    parser.add_argument(
        "--env", action="append", default=[], metavar="NAME=VALUE", help="a variable of the sidecar"
    )
    parser.add_argument(
        "--secret", action="append", default=[], metavar="NAME=ARN", help="a variable whose value is a secret"
    )


def variables(args: argparse.Namespace) -> tuple[dict[str, str], dict[str, str]]:
    """Return the sidecar's variables that the options name: by value, and by a secret's ARN.

    Raises:
        CommandError: an option is not of its form.
    """
    return (
        dict(_pairs(args.env, "--env", "NAME=VALUE")),
        dict(_pairs(args.secret, "--secret", "NAME=ARN")),
    )


def sidecar(args: argparse.Namespace) -> Sidecar:
    """Return the sidecar that the options describe.

    Raises:
        CommandError: an option is missing or not of its form.
    """
    if not args.image:
        raise CommandError("--image is needed: where your registry has the sidecar's image")
    environment, secrets = variables(args)
    return Sidecar(
        image=args.image,
        senders=tuple(args.sender),
        spans_per_second=args.spans_per_second,
        environment=environment,
        secrets=secrets,
        efs=None if args.efs is None else _efs(args.efs),
        own_log=None if args.own_log_group is None else LogGroup(args.own_log_group, _region()),
    )


def text(document: Any) -> str:
    """Return a document as JSON, to be read and to be compared line by line."""
    return json.dumps(document, indent=2, ensure_ascii=False, default=str) + "\n"


def diff(before: Any, after: Any) -> Iterable[str]:
    """Yield the lines by which two documents differ."""
    old, new = text(before).splitlines(keepends=True), text(after).splitlines(keepends=True)
    return difflib.unified_diff(old, new, "before", "after")


def _region() -> str:
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if not region:
        raise CommandError("--own-log-group: AWS_REGION has to say which region the group is in")
    return region


def _efs(written: str) -> Efs:
    match = _EFS.fullmatch(written)
    if match is None:
        raise CommandError(f"--efs {written}: fs-… or fs-…:fsap-… is needed")
    return Efs(match[1], match[2])


def _pairs(written: Iterable[str], option: str, form: str) -> Iterable[tuple[str, str]]:
    for each in written:
        name, equals, value = each.partition("=")
        if not name or not equals:
            # What stands there may be a secret in the wrong place.
            raise CommandError(f"{option}: {form} is needed")
        yield name, value


def _positive(written: str) -> int:
    number = int(written)
    if number < 1:
        raise ValueError
    return number
