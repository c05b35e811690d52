"""How CloudWatch is asked for our metrics, which come by EMF.

A metric has one set of dimensions: its own attributes and what is known of flow, deployment, source and
stage. So a name is searched for, and what is found is put together by metric math:
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/search-expression-syntax.html
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from otel_prefect import semconv

DAY: Final = 86_400
HOUR: Final = 3_600


@dataclass(frozen=True)
class Search:
    """All metrics of a name.

    Attributes:
        id: what expressions call it.
        metric: which.
        statistic: Sum, Average, Maximum, Minimum or SampleCount; there are no percentiles by EMF.
        by: dimensions that a series is named by, and that it must have.
        only: values of dimensions.
        period: in seconds; None: what suits the range.
        hidden: whether it is only there for an expression.
    """

    id: str
    metric: semconv.Metric
    statistic: str
    by: tuple[str, ...] = ()
    only: tuple[tuple[str, str], ...] = ()
    period: int | None = None
    hidden: bool = False

    def label_of(self) -> str:
        """Return the label of a series, by CloudWatch's dynamic labels."""
        return " · ".join(f"${{PROP('Dim.{name}')}}" for name in self.by)

    def expression_of(self, namespace: str) -> str:
        """Return it as a search expression."""
        terms = [f'Namespace="{namespace}"', f'MetricName="{self.metric.name}"']
        terms += [f'"{name}"="{value}"' for name, value in self.only]
        arguments = [f"'{' '.join(terms)}'", f"'{self.statistic}'"]
        if self.period is not None:
            arguments.append(str(self.period))
        return f"SEARCH({', '.join(arguments)})"


@dataclass(frozen=True)
class Math:
    """An expression over what was found.

    Attributes:
        id: what other expressions call it.
        expression: metric math; an id of a search stands for all that it found.
        label: of its series.
        hidden: as above.
        period: in seconds.
    """

    id: str
    expression: str
    label: str
    hidden: bool = False
    period: int | None = None


def total(
    metric: semconv.Metric, label: str, *, only: tuple[tuple[str, str], ...] = ()
) -> tuple[Search, Math]:
    """Return the sum of all that a counter's series have added."""
    return (
        Search("all", metric, "Sum", only=only, hidden=True),
        Math("together", "SUM(all)", label),
    )


def share(
    metric: semconv.Metric, only: tuple[tuple[str, str], ...], label: str, period: int = DAY
) -> tuple[Search, Search, Math]:
    """Return which part of a counter has these values of dimensions, for each period."""
    return (
        Search("part", metric, "Sum", only=only, period=period, hidden=True),
        Search("whole", metric, "Sum", period=period, hidden=True),
        Math("share", "SUM(part) / SUM(whole)", label, period=period),
    )
