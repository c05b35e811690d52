"""``otel-prefect trace RUN``: what one execution did, what failed in it, and what its time went into."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from otel_prefect import ids, semconv
from otel_prefect.commands.cli import CommandError
from otel_prefect.prefect import api as prefect_api
from otel_prefect.view import otlp_json, runs, summary

if TYPE_CHECKING:
    import argparse

    from otel_prefect.view.execution import Execution
    from otel_prefect.view.log_lines import Line

_INSTALL: Final = "pip install 'otel-prefect[cli]'"
_MOST_NAMED: Final = 5
_SLACK_SECONDS: Final = 60.0
"""Before the first span and after the last one in which log records are looked for."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "run", metavar="RUN", help="a flow run's id or name, `latest`, or the id of a trace in X-Ray"
    )
    parser.add_argument("flow", metavar="FLOW", nargs="?", help="with `latest`: of this flow")
    parser.add_argument("--file", type=Path, help="read this file of OTLP in JSON, and not X-Ray")
    parser.add_argument("--json", action="store_true", help="print it for machines")
    parser.add_argument("--otlp", type=Path, metavar="FILE", help="write its spans as OTLP in JSON, and end")
    parser.add_argument("--region", help="of AWS (the process's)")
    group = semconv.ENV_LOG_GROUP
    parser.add_argument(
        "--log-group",
        default=os.environ.get(group.name) or group.default,
        help=f"of the runs' logs ({group.name}, else {group.default})",
    )


def main(args: argparse.Namespace) -> int:
    """Show the execution; return 0.

    Raises:
        CommandError: there is no such execution, or AWS or Prefect does not answer.
    """
    if args.flow and args.run != runs.LATEST:
        raise CommandError(f"{args.flow!r}: a flow can be named with `latest` only")
    trace_id = _trace_id(args.run, args.flow)
    session = None if args.file else _session(args.region)
    execution, odd = _execution(session, trace_id) if session else _of_file(args.file, trace_id)
    if args.otlp:
        _write(args.otlp, execution)
    elif args.json:
        sys.stdout.write(json.dumps(summary.summary(execution, time.time()), indent=2) + "\n")
    else:
        _show(execution, *(_lines(session, execution, args.log_group) if session else ([], "")))
    if odd:
        sys.stderr.write(f"otel-prefect: {odd} parts of the trace were not understood\n")
    return 0


def _session(region: str | None) -> Any:
    try:
        import boto3  # noqa: PLC0415 - of the extra `cli`, and slow to import
    except ModuleNotFoundError as error:
        raise CommandError(f"{error.name} is not installed: {_INSTALL}") from error
    return boto3.Session(region_name=region)


def _show(execution: Execution, lines: list[Line], unread: str) -> None:
    try:
        from rich.console import Console  # noqa: PLC0415 - of the extra `cli`
    except ModuleNotFoundError as error:
        raise CommandError(f"{error.name} is not installed: {_INSTALL}") from error
    from otel_prefect.view import terminal  # noqa: PLC0415 - it needs rich

    console = Console(highlight=False)
    console.print(terminal.show(execution, lines, time.time()))
    if unread:
        console.print(f"no log lines: {unread}", style="yellow", markup=False)


def _of_file(path: Path, trace_id: str) -> tuple[Execution, int]:
    try:
        found = otlp_json.read(path.read_text(encoding="utf-8", errors="replace"))
    except OSError as error:
        raise CommandError(f"{path}: cannot be read: {error.strerror}") from error
    execution = found.execution(trace_id)
    if not execution.spans:
        others = ", ".join(sorted(found.traces)[:_MOST_NAMED]) or "none"
        raise CommandError(f"{path}: has no spans of trace {trace_id}; of these it has: {others}")
    return execution, found.odd


def _write(path: Path, execution: Execution) -> None:
    try:
        path.write_text(otlp_json.written(execution), encoding="utf-8")
    except OSError as error:
        raise CommandError(f"{path}: cannot be written: {error.strerror}") from error


def _trace_id(run: str, flow: str | None) -> str:
    """Return the trace of a run, as 32 hex digits.

    Raises:
        CommandError: it is no run's, or Prefect, which knows names, does not say.
    """
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


def _execution(session: Any, hex_trace_id: str) -> tuple[Execution, int]:
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - as above

    from otel_prefect.view import xray  # noqa: PLC0415 - as above

    trace_id = ids.xray_trace_id(int(hex_trace_id, 16))
    try:
        execution, odd = xray.execution(session.client("xray"), trace_id)
    except (BotoCoreError, ClientError) as error:
        raise CommandError(f"xray:BatchGetTraces: {error}") from error
    if not execution.spans:
        raise CommandError(
            f"X-Ray in {session.region_name} has no trace {trace_id}: it keeps them for 30 days, and takes "
            "seconds to show a new one"
        )
    return execution, odd


def _lines(session: Any, execution: Execution, group: str) -> tuple[list[Line], str]:
    """Return the log lines, and why there are none where they cannot be read."""
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - as above

    from otel_prefect.view import log_lines  # noqa: PLC0415 - as above

    start, end = execution.start - _SLACK_SECONDS, execution.end + _SLACK_SECONDS
    try:
        return log_lines.of_cloudwatch(session.client("logs"), group, execution.trace_id, start, end), ""
    except (BotoCoreError, ClientError) as error:
        return [], f"logs:FilterLogEvents on {group}: {error}"
