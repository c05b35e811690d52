"""What has the spans and log records of runs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, Protocol

from otel_prefect import ids, links
from otel_prefect.commands.cli import CommandError
from otel_prefect.prefect import api as prefect_api

if TYPE_CHECKING:
    from otel_prefect.view.execution import Execution
    from otel_prefect.view.log_lines import Line

INSTALL: Final = "pip install 'otel-prefect[cli]'"
SLACK_SECONDS: Final = 60.0
"""Before the first span and after the last one in which log records are looked for."""


class NoTrace(CommandError):  # noqa: N818 - the answer to a question
    """Raised where there is no such trace, or none yet."""


class Source(Protocol):
    """What has the spans and log records of runs."""

    @property
    def name(self) -> str:
        """What people call it."""

    def execution(self, trace_id: str, since: float) -> Execution:
        """Return what there is of a trace, with notes of what is missing.

        Args:
            trace_id: 32 hex digits.
            since: when it began at the earliest, in seconds since 1970: for what cannot be asked without.

        Raises:
            NoTrace: there is none.
            CommandError: it cannot be read; the text says why.
        """

    def when(self, trace_id: str, since: float) -> tuple[float, float]:
        """Return between which times a run's log is to be looked for, in seconds since 1970.

        Args:
            trace_id: 32 hex digits.
            since: as above.
        """

    def lines(self, trace_id: str, start: float, end: float) -> tuple[list[Line], str]:
        """Return the log lines of a run by time, and what is missing of them; empty where nothing is.

        Args:
            trace_id: 32 hex digits.
            start: of the run, in seconds since 1970; what came a little before or after is there too.
            end: the same.
        """

    def places(self, trace_id: str, start: float, end: float) -> dict[str, str]:
        """Return what shows a run too: names and addresses.

        Args:
            trace_id: 32 hex digits.
            start: of the run, in seconds since 1970.
            end: the same.
        """


def noted(execution: Execution, odd: int) -> Execution:
    """Return an execution with a note of how many parts of it were not understood."""
    if odd:
        execution.notes.append(f"{odd} parts of the trace were not understood")
    return execution


def elsewhere(trace_id: str, start: float, end: float) -> dict[str, str]:
    """Return where Prefect, OpenSearch Dashboards and Grafana show a run, as far as they are configured.

    Args:
        trace_id: 32 hex digits.
        start: of the run, in seconds since 1970.
        end: the same.
    """
    number = int(trace_id, 16)
    others = links.elsewhere(os.environ, number, start, end)
    try:
        ui = links.prefect_ui(prefect_api.of_environment(os.environ).base)
    except ValueError:
        return others
    run_id = ids.show_uuid(ids.flow_run_id(number))
    return others if ui is None else {links.PREFECT: links.prefect_flow_run(ui, run_id), **others}
