"""How much of their CPU Glue jobs and databases used, from CloudWatch.

https://docs.aws.amazon.com/glue/latest/dg/monitoring-awsglue-with-cloudwatch-metrics.html and
https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/rds-metrics.html. A Glue job measures itself where its
job metrics are on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from otel_prefect import semconv
from otel_prefect.cost import cloudwatch
from otel_prefect.cost.calls import Unread
from otel_prefect.cost.readings import Reading, Readings, largest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

_HOUR: Final = 3600
_MOST: Final = 100
_WHOLE_JOB: Final = "ALL"


def read(client: Any, start: datetime, end: datetime) -> Readings:
    """Return the average share of CPU that was used, of each Glue job and each database that ran.

    Args:
        client: of CloudWatch.
        start: of the time that is looked at, in UTC,
        end: and its end.
    """
    found = Readings()
    glue = cloudwatch.Asked("Glue", "glue.ALL.system.cpuSystemLoad", "Average", _HOUR, start, end)
    _add(found, client, glue, _job, 1.0, (semconv.METRIC_GLUE_UTILIZATION, semconv.JOB))
    databases = cloudwatch.Asked("AWS/RDS", "CPUUtilization", "Average", _HOUR, start, end)
    _add(found, client, databases, _database, 100.0, (semconv.METRIC_RDS_UTILIZATION, semconv.DATABASE))
    return found


def _add(  # noqa: PLR0913, PLR0917 - what differs between the two
    found: Readings,
    client: Any,
    asked: cloudwatch.Asked,
    name_of: Callable[[Mapping[str, str]], str | None],
    whole: float,
    as_: tuple[semconv.Metric, str],
) -> None:
    shares: dict[tuple[str, ...], float] = {}
    try:
        for dimensions, values in cloudwatch.values(client, asked):
            name = name_of(dimensions)
            share = sum(values) / len(values) / whole
            # A measurement that cannot be is left out.
            if name is not None and 0 <= share <= 1:
                shares[(name,)] = share
    except Unread as error:
        found.problems.append(error.problem)
        return
    metric, label = as_
    kept = dict(list(largest(shares, len(shares)).items())[:_MOST])  # a sum of shares would be none
    found.numbers += [Reading(metric, value, {label: name}) for (name,), value in kept.items()]


def _job(dimensions: Mapping[str, str]) -> str | None:
    return dimensions.get("JobName") if dimensions.get("JobRunId") == _WHOLE_JOB else None


def _database(dimensions: Mapping[str, str]) -> str | None:
    return dimensions["DBInstanceIdentifier"] if set(dimensions) == {"DBInstanceIdentifier"} else None
