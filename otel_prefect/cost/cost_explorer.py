"""The cost of a day by source and service, from Cost Explorer: one call a page, of $0.01 each.

https://docs.aws.amazon.com/aws-cost-management/latest/APIReference/API_GetCostAndUsage.html
"""

from __future__ import annotations

import math
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from otel_prefect import semconv
from otel_prefect.cost.calls import Unread, pages
from otel_prefect.cost.readings import Problem, Reading, Readings, largest, together

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date

UNTAGGED: Final = "untagged"
"""What the source of costs is that have no tag."""
_CURRENCY: Final = "USD"
_METRIC: Final = "UnblendedCost"
_MOST: Final = 100


def read(client: Any, day: date, tag: str) -> Readings:
    """Return the unblended cost of a day.

    A refund is a cost below zero, and stays one.

    Args:
        client: of Cost Explorer, which is in us-east-1 alone.
        day: a whole day in UTC.
        tag: key of the cost allocation tag that names the source; it has to be active for a day before.
    """
    found = Readings()
    costs: list[tuple[tuple[str, ...], float]] = []
    try:
        for page in pages(
            client,
            "get_cost_and_usage",
            "NextPageToken",
            TimePeriod={"Start": day.isoformat(), "End": (day + timedelta(days=1)).isoformat()},
            Granularity="DAILY",
            Metrics=[_METRIC],
            GroupBy=[{"Type": "TAG", "Key": tag}, {"Type": "DIMENSION", "Key": "SERVICE"}],
        ):
            for result in page.get("ResultsByTime", []):
                costs += [_cost(group) for group in result.get("Groups", [])]
    except Unread as error:
        # A part of a day would look like a cheap day.
        found.problems.append(error.problem)
        return found
    for (source, service), value in largest(together(costs), _MOST).items():
        attributes = {semconv.SOURCE: source, semconv.SERVICE: service}
        found.numbers.append(Reading(semconv.METRIC_COST, value, attributes))
    return found


def _cost(group: Mapping[str, Any]) -> tuple[tuple[str, ...], float]:
    """Return what a group of a page costs, by source and service.

    Raises:
        Unread: it is in another currency, or no number.
    """
    amount = group["Metrics"][_METRIC]
    if amount.get("Unit") != _CURRENCY:
        said = f"ce:GetCostAndUsage: the account's currency is {amount.get('Unit')}, and only USD is read"
        raise Unread(Problem("ce", "currency", said))
    try:
        value = float(amount["Amount"])
    except (KeyError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        said = f"ce:GetCostAndUsage: {amount.get('Amount')!r} is no amount"
        raise Unread(Problem("ce", "no amount", said))
    tag, service = group["Keys"]
    return (tag.partition("$")[2] or UNTAGGED, service), value
