"""``otel-prefect work-pool``: the sidecar in the runs of a Prefect work pool of type ``ecs``, or in some."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from otel_prefect import semconv
from otel_prefect.commands import sidecar_options
from otel_prefect.commands.cli import CommandError
from otel_prefect.deploy import work_pool
from otel_prefect.deploy.task_definition import TaskDefinitionError

if TYPE_CHECKING:
    import argparse

_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the subcommand's arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    line = "put the sidecar into the base job template of a work pool"
    add = actions.add_parser("add-sidecar", help=line, description=f"{line}; safe to run again.")
    add.add_argument("name", help="of the work pool, of type ecs")
    sidecar_options.configure(add)
    line = "print the job variables by which a deployment turns the sidecar off or has another"
    other = actions.add_parser("job-variables", help=line, description=f"{line}.")
    other.add_argument("name", help="of the work pool, with the sidecar in it")
    other.add_argument("--off", action="store_true", help="no sidecar in the runs of the deployment")
    sidecar_options.configure_variables(other)


def main(args: argparse.Namespace) -> int:
    """Carry the action out, through Prefect's API as Prefect's own settings have it.

    Raises:
        CommandError: the template cannot be had or changed; nothing was changed then.
    """
    try:
        from prefect.client.orchestration import get_client  # noqa: PLC0415 - the library does without
    except ImportError:
        raise CommandError("this command needs Prefect: pip install prefect") from None
    with get_client(sync_client=True) as client:
        before = _read(client, args.name)
        try:
            if args.action == "job-variables":
                sys.stdout.write(sidecar_options.text(_job_variables(args, before)))
            else:
                _change(args, client, before)
        except TaskDefinitionError as error:
            raise CommandError(f"work pool {args.name}: {error}") from error
    return 0


def _job_variables(args: argparse.Namespace, template: dict[str, Any]) -> dict[str, Any]:
    if args.off:
        return dict(work_pool.OFF)
    environment, secrets = sidecar_options.variables(args)
    return work_pool.job_variables(template, environment, secrets, args.image)


def _change(args: argparse.Namespace, client: Any, before: dict[str, Any]) -> None:
    _say_where_prefect_is(args, str(client.api_url))
    after = work_pool.remove(before) if args.remove else work_pool.add(before, sidecar_options.sidecar(args))
    if args.diff:
        sys.stdout.writelines(sidecar_options.diff(before, after))
    else:
        _write(client, args.name, after)
        sys.stdout.write(f"work pool {args.name}: the sidecar is {'out' if args.remove else 'in'}\n")


def _say_where_prefect_is(args: argparse.Namespace, url: str) -> None:
    """Let the sidecar ask the API that this command speaks to, unless that is this machine's own."""
    name = semconv.ENV_PREFECT_API_URL.name
    told = any(each.startswith(f"{name}=") for each in (*args.env, *args.secret))
    parts = urlsplit(url)
    if not told and parts.hostname not in _LOOPBACK and parts.username is None:
        args.env.append(f"{name}={url}")


def _read(client: Any, name: str) -> dict[str, Any]:
    from prefect.exceptions import ObjectNotFound  # noqa: PLC0415 - as above

    try:
        pool = client.read_work_pool(name)
    except ObjectNotFound:
        raise CommandError(f"there is no work pool {name!r} at {client.api_url}") from None
    except Exception as error:  # Prefect's client raises httpx's errors and its own
        raise CommandError(f"Prefect's API was asked for work pool {name}: {error}") from error
    if pool.type != "ecs":
        raise CommandError(f"work pool {name} is of type {pool.type}, not ecs")
    return dict(pool.base_job_template)


def _write(client: Any, name: str, template: dict[str, Any]) -> None:
    from prefect.client.schemas.actions import WorkPoolUpdate  # noqa: PLC0415 - as above

    try:
        client.update_work_pool(name, WorkPoolUpdate(base_job_template=template))
    except Exception as error:
        raise CommandError(f"Prefect's API did not take the template of work pool {name}: {error}") from error
