"""Which run a command is about."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from otel_prefect import ids, semconv
from otel_prefect.commands.cli import CommandError
from otel_prefect.commands.sources import options
from otel_prefect.commands.sources.source import INSTALL, NoTrace
from otel_prefect.prefect import api as prefect_api
from otel_prefect.view import near, runs
from otel_prefect.view.words import moment

if TYPE_CHECKING:
    import argparse

    from rich.console import Console

    from otel_prefect.commands.sources.source import Source
    from otel_prefect.prefect.api import Api
    from otel_prefect.view.execution import Execution
    from otel_prefect.view.runs import Run

_HOURS: Final = 24.0
_SLACK_SECONDS: Final = 60.0
"""By which clocks may differ, and a worker's span may be before the run."""


@dataclass(frozen=True)
class Asked:
    """The run that is asked for.

    Attributes:
        text: as it was asked for.
        trace_id: 32 hex digits.
        since: when it began at the earliest, in seconds since 1970.
        run: as Prefect knows it; None where Prefect was not asked, or does not know it.
    """

    text: str
    trace_id: str
    since: float
    run: Run | None = None


def configure(parser: argparse.ArgumentParser) -> None:
    """Add RUN, and where it is read from."""
    parser.add_argument(
        "run", metavar="RUN", help="a flow run's id or name, `latest`, or the id of a trace in X-Ray"
    )
    parser.add_argument("flow", metavar="FLOW", nargs="?", help="with `latest`: of this flow")
    parser.add_argument(
        "--hours",
        type=float,
        default=_HOURS,
        help="to look back, where neither Prefect nor the run's id says when it was, and what is asked needs "
        f"a time ({_HOURS:g})",
    )
    options.configure(parser)


def asked(run: str, flow: str | None = None, hours: float = _HOURS) -> Asked:
    """Return the run that is asked for.

    Args:
        run: a flow run's id or name, ``latest``, or the id of a trace in X-Ray.
        flow: with ``latest``: of which flow.
        hours: to look back, where it is not known when it was.

    Raises:
        CommandError: it is no run's, or Prefect, which knows names, does not say.
    """
    if flow and run != runs.LATEST:
        raise CommandError(f"{flow!r}: a flow can be named with `latest` only")
    long_ago = time.time() - hours * 3600
    flow_run_id = ids.read_uuid(run)
    if flow_run_id is not None:
        found = _known(run)
        trace_id = found.trace_id if found else f"{ids.trace_id(flow_run_id):032x}"
        made_at = ids.made_at(flow_run_id)
        return Asked(run, trace_id, _since(found, long_ago if made_at is None else made_at), found)
    try:
        return Asked(run, f"{ids.parse_xray_trace_id(run):032x}", long_ago)
    except ValueError:
        pass
    found = _named(run, flow)
    return Asked(run, found.trace_id, _since(found, long_ago), found)


def _since(run: Run | None, otherwise: float) -> float:
    return (otherwise if run is None or run.start is None else run.start) - _SLACK_SECONDS


def _known(flow_run_id: str) -> Run | None:
    """Return a run as Prefect knows it; None where it cannot be asked, or has forgotten it."""
    if not os.environ.get(semconv.ENV_PREFECT_API_URL.name):
        return None
    try:
        return runs.by_id(prefect_api.of_environment(os.environ), flow_run_id)
    except (runs.NotFound, ValueError):
        # Its trace is the same.
        return None


def _named(name: str, flow: str | None) -> Run:
    try:
        api = prefect_api.of_environment(os.environ)
    except ValueError as error:
        raise CommandError(
            f"{name!r} is no id of a flow run or a trace, and to ask Prefect for a run of that name: {error}"
        ) from error
    try:
        return runs.find(api, name, flow)
    except runs.NotFound as error:
        raise CommandError(f"{error}{_near(api, name)}") from error


def execution(source: Source, wanted: Asked) -> Execution:
    """Return what a source has of a run.

    Raises:
        CommandError: it has nothing, or cannot be read; the text says what Prefect knows of such a run.
    """
    try:
        return source.execution(wanted.trace_id, wanted.since)
    except NoTrace as error:
        raise NoTrace(f"{error}{_said_by_prefect(wanted)}") from error


def _said_by_prefect(wanted: Asked) -> str:
    if wanted.run is not None:
        run = wanted.run
        began = "has not begun" if run.start is None else f"began {moment(run.start)}"
        return f"\nPrefect knows the run: {run.name}, {run.state or 'no state'}, {began}"
    try:
        api = prefect_api.of_environment(os.environ)
    except ValueError:
        return ""
    return f"\nPrefect at {api.base} does not know it{_near(api, wanted.text)}"


def _near(api: Api, text: str) -> str:
    try:
        found = near.near(api, text)
    except runs.NotFound:
        return ""
    listed = "".join(
        f"\n  {run.name}  {run.id}  {run.state}  {moment(run.start)}"
        for run in found
        if run.start is not None
    )
    return f"; was one of these meant?{listed}" if listed else ""


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
