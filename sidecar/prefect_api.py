"""Asks Prefect's API what a flow run is called, to which deployment it belongs, and more.

Nothing waits for an answer: what is not known yet is added to later data. `parameters`
and `job_variables` may hold secrets and are never read.

The routes: https://docs.prefect.io/v3/api-ref/rest-api (flow_runs, flows, deployments).
"""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from otel_prefect import semconv
from sidecar.fetch import Fetcher, FetchError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from sidecar.attributes import Attributes, AttributeValue
    from sidecar.settings import PrefectApiSettings

_log = logging.getLogger("sidecar.prefect_api")

# A run's attempt and tags change while it runs, so it is asked for again after this time; after twice as long
# while it stays the same. Ten thousand tasks that ask every 30 s would be all that a Prefect server does.
FRESH_SECONDS, LONGEST_FRESH_SECONDS = 30.0, 480.0
# After a failure the next question waits this long, doubled each time, with jitter.
_FIRST_BACK_OFF_SECONDS, _LONGEST_BACK_OFF_SECONDS = 1.0, 60.0
_TIMEOUT_SECONDS: Final = 5.0
# Runs remembered. A task works for one run, a served process for some.
_RUNS: Final = 1024
# Runs that are asked for at once; each question has a thread.
_AT_ONCE: Final = 4
# How far up the runs that started a run are followed.
_ANCESTORS: Final = 16


@dataclass
class _Run:
    """What is known of a run, and when the next question is due (monotonic seconds).

    What does not change is asked for once: ``lineage``, and ``others``, its flow and deployment by their ids.
    """

    facts: Attributes | None = None
    lineage: Attributes | None = None
    others: dict[str, dict[str, Any]] = field(default_factory=dict)
    due: float = 0.0
    fresh: float = FRESH_SECONDS
    back_off: float = _FIRST_BACK_OFF_SECONDS
    task: asyncio.Task[None] | None = None
    asked: bool = False


