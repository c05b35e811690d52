"""The newest or average value of many CloudWatch metrics: listed by name, read 500 at a time.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricData.html
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from otel_prefect.cost.calls import pages

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

_AT_ONCE: Final = 500
_MOST: Final = 2_000


@dataclass(frozen=True)
class Asked:
    """Which metrics, and how.

    Attributes:
        namespace: of CloudWatch.
        name: of the metric.
        statistic: ``Average``, …
        period: of a value, in seconds.
        start: values are looked for from here,
        end: to here.
    """

    namespace: str
    name: str
    statistic: str
    period: int
    start: datetime
    end: datetime


def values(client: Any, asked: Asked) -> Iterator[tuple[Mapping[str, str], list[float]]]:
    """Give each metric's dimensions with its values, the newest first; without values none.

    Raises:
        calls.Unread: CloudWatch does not answer as it should.
    """
    listed = [
        {each["Name"]: each["Value"] for each in metric["Dimensions"]}
        for page in pages(client, "list_metrics", Namespace=asked.namespace, MetricName=asked.name)
        for metric in page.get("Metrics", [])
    ][:_MOST]
    for first in range(0, len(listed), _AT_ONCE):
        batch = listed[first : first + _AT_ONCE]
        found: dict[str, list[float]] = {}
        for page in pages(
            client,
            "get_metric_data",
            MetricDataQueries=[_query(asked, number, each) for number, each in enumerate(batch)],
            StartTime=asked.start,
            EndTime=asked.end,
            ScanBy="TimestampDescending",
        ):
            for result in page.get("MetricDataResults", []):
                found.setdefault(result["Id"], []).extend(result.get("Values", []))
        for number, dimensions in enumerate(batch):
            if found.get(f"m{number}"):
                yield dimensions, found[f"m{number}"]


def _query(asked: Asked, number: int, dimensions: Mapping[str, str]) -> dict[str, Any]:
    metric = {
        "Namespace": asked.namespace,
        "MetricName": asked.name,
        "Dimensions": [{"Name": name, "Value": value} for name, value in dimensions.items()],
    }
    return {
        "Id": f"m{number}",
        "MetricStat": {"Metric": metric, "Period": asked.period, "Stat": asked.statistic},
    }
