"""``otel-prefect deploy-cost-flow``: has Prefect read what the pipelines cost, once a day."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, Final

from otel_prefect.commands.cli import CommandError

if TYPE_CHECKING:
    import argparse

ENTRYPOINT: Final = "otel_prefect.cost.flow.cost_flow"
FLOW: Final = "otel-prefect-cost"
# Cost Explorer has refreshed a day's data at least once by then.
_CRON: Final = "0 9 * * *"
ACTIONS: Final = (
    "athena:BatchGetQueryExecution",
    "athena:ListQueryExecutions",
    "athena:ListWorkGroups",
    "ce:GetCostAndUsage",
    "cloudtrail:LookupEvents",
    "cloudwatch:GetMetricData",
    "cloudwatch:ListMetrics",
)
"""What the flow's role needs. Athena's two may be narrowed to workgroups; the others know no resource."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--work-pool", metavar="NAME", help="that runs it; its image needs otel-prefect[cli]")
    parser.add_argument("--image", metavar="IMAGE", help="of its runs, where it is not the work pool's")
    parser.add_argument("--name", default="daily", help="of the deployment (daily)")
    parser.add_argument("--cron", default=_CRON, help=f"when it runs, in UTC ({_CRON})")
    parser.add_argument("--tag", default="source", help="key of the cost allocation tag (source)")
    parser.add_argument("--region", help="that storage, Athena and utilisation are read of (the process's)")
    parser.add_argument("--bucket", action="append", default=[], help="only these; may be given again")
    parser.add_argument("--workgroup", action="append", default=[], help="only these; may be given again")
    parser.add_argument("--dollars-per-terabyte", type=float, default=5.0, help="Athena's price (5)")
    parser.add_argument("--policy", action="store_true", help="print the policy that its role needs, and end")


def main(args: argparse.Namespace) -> int:
    """Create or change the deployment; return the exit code.

    Raises:
        CommandError: Prefect is not there, or does not take it.
    """
    if args.policy:
        sys.stdout.write(json.dumps(policy(), indent=2) + "\n")
        return 0
    if not args.work_pool:
        raise CommandError("--work-pool=NAME is needed: the work pool whose workers run the flow")
    if not args.dollars_per_terabyte >= 0:
        raise CommandError(f"--dollars-per-terabyte={args.dollars_per_terabyte}: 0 or more is needed")
    try:
        from prefect.client.orchestration import get_client  # noqa: PLC0415 - the library does without
    except ImportError:
        raise CommandError("this command needs Prefect: pip install prefect") from None
    with get_client(sync_client=True) as client:
        _deploy(client, args)
    sys.stdout.write(f"deployment {FLOW}/{args.name} in work pool {args.work_pool}, {args.cron} UTC\n")
    return 0


def policy() -> dict[str, Any]:
    """Return the policy that lets the flow read all that it reads."""
    statement = {"Effect": "Allow", "Action": list(ACTIONS), "Resource": "*"}
    return {"Version": "2012-10-17", "Statement": [statement]}


def _deploy(client: Any, args: argparse.Namespace) -> None:
    from prefect.client.schemas.actions import DeploymentScheduleCreate  # noqa: PLC0415 - as above
    from prefect.client.schemas.schedules import CronSchedule  # noqa: PLC0415
    from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError  # noqa: PLC0415

    from otel_prefect.cost.flow import cost_flow  # noqa: PLC0415 - needs Prefect

    try:
        schedule = CronSchedule(cron=args.cron, timezone="UTC")
    except ValueError:
        raise CommandError(
            f"--cron={args.cron!r}: five fields of cron are needed, such as {_CRON!r}"
        ) from None
    try:
        client.read_work_pool(args.work_pool)
        client.create_deployment(
            flow_id=client.create_flow(cost_flow),
            name=args.name,
            description="Reads what the pipelines cost, and tells it as metrics.",
            tags=["otel-prefect"],
            entrypoint=ENTRYPOINT,
            work_pool_name=args.work_pool,
            parameters=_parameters(args),
            job_variables={"image": args.image} if args.image else None,
            schedules=[DeploymentScheduleCreate(schedule=schedule, active=True)],
            parameter_openapi_schema=_schema(cost_flow),
        )
    except ObjectNotFound:
        raise CommandError(f"--work-pool={args.work_pool}: Prefect has no such work pool") from None
    except PrefectHTTPStatusError as error:
        raise CommandError(f"Prefect does not take the deployment: {error}") from error


def _parameters(args: argparse.Namespace) -> dict[str, Any]:
    return {
        "tag": args.tag,
        "region": args.region,
        "buckets": args.bucket,
        "workgroups": args.workgroup,
        "dollars_per_terabyte": args.dollars_per_terabyte,
    }


def _schema(cost_flow: Any) -> dict[str, Any]:
    from prefect.utilities.callables import parameter_schema  # noqa: PLC0415 - as above

    schema: dict[str, Any] = parameter_schema(cost_flow).model_dump_for_openapi()
    return schema
