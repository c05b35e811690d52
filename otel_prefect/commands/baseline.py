"""What a run is compared with: another one, or the median of its flow's completed runs of late."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final

from otel_prefect import ids, semconv
from otel_prefect.commands import asked_run
from otel_prefect.commands.cli import CommandError
from otel_prefect.commands.sources.source import NoTrace
from otel_prefect.prefect import api as prefect_api
from otel_prefect.view import compare, runs

if TYPE_CHECKING:
    from otel_prefect.commands.sources.source import Source
    from otel_prefect.view.compare import Baseline
    from otel_prefect.view.execution import Execution
    from otel_prefect.view.runs import Run

_MEDIAN: Final = re.compile(r"median(?::([1-9]\d{0,2}))?")
_RUNS: Final = 10
HELP: Final = (
    "show what is different from this run, which may be `latest` too, or from `median`: of the flow's last "
    f"{_RUNS} completed runs, or as many as `median:N` says"
)


def baseline(source: Source, execution: Execution, other: str, hours: float) -> Baseline:
    """Return what a run is compared with.

    Args:
        source: has both.
        execution: the run.
        other: a run, or ``median``, or ``median:N``.
        hours: to look back, where it is not known when the other was.

    Raises:
        CommandError: there is no such run, or none that has completed before.
    """
    found = _MEDIAN.fullmatch(other)
    if found:
        return compare.median(_completed(source, execution, int(found[1] or _RUNS)))
    before = asked_run.execution(source, asked_run.asked(other, hours=hours))
    return compare.one(before, before.name)


def _completed(source: Source, execution: Execution, count: int) -> list[Execution]:
    """Return the last runs of the same flow that have completed and whose traces are there."""
    attributes = execution.first.attributes
    flow = attributes.get(semconv.FLOW_NAME) or attributes.get(semconv.ANNOTATION_FLOW_NAME)
    if not flow:
        raise CommandError("--compare median: the run does not say of which flow it is")
    own = ids.show_uuid(ids.flow_run_id(int(execution.trace_id, 16)))
    try:
        api = prefect_api.of_environment(os.environ)
        known = runs.newest(api, runs.Wanted(str(flow), (runs.COMPLETED,), limit=count + 1))
    except (runs.NotFound, ValueError) as error:
        raise CommandError(f"--compare median: Prefect knows the flow's runs: {error}") from error
    others = [run for run in known if run.id != own][:count]
    found = [each for each in (_trace(source, run) for run in others) if each is not None]
    if not found:
        raise CommandError(
            f"--compare median: of the flow {flow} there is no completed run with a trace but this one"
        )
    return found


def _trace(source: Source, run: Run) -> Execution | None:
    try:
        return source.execution(run.trace_id, run.start or 0.0)
    except NoTrace:
        return None
