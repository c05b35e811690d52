"""Which run is meant: its id, its name, the latest, or the latest of a flow, as Prefect knows them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Final

from otel_prefect import ids
from otel_prefect.http_request import NoAnswer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from otel_prefect.prefect.api import Api

LATEST: Final = "latest"
COMPLETED: Final = "COMPLETED"
PAGE: Final = 200
"""As many as Prefect's API gives at once (``PREFECT_API_DEFAULT_LIMIT``)."""
_RUNS: Final = "/flow_runs/filter"
_SECONDS: Final = 10.0
_TRACEPARENT_LABEL: Final = "__OTEL_TRACEPARENT"
"""Prefect's (``prefect.telemetry.run_telemetry.LABELS_TRACEPARENT_KEY``): a run's span, or its caller's."""
_TRACEPARENT: Final = re.compile(r"00-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")


class NotFound(Exception):  # noqa: N818 - the answer to a question
    """Raised when Prefect has no such run, or cannot be asked; the text says which."""


@dataclass(frozen=True)
class Run:
    """A flow run.

    Attributes:
        id: a UUID.
        name: as Prefect made it up.
        state: such as ``COMPLETED``; empty where it has none yet.
        trace_id: 32 hex digits; that of the run that started it, where another did.
        start: when it began, in seconds since 1970; None where it has not.
    """

    id: str
    name: str
    state: str
    trace_id: str
    start: float | None = None


@dataclass(frozen=True)
class Wanted:
    """Which runs.

    Attributes:
        flow: only those of the flow of this name.
        states: only those in these states, such as ``COMPLETED``.
        since: only those that began after this time, in seconds since 1970.
        limit: the most of them, and ``PAGE`` at most.
    """

    flow: str | None = None
    states: Sequence[str] = ()
    since: float | None = None
    limit: int = 20


def find(api: Api, name: str, flow: str | None = None) -> Run:
    """Return the newest run that has a name, or the newest that has begun.

    Args:
        api: Prefect's.
        name: of a flow run, or ``latest``.
        flow: with ``latest``: only runs of the flow of this name.

    Raises:
        NotFound: there is none, or the API does not say.
    """
    if name == LATEST:
        found = newest(api, Wanted(flow, limit=1))
    else:
        asked = {"flow_runs": {"name": {"any_": [name]}}, "sort": "START_TIME_DESC", "limit": 1}
        found = [read(each) for each in ask(api, _RUNS, asked)]
    if not found:
        what = f"flow run {name!r}" if name != LATEST else f"run of flow {flow!r}" if flow else "run"
        raise NotFound(f"Prefect at {api.base} has no {what}")
    return found[0]


def by_id(api: Api, flow_run_id: str) -> Run:
    """Return a run.

    Args:
        api: Prefect's.
        flow_run_id: a UUID.

    Raises:
        NotFound: there is none, or the API does not say.
    """
    found = ask(api, _RUNS, {"flow_runs": {"id": {"any_": [flow_run_id]}}, "limit": 1})
    if not found:
        raise NotFound(f"Prefect at {api.base} has no flow run {flow_run_id}")
    return read(found[0])


def newest(api: Api, wanted: Wanted) -> list[Run]:
    """Return the runs that began last, the newest first.

    Args:
        api: Prefect's.
        wanted: which.

    Raises:
        NotFound: the API does not say.
    """
    return [read(each) for each in newest_documents(api, wanted)]


def newest_documents(api: Api, wanted: Wanted) -> list[Mapping[str, Any]]:
    """Return the runs that began last, the newest first, as Prefect's API writes them.

    Args:
        api: Prefect's.
        wanted: which.

    Raises:
        NotFound: the API does not say.
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
        "limit": min(wanted.limit, PAGE),
    }
    return ask(api, _RUNS, asked)


def ask(api: Api, path: str, asked: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return what Prefect's API lists.

    Args:
        api: Prefect's.
        path: such as ``/flow_runs/filter``.
        asked: its filters.

    Raises:
        NotFound: the API does not say; the text says why.
    """
    try:
        answer = api.post(path, asked, _SECONDS)
    except NoAnswer as error:
        raise NotFound(f"Prefect at {api.base} was asked for {path}: {error}") from error
    if answer.status != 200:
        raise NotFound(f"Prefect at {api.base} answers {answer.status}: {answer.text()}")
    try:
        document = json.loads(answer.body)
    except ValueError:
        document = None
    if not isinstance(document, list) or not all(isinstance(each, dict) for each in document):
        raise NotFound(f"{api.base} is not Prefect's API: {answer.text()}")
    return document


def read(document: Mapping[str, Any]) -> Run:
    """Return a run as Prefect's API writes it.

    Raises:
        NotFound: it has no id.
    """
    run_id = ids.read_uuid(str(document.get("id")))
    if run_id is None:
        raise NotFound(f"Prefect answers with a run whose id is {document.get('id')!r}")
    return Run(
        id=ids.show_uuid(run_id),
        name=str(document.get("name", "")),
        state=str(document.get("state_type") or ""),
        trace_id=_trace_id(run_id, document.get("labels")),
        start=moment(document.get("start_time")),
    )


def _trace_id(run_id: UUID, labels: Any) -> str:
    traceparent = labels.get(_TRACEPARENT_LABEL) if isinstance(labels, dict) else None
    told = _TRACEPARENT.fullmatch(str(traceparent))
    return told[1] if told else f"{ids.trace_id(run_id):032x}"


def moment(text: Any) -> float | None:
    """Return a time as Prefect's API writes it, in seconds since 1970; None where it is none."""
    try:
        return datetime.fromisoformat(str(text).replace("Z", "+00:00")).timestamp()
    except ValueError:
        return None
