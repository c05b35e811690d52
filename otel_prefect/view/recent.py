"""The runs of late, each against what its flow usually takes, as Prefect knows them."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from otel_prefect.view import runs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from otel_prefect.prefect.api import Api

_BEFORE: Final = 20
"""Completed runs of a flow that its median is of."""
_LEAST: Final = 3
_BAD: Final = ("FAILED", "CRASHED")


@dataclass(frozen=True)
class Recent:
    """A run.

    Attributes:
        id: a UUID.
        name: as Prefect made it up.
        flow: name of its flow.
        state: such as ``COMPLETED``.
        start: seconds since 1970.
        seconds: that it ran, so far where it goes on.
        usual: median of the flow's completed runs of late; None where there are too few.
        trace_id: 32 hex digits; that of the run that started it, where another did.
        failed_in: name of the task run that failed first; empty where none did.
    """

    id: str
    name: str
    flow: str
    state: str
    start: float
    seconds: float
    usual: float | None
    trace_id: str
    failed_in: str

    @property
    def ratio(self) -> float | None:
        """How long it took against what is usual; None where that is not known."""
        return self.seconds / self.usual if self.usual else None


def recent(api: Api, wanted: runs.Wanted) -> list[Recent]:
    """Return the runs of late, the newest first.

    Args:
        api: Prefect's.
        wanted: which.

    Raises:
        NotFound: Prefect cannot be asked.
    """
    found = runs.newest_documents(api, wanted)
    flow_ids = sorted({str(each.get("flow_id")) for each in found})
    names = _names(api, flow_ids)
    usual = {flow_id: _usual(api, flow_id) for flow_id in flow_ids}
    failed = _failed_in(api, [str(each.get("id")) for each in found if _has_failed(each)])
    return [_recent(each, names, usual, failed) for each in found]


def _has_failed(document: Mapping[str, Any]) -> bool:
    return document.get("state_type") in _BAD


def _failed_in(api: Api, run_ids: Sequence[str]) -> dict[str, str]:
    """Return by the ids of flow runs the name of the task run that failed first."""
    if not run_ids:
        return {}
    asked = {
        "flow_runs": {"id": {"any_": list(run_ids)}},
        "task_runs": {"state": {"type": {"any_": list(_BAD)}}},
        "sort": "END_TIME_DESC",
        "limit": runs.PAGE,
    }
    tasks = runs.ask(api, "/task_runs/filter", asked)
    # The last that is written here is the first that ended.
    return {str(each.get("flow_run_id")): str(each.get("name", "")) for each in tasks}


def _names(api: Api, flow_ids: Sequence[str]) -> dict[str, str]:
    found = runs.ask(api, "/flows/filter", {"flows": {"id": {"any_": list(flow_ids)}}}) if flow_ids else []
    return {str(each.get("id")): str(each.get("name", "")) for each in found}


def _usual(api: Api, flow_id: str) -> float | None:
    asked = {
        "flow_runs": {"state": {"type": {"any_": [runs.COMPLETED]}}},
        "flows": {"id": {"any_": [flow_id]}},
        "sort": "START_TIME_DESC",
        "limit": _BEFORE,
    }
    seconds = [_seconds(each) for each in runs.ask(api, "/flow_runs/filter", asked)]
    return statistics.median(seconds) if len(seconds) >= _LEAST else None


def _recent(
    document: Mapping[str, Any],
    names: Mapping[str, str],
    usual: Mapping[str, float | None],
    failed: Mapping[str, str],
) -> Recent:
    flow_id = str(document.get("flow_id"))
    run = runs.read(document)
    return Recent(
        id=run.id,
        name=run.name,
        flow=names.get(flow_id, "?"),
        state=run.state,
        start=run.start or 0.0,
        seconds=_seconds(document),
        usual=usual.get(flow_id),
        trace_id=run.trace_id,
        failed_in=failed.get(run.id, ""),
    )


def _seconds(document: Mapping[str, Any]) -> float:
    # Of a run that goes on, what it has run so far.
    value = document.get("estimated_run_time")
    return float(value) if isinstance(value, int | float) else 0.0
