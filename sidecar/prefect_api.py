"""Asks Prefect's API what a flow run is called, to which deployment it belongs, and more.

Nothing waits for an answer: what is not known yet is added to later data. `parameters`
and `job_variables` may hold secrets and are never read.

The routes: https://docs.prefect.io/v3/api-ref/rest-api (flow_runs, flows, deployments).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp

from otel_prefect import semconv

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from sidecar.enrichment import Attributes, AttributeValue
    from sidecar.settings import PrefectApiSettings

_log = logging.getLogger("sidecar.prefect_api")

# A run's attempt, tags and state change while it runs, so an answer is asked again after this time.
_FRESH_SECONDS = 30.0
# After a failure the next question waits this long, doubled each time, with jitter.
_FIRST_BACK_OFF_SECONDS, _LONGEST_BACK_OFF_SECONDS = 1.0, 60.0
_TIMEOUT = aiohttp.ClientTimeout(total=5)
# Runs remembered. A task works for one run, a served process for some.
_RUNS = 1024


@dataclass
class _Run:
    """What is known of a run, and when the next question is due (monotonic seconds)."""

    facts: Attributes | None = None
    due: float = 0.0
    back_off: float = _FIRST_BACK_OFF_SECONDS
    task: asyncio.Task[None] | None = None


class PrefectApi:
    """Remembers what Prefect's API says of flow runs.

    Args:
        settings: where the API is; None knows nothing of any run.
    """

    def __init__(self, settings: PrefectApiSettings | None) -> None:
        self._settings = settings
        self._session: aiohttp.ClientSession | None = None
        self._runs: OrderedDict[UUID, _Run] = OrderedDict()
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

    async def close(self) -> None:
        """End what is under way."""
        for run in self._runs.values():
            if run.task is not None:
                run.task.cancel()
        if self._session is not None:
            await self._session.close()

    def _forget_oldest(self) -> None:
        _, oldest = self._runs.popitem(last=False)
        if oldest.task is not None:
            oldest.task.cancel()

    async def _ask(self, run_id: UUID, run: _Run) -> None:
        try:
            facts = await self._look_up(run_id)
        except (aiohttp.ClientError, TimeoutError, asyncio.TimeoutError, ValueError) as error:
            run.due = time.monotonic() + run.back_off * random.uniform(0.5, 1.5)  # noqa: S311 - jitter
            run.back_off = min(run.back_off * 2, _LONGEST_BACK_OFF_SECONDS)
            if not self._said_unreachable:
                self._said_unreachable = True
                _log.warning(
                    "%s: %s; runs go without the names that Prefect knows until it answers",
                    semconv.ENV_PREFECT_API_URL.name,
                    _reason(error),
                )
        else:
            self._said_unreachable = False
            run.due = time.monotonic() + _FRESH_SECONDS
            run.back_off = _FIRST_BACK_OFF_SECONDS
            if facts != run.facts:
                run.facts = facts
        finally:
            run.task = None

    async def _look_up(self, run_id: UUID) -> Attributes:
        run = await self._get(f"/flow_runs/{run_id}")
        flow = deployment = None
        with contextlib.suppress(aiohttp.ClientResponseError):  # deleted since: the run's own facts stay
            flow = await self._get(f"/flows/{run['flow_id']}") if run.get("flow_id") else None
        with contextlib.suppress(aiohttp.ClientResponseError):
            deployment = (
                await self._get(f"/deployments/{run['deployment_id']}") if run.get("deployment_id") else None
            )
        return _facts(run, flow or {}, deployment or {})

    async def _get(self, route: str) -> dict[str, Any]:
        assert self._settings is not None, "facts() asks only where there is an API"  # noqa: S101 - an invariant
        if self._session is None:
            headers = (
                {"authorization": self._settings.authorization} if self._settings.authorization else None
            )
            self._session = aiohttp.ClientSession(timeout=_TIMEOUT, headers=headers, trust_env=True)
        async with self._session.get(self._settings.url + route, raise_for_status=True) as response:
            answer = await response.json()
        if not isinstance(answer, dict):
            raise ValueError(f"{route} answered no JSON object")
        return answer


def _reason(error: BaseException) -> str:
    """Say what went wrong without the URL, which may carry credentials, or headers, which do."""
    if isinstance(error, aiohttp.ClientResponseError):
        return f"Prefect's API answered {error.status} {error.message}"
    return f"Prefect's API was not reached ({type(error).__name__})"


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
