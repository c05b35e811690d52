"""Which metrics in CloudWatch have an alarm by its anomaly detection: a table's rows and a flow's duration.

CloudWatch learns a band for one metric, with all its dimensions; it cannot for a search or a query. So those
that there are have to be listed, and listed again once there are new ones.
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Anomaly_Detection.html
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from otel_prefect import semconv
from otel_prefect.alerts import anomalies

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_prefect.alerts.declared import Alert

MOST: Final = 400
"""Of a template: CloudFormation takes 500 resources
(https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html)."""
_KINDS: Final[tuple[tuple[Alert, semconv.Metric, str, tuple[tuple[str, str], ...]], ...]] = (
    (anomalies.ROWS_UNUSUAL, semconv.METRIC_TABLE_ROWS, "Sum", ()),
    (anomalies.DURATION_UNUSUAL, semconv.METRIC_FLOW_RUN_DURATION, "Average", (("state", "completed"),)),
)


@dataclass(frozen=True)
class Series:
    """A metric as CloudWatch has it.

    Attributes:
        alert: that is about it.
        metric: which.
        statistic: of a day.
        dimensions: all that it has, names and values, sorted.
    """

    alert: Alert
    metric: semconv.Metric
    statistic: str
    dimensions: tuple[tuple[str, str], ...]

    def key(self) -> str:
        """Return a short name that it keeps."""
        text = repr((self.metric.name, self.dimensions))
        return hashlib.sha256(text.encode()).hexdigest()[:10]

    def logical_id(self) -> str:
        """Return its name in a template."""
        return self.alert.name + self.key()


def listed(cloudwatch: Any, namespace: str) -> Iterator[Series]:
    """Yield what CloudWatch has had values of in the last two weeks.

    Args:
        cloudwatch: a client of boto3, which needs ``cloudwatch:ListMetrics``.
        namespace: of the sidecars' metrics.

    Raises:
        botocore.exceptions.ClientError: it is refused.
        botocore.exceptions.BotoCoreError: it cannot be reached, or there are no credentials.
    """
    pages = cloudwatch.get_paginator("list_metrics")
    for alert, metric, statistic, only in _KINDS:
        filters = [{"Name": name, "Value": value} for name, value in only]
        for page in pages.paginate(Namespace=namespace, MetricName=metric.name, Dimensions=filters):
            for each in page["Metrics"]:
                dimensions = sorted((one["Name"], one["Value"]) for one in each["Dimensions"])
                yield Series(alert, metric, statistic, tuple(dimensions))