class PrefectApi:
    """Remembers what Prefect's API says of flow runs.

    Only GET is used, which Prefect's CSRF protection leaves alone.

    Args:
        settings: where the API is; None knows nothing of any run.
    """

    def __init__(self, settings: PrefectApiSettings | None) -> None:
        self._settings = settings
        self._fetcher = None if settings is None else _fetcher(settings)
        self._runs: OrderedDict[UUID, _Run] = OrderedDict()
        self._at_once = asyncio.Semaphore(_AT_ONCE)
        self._said_unreachable = False

    def facts(self, run_id: UUID) -> Attributes | None:
        """Return what is known of a run now, and ask in the background where the answer is due."""
        if self._settings is None:
            return None
        run = self._runs.get(run_id)
        if run is None:
            run = self._runs[run_id] = _Run()
            if len(self._runs) > _RUNS:
                self._forget_oldest()
        if run.task is None and time.monotonic() >= run.due:
            run.task = asyncio.get_running_loop().create_task(self._ask(run_id, run))
        return run.facts

    async def first_answers(self, seconds: float) -> bool:
        """Wait for the runs that were never answered for, nor in vain; tell whether there were any.

        Args:
            seconds: how long at most.
        """
        waited = [run.task for run in self._runs.values() if run.task is not None and not run.asked]
        if waited:
            await asyncio.wait(waited, timeout=seconds)
        return bool(waited)

    async def state(self, run_id: UUID) -> str | None:
        """Ask for a flow run's state now, such as ``COMPLETED``; None where that cannot be told.

        https://docs.prefect.io/v3/concepts/states
        """
        if self._settings is None:
            return None
        try:
            run = await self._get(f"/flow_runs/{run_id}")
        except FetchError:
            return None
        state = run.get("state")
        kind = state.get("type") if isinstance(state, dict) else run.get("state_type")
        return kind if isinstance(kind, str) else None

    async def close(self) -> None:
        """End what is under way."""
        for run in self._runs.values():
            if run.task is not None:
                run.task.cancel()

    def _forget_oldest(self) -> None:
        _, oldest = self._runs.popitem(last=False)
        if oldest.task is not None:
            oldest.task.cancel()

    async def _ask(self, run_id: UUID, run: _Run) -> None:
        try:
            async with self._at_once:
                facts = await self._look_up(run_id, run)
        except FetchError as error:
            run.due = time.monotonic() + run.back_off * random.uniform(0.5, 1.5)  # noqa: S311 - jitter
            run.back_off = min(run.back_off * 2, _LONGEST_BACK_OFF_SECONDS)
            if not self._said_unreachable:
                self._said_unreachable = True
                _log.warning(
                    "%s: Prefect's API %s; runs go without the names that Prefect knows until it answers",
                    semconv.ENV_PREFECT_API_URL.name,
                    error,
                )
        else:
            self._said_unreachable = False
            run.fresh = FRESH_SECONDS if facts != run.facts else min(2 * run.fresh, LONGEST_FRESH_SECONDS)
            run.due = time.monotonic() + run.fresh
            run.back_off = _FIRST_BACK_OFF_SECONDS
            if facts != run.facts:
                run.facts = facts
        finally:
            run.asked = True
            run.task = None

    async def _look_up(self, run_id: UUID, known: _Run) -> Attributes:
        run = await self._get(f"/flow_runs/{run_id}")
        flow = await self._once("/flows", run.get("flow_id"), known)
        deployment = await self._once("/deployments", run.get("deployment_id"), known)
        if known.lineage is None:
            known.lineage = await self._lineage(run)
        return {**_facts(run, flow, deployment), **known.lineage}

    async def _lineage(self, run: Mapping[str, Any]) -> Attributes:
        """Return the run that started this one, and the one at the top; nothing for a run of its own."""
        ancestors: list[str] = []
        while len(ancestors) < _ANCESTORS:
            task_run = await self._get_if_there("/task_runs", run.get("parent_task_run_id"))
            parent = task_run.get("flow_run_id")
            if not isinstance(parent, str):
                break
            ancestors.append(parent)
            run = await self._get_if_there("/flow_runs", parent)
        if not ancestors:
            return {}
        return {semconv.FLOW_RUN_PARENT_ID: ancestors[0], semconv.FLOW_RUN_ROOT_ID: ancestors[-1]}

    async def _once(self, route: str, id_: object, known: _Run) -> dict[str, Any]:
        """Return an object that does not change while a run runs: asked for once."""
        key = f"{route}/{id_}"
        found = known.others.get(key) or await self._get_if_there(route, id_)
        if found:
            known.others[key] = found
        return found

    async def _get_if_there(self, route: str, id_: object) -> dict[str, Any]:
        """Return an object; an empty one where there is no id, or it was deleted since."""
        if not isinstance(id_, str):
            return {}
        try:
            return await self._get(f"{route}/{id_}")
        except FetchError as error:
            if error.status is None:
                raise
            return {}

    async def _get(self, route: str) -> dict[str, Any]:
        assert self._settings is not None, "asked only where there is an API"  # noqa: S101 - an invariant
        assert self._fetcher is not None, "made with the settings"  # noqa: S101 - an invariant
        return await self._fetcher.json(self._settings.url + route)


def _fetcher(settings: PrefectApiSettings) -> Fetcher:
    headers = {"Accept": "application/json", **settings.headers}
    if settings.authorization:
        headers["Authorization"] = settings.authorization
    tls = None
    if settings.certificates is not None:
        tls = ssl.create_default_context(cafile=str(settings.certificates))
    return Fetcher(_TIMEOUT_SECONDS, headers, proxies=True, tls=tls)


def _facts(run: Mapping[str, Any], flow: Mapping[str, Any], deployment: Mapping[str, Any]) -> Attributes:
    """Choose the attributes from the API's answers; what is null or absent is left out."""
    known: dict[str, AttributeValue | None] = {
        semconv.FLOW_RUN_NAME: run.get("name"),
        semconv.FLOW_RUN_COUNT: run.get("run_count") or None,
        semconv.FLOW_RUN_TAGS: run.get("tags") or None,
        semconv.FLOW_RUN_LATENESS: run.get("estimated_start_time_delta"),
        semconv.FLOW_RUN_AUTO_SCHEDULED: run.get("auto_scheduled"),
        semconv.FLOW_ID: run.get("flow_id"),
        semconv.FLOW_NAME: flow.get("name"),
        semconv.DEPLOYMENT_ID: run.get("deployment_id"),
        semconv.DEPLOYMENT_NAME: deployment.get("name"),
        semconv.DEPLOYMENT_VERSION: run.get("deployment_version") or deployment.get("version"),
        semconv.WORK_POOL_NAME: run.get("work_pool_name"),
        semconv.WORK_QUEUE_NAME: run.get("work_queue_name"),
    }
    return {key: value for key, value in known.items() if value is not None}
