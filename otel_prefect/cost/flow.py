"""The flow that reads what the pipelines cost, once a day, and tells it as metrics.

Costs, sizes and shares are gauges: told again, they are the same. What Athena's queries have scanned is a
counter, so each query must be told once: the Prefect variable ``otel_prefect_cost_through`` holds until when
that was done. It is set after the numbers have left; a process that dies in between tells them twice.
"""

from __future__ import annotations

import functools
import logging
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import metrics as metrics_api
from prefect import flow, task
from prefect.variables import Variable

from otel_prefect import semconv
from otel_prefect.cost import athena, calls, cost_explorer, storage, utilization
from otel_prefect.instruments import instrument

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_prefect.cost.readings import Problem, Readings

THROUGH: Final = "otel_prefect_cost_through"
"""The Prefect variable with the end of what was told of Athena, in ISO 8601."""
_COST_EXPLORER_REGION: Final = "us-east-1"
_FLUSH_MILLISECONDS: Final = 60_000
# Athena keeps 45 days of queries; what is older than this is not made up for.
_LONGEST: Final = timedelta(days=7)
_logger = logging.getLogger(__name__)


class NotToldError(RuntimeError):
    """Raised when the numbers cannot leave the process: nothing takes metrics, or it did not answer."""


@dataclass(frozen=True)
class Days:
    """What a run looks at.

    Attributes:
        now: in UTC.
        start: of the queries that are told of,
        end: which is midnight, and no part of it.
    """

    now: datetime
    start: datetime
    end: datetime


@flow(name="otel-prefect-cost")
def cost_flow(  # noqa: PLR0913, PLR0917 - the parameters of a deployment
    tag: str = "source",
    region: str | None = None,
    buckets: tuple[str, ...] = (),
    workgroups: tuple[str, ...] = (),
    dollars_per_terabyte: float = 5.0,
    days_ago: int = 2,
) -> dict[str, int]:
    """Read cost, storage, Athena's queries and utilisation, and tell them as metrics.

    What AWS refuses is counted in ``pipeline.cost.problems`` and said in the log; all else goes on.

    Args:
        tag: key of the cost allocation tag that names the source.
        region: that is looked at; the process's own where there is none. Cost Explorer knows all.
        buckets: of S3; all of the region where there are none.
        workgroups: of Athena; all of the region where there are none.
        dollars_per_terabyte: Athena's price in the region.
        days_ago: which day's cost is read: Cost Explorer takes up to a day to have all of one.

    Returns:
        How many numbers and problems there were.

    Raises:
        NotToldError: the numbers cannot leave the process.
    """
    taker = _taker()
    days = _days()
    client = functools.partial(calls.client, region=region)
    day = (days.end - timedelta(days=days_ago)).date()
    found = [
        read("cost", lambda: cost_explorer.read(calls.client("ce", _COST_EXPLORER_REGION), day, tag)),
        read("storage", lambda: storage.read(client("cloudwatch"), days.now, buckets)),
        read(
            "utilization",
            lambda: utilization.read(client("cloudwatch"), days.end - timedelta(days=1), days.end),
        ),
    ]
    queries = read(
        "athena",
        lambda: athena.read(
            client("athena"), client("cloudtrail"), days.start, days.end, dollars_per_terabyte, workgroups
        ),
    )
    numbers = [number for each in (*found, queries) for number in each.numbers]
    problems = [problem for each in (*found, queries) for problem in each.problems]
    for number in numbers:
        _tell(number.metric, number.value, dict(number.attributes))
    for problem in problems:
        _say(problem)
    if taker(_FLUSH_MILLISECONDS) is False:
        raise NotToldError("the numbers have not left in time; the next run tells them again")
    if queries.numbers or not queries.problems:
        Variable.set(THROUGH, days.end.isoformat(), overwrite=True)
    return {"numbers": len(numbers), "problems": len(problems)}


@task(task_run_name="{what}", persist_result=False)
def read(what: str, how: Callable[[], Readings]) -> Readings:
    """Read one thing, as a task of its own.

    Args:
        what: its name.
        how: reads it.
    """
    del what
    return how()


def _taker() -> Callable[[int], Any]:
    """Return what flushes the process's metrics.

    Raises:
        NotToldError: nothing takes metrics here.
    """
    flush = getattr(metrics_api.get_meter_provider(), "force_flush", None)
    if flush is None:
        raise NotToldError(
            "nothing takes metrics in this process: set PREFECT_PLUGINS_ENABLED=1, and run beside a sidecar"
        )
    return flush  # type: ignore[no-any-return]


def _days() -> Days:
    """Return what is to be told: the days since the last run, up to a week, until this midnight."""
    now = datetime.now(timezone.utc)
    end = now.replace(hour=0, minute=0, second=0, microsecond=0)
    told = Variable.get(THROUGH, default=None)
    try:
        start = datetime.fromisoformat(str(told)) if told else end - timedelta(days=1)
    except ValueError:
        _logger.warning("Prefect variable %s=%r is no time in ISO 8601: one day is read", THROUGH, told)
        start = end - timedelta(days=1)
    if start.tzinfo is None:
        start = start.replace(tzinfo=timezone.utc)
    return Days(now, min(max(start, end - _LONGEST), end), end)


def _tell(metric: semconv.Metric, value: float, attributes: dict[str, str]) -> None:
    made = instrument(metric, __name__)
    (made.add if metric.kind == "counter" else made.set)(value, attributes)


def _say(problem: Problem) -> None:
    _logger.warning("%s", problem.said)
    attributes = {semconv.SERVICE: problem.service, semconv.REASON: problem.reason}
    _tell(semconv.METRIC_COST_FLOW_PROBLEMS, 1, attributes)
