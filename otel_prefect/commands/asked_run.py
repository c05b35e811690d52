"""Which run a command is about."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from otel_prefect import ids, semconv
from otel_prefect.commands import sources
from otel_prefect.commands.cli import CommandError
from otel_prefect.prefect import api as prefect_api
from otel_prefect.view import runs

if TYPE_CHECKING:
    import argparse

    from rich.console import Console


def configure(parser: argparse.ArgumentParser) -> None:
    """Add RUN, and where it is read from."""
    parser.add_argument(
        "run", metavar="RUN", help="a flow run's id or name, `latest`, or the id of a trace in X-Ray"
    )
    parser.add_argument("flow", metavar="FLOW", nargs="?", help="with `latest`: of this flow")
    sources.configure(parser)


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
        raise CommandError(f"{error.name} is not installed: {sources.INSTALL}") from error
    return Console(highlight=False)
