"""The runs of late, each against what its flow usually takes, as Prefect knows them."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Final

from otel_prefect.view import runs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from otel_prefect.prefect.api import Api

_BEFORE: Final = 20
"""Completed runs of a flow that its median is of."""
_LEAST: Final = 3


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
    """

    id: str
    name: str
    flow: str
    state: str
    start: float
    seconds: float
    usual: float | None

    @property
    def ratio(self) -> float | None:
        """How long it took against what is usual; None where that is not known."""
        return self.seconds / self.usual if self.usual else None


@dataclass(frozen=True)
class Wanted:
    """Which runs.

    Attributes:
        flow: only those of this flow.
        states: only those in these states.
        since: only those that began after this time, in seconds since 1970.
        limit: the most of them.
    """

    flow: str | None = None
    states: Sequence[str] = ()
    since: float | None = None
    limit: int = 20


def recent(api: Api, wanted: Wanted) -> list[Recent]:
    """Return the runs of late, the newest first.

    Args:
        api: Prefect's.
        wanted: which.

    Raises:
        NotFound: Prefect cannot be asked.
    """
    start_time: dict[str, Any] = {"is_null_": False}
    if wanted.since is not None:
        start_time["after_"] = datetime.fromtimestamp(wanted.since, timezone.utc).isoformat()
    flow_runs: dict[str, Any] = {"start_time": start_time}
    if wanted.states:
        flow_runs["state"] = {"type": {"any_": list(wanted.states)}}
    asked = {
        "flow_runs": flow_runs,
        **({"flows": {"name": {"any_": [wanted.flow]}}} if wanted.flow else {}),
        "sort": "START_TIME_DESC",
        "limit": min(wanted.limit, runs.PAGE),
    }
    found = runs.ask(api, "/flow_runs/filter", asked)
    flow_ids = sorted({str(each.get("flow_id")) for each in found})
    names = _names(api, flow_ids)
    usual = {flow_id: _usual(api, flow_id) for flow_id in flow_ids}
    return [_recent(each, names, usual) for each in found]


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
    document: Mapping[str, Any], names: Mapping[str, str], usual: Mapping[str, float | None]
) -> Recent:
    flow_id = str(document.get("flow_id"))
    return Recent(
        id=str(document.get("id", "")),
        name=str(document.get("name", "")),
        flow=names.get(flow_id, "?"),
        state=str(document.get("state_type") or ""),
        start=runs.moment(document.get("start_time")) or 0.0,
        seconds=_seconds(document),
        usual=usual.get(flow_id),
    )


def _seconds(document: Mapping[str, Any]) -> float:
    # Of a run that goes on, what it has run so far.
    value = document.get("estimated_run_time")
    return float(value) if isinstance(value, int | float) else 0.0
