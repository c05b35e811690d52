"""Which run a command is about, and what AWS has of it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

from otel_prefect import ids, links, semconv
from otel_prefect.commands.cli import CommandError
from otel_prefect.prefect import api as prefect_api
from otel_prefect.view import runs
from otel_prefect.view.execution import Execution, Span

if TYPE_CHECKING:
    import argparse

    from rich.console import Console

    from otel_prefect.view.log_lines import Line

INSTALL: Final = "pip install 'otel-prefect[cli]'"
_SLACK_SECONDS: Final = 60.0
"""Before the first span and after the last one in which log records are looked for."""


class NoTrace(CommandError):  # noqa: N818 - the answer to a question
    """Raised where X-Ray has no such trace, or has none yet."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add RUN, and where AWS is to be asked."""
    parser.add_argument(
        "run", metavar="RUN", help="a flow run's id or name, `latest`, or the id of a trace in X-Ray"
    )
    parser.add_argument("flow", metavar="FLOW", nargs="?", help="with `latest`: of this flow")
    parser.add_argument("--region", help="of AWS (the process's)")
    group = semconv.ENV_LOG_GROUP
    parser.add_argument(
        "--log-group",
        default=os.environ.get(group.name) or group.default,
        help=f"of the runs' logs ({group.name}, else {group.default})",
    )


def trace_id(run: str, flow: str | None = None) -> str:
    """Return the trace of the run that is asked for, as 32 hex digits.

    Args:
        run: a flow run's id or name, ``latest``, or the id of a trace in X-Ray.
        flow: with ``latest``: of which flow.

    Raises:
        CommandError: it is no run's, or Prefect, which knows names, does not say.
    """
    if flow and run != runs.LATEST:
        raise CommandError(f"{flow!r}: a flow can be named with `latest` only")
    flow_run_id = ids.read_uuid(run)
    try:
        if flow_run_id is None:
            return f"{ids.parse_xray_trace_id(run):032x}"
    except ValueError:
        pass
    own = None if flow_run_id is None else f"{ids.trace_id(flow_run_id):032x}"
    if own is not None and not os.environ.get(semconv.ENV_PREFECT_API_URL.name):
        return own
    try:
        prefect = prefect_api.of_environment(os.environ)
        found = runs.find(prefect, run, flow) if own is None else runs.by_id(prefect, run)
    except runs.NotFound as error:
        # Prefect may have forgotten a run, or be away: its trace is the same.
        if own is not None:
            return own
        raise CommandError(str(error)) from error
    except ValueError as error:
        raise CommandError(
            f"{run!r} is no id of a flow run or a trace, and to ask Prefect for a run of that name: {error}"
        ) from error
    return found.trace_id


def console() -> Console:
    """Return a console of rich.

    Raises:
        CommandError: rich is not installed.
    """
    try:
        from rich.console import Console  # noqa: PLC0415 - of the extra `cli`
    except ModuleNotFoundError as error:
        raise CommandError(f"{error.name} is not installed: {INSTALL}") from error
    return Console(highlight=False)


def session(args: argparse.Namespace) -> Any:
    """Return a session of boto3.

    Raises:
        CommandError: boto3 is not installed.
    """
    try:
        import boto3  # noqa: PLC0415 - of the extra `cli`, and slow to import
    except ModuleNotFoundError as error:
        raise CommandError(f"{error.name} is not installed: {INSTALL}") from error
    return boto3.Session(region_name=args.region)


def execution(session: Any, hex_trace_id: str) -> tuple[Execution, int]:
    """Return what X-Ray has of a trace, and how many parts of it were not understood.

    Raises:
        NoTrace: it has none.
        CommandError: it does not answer.
    """
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - as above

    from otel_prefect.view import xray  # noqa: PLC0415 - as above

    trace_id = ids.xray_trace_id(int(hex_trace_id, 16))
    try:
        found, odd = xray.execution(session.client("xray"), trace_id)
    except (BotoCoreError, ClientError) as error:
        raise CommandError(f"xray:BatchGetTraces: {error}") from error
    if not found.spans:
        raise NoTrace(
            f"X-Ray in {session.region_name} has no trace {trace_id}: it keeps them for 30 days, and takes "
            "seconds to show a new one"
        )
    return found, odd


def last_hours(hex_trace_id: str, hours: float, now: float) -> Execution:
    """Return an execution of which nothing is known but that it was in the last hours."""
    return Execution(hex_trace_id, [Span("0" * 16, None, "", now - hours * 3600, now)])


def lines(session: Any, execution: Execution, group: str) -> tuple[list[Line], str]:
    """Return the log lines, and why there are none where they cannot be read."""
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - as above

    from otel_prefect.view import log_lines  # noqa: PLC0415 - as above

    start, end = execution.start - _SLACK_SECONDS, execution.end + _SLACK_SECONDS
    try:
        return log_lines.of_cloudwatch(session.client("logs"), group, execution.trace_id, start, end), ""
    except (BotoCoreError, ClientError) as error:
        return [], f"logs:FilterLogEvents on {group}: {error}"


def places(session: Any, execution: Execution, group: str) -> dict[str, str]:
    """Return what shows an execution too: X-Ray, its log records, and Prefect where its API is told."""
    trace_id = int(execution.trace_id, 16)
    found = links.of_run(session.region_name, group, trace_id, execution.start, execution.end)
    try:
        ui = links.prefect_ui(prefect_api.of_environment(os.environ).base)
    except ValueError:
        ui = None
    if ui is not None:
        found["Prefect"] = links.prefect_flow_run(ui, ids.show_uuid(ids.flow_run_id(trace_id)))
    return found
