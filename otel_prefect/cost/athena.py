"""What Athena's queries have scanned and cost, by user: from Athena, and CloudTrail, which knows who asked.

What is charged (https://aws.amazon.com/athena/pricing/): the bytes that a query scanned, also of a cancelled
one, in whole megabytes and at least ten; not failed queries, and no statements that define data.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from otel_prefect import semconv
from otel_prefect.cost.calls import Unread, ask, pages
from otel_prefect.cost.readings import OTHER, Reading, Readings, together

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping
    from datetime import datetime

UNKNOWN: Final = "unknown"
"""The user of a query that CloudTrail does not know, or is not asked about."""
_MEGABYTE: Final = 2**20
_TERABYTE: Final = 2**40
_LEAST_MEGABYTES: Final = 10
_AT_ONCE: Final = 50
_CHARGED: Final = ("SUCCEEDED", "CANCELLED")
_MOST_USERS: Final = 50
# A query may run for so long (a quota that can be raised), so it was started so long before its end at most.
_LONGEST: Final = timedelta(hours=4)


@dataclass(frozen=True)
class Query:
    """A query that is charged.

    Attributes:
        id: of its execution.
        workgroup: in which it ran.
        scanned: bytes.
    """

    id: str
    workgroup: str
    scanned: int

    def cost(self, dollars_per_terabyte: float) -> float:
        """Return what it costs, in US dollars."""
        megabytes = max(math.ceil(self.scanned / _MEGABYTE), _LEAST_MEGABYTES)
        return megabytes * _MEGABYTE / _TERABYTE * dollars_per_terabyte


def read(  # noqa: PLR0913, PLR0917 - two clients, a range, a price and a choice
    client: Any,
    trail: Any,
    start: datetime,
    end: datetime,
    dollars_per_terabyte: float,
    workgroups: Collection[str] = (),
) -> Readings:
    """Return what was scanned by queries that ended in a range, by user and workgroup, and what that costs.

    Args:
        client: of Athena.
        trail: of CloudTrail.
        start: of the range, in UTC,
        end: which is no part of it.
        dollars_per_terabyte: the region's price.
        workgroups: only these; all where there are none.
    """
    found = Readings()
    try:
        names = list(workgroups) or list(_workgroups(client))
        queries = [query for name in names for query in _queries(client, name, start, end)]
    except Unread as error:
        found.problems.append(error.problem)
        return found
    users: Mapping[str, str] = {}
    if queries:
        try:
            users = _users(trail, start - _LONGEST, end)
        except Unread as error:  # the bytes are known all the same
            found.problems.append(error.problem)
    for metric, amounts in (
        (semconv.METRIC_ATHENA_SCANNED, [(query, float(query.scanned)) for query in queries]),
        (semconv.METRIC_ATHENA_COST, [(query, query.cost(dollars_per_terabyte)) for query in queries]),
    ):
        pairs = (((users.get(query.id, UNKNOWN), query.workgroup), value) for query, value in amounts)
        for (user, workgroup), value in _few_users(together(pairs)).items():
            attributes = {semconv.USER: user, semconv.WORKGROUP: workgroup}
            found.numbers.append(Reading(metric, value, attributes))
    return found


def _workgroups(client: Any) -> Iterator[str]:
    for page in pages(client, "list_work_groups"):
        yield from (each["Name"] for each in page.get("WorkGroups", []))


def _queries(client: Any, workgroup: str, start: datetime, end: datetime) -> Iterator[Query]:
    """Give the charged queries of a workgroup that ended in a range; Athena lists the newest first."""
    for page in pages(client, "list_query_executions", WorkGroup=workgroup, MaxResults=_AT_ONCE):
        ids = page.get("QueryExecutionIds", [])
        if not ids:
            continue
        executions = ask(client, "batch_get_query_execution", QueryExecutionIds=ids)["QueryExecutions"]
        yield from _charged(executions, workgroup, start, end)
        if all(each["Status"]["SubmissionDateTime"] < start - _LONGEST for each in executions):
            return


def _charged(
    executions: Iterable[Mapping[str, Any]], workgroup: str, start: datetime, end: datetime
) -> Iterator[Query]:
    for each in executions:
        status, statistics = each["Status"], each.get("Statistics", {})
        ended = status.get("CompletionDateTime")
        reused = statistics.get("ResultReuseInformation", {}).get("ReusedPreviousResult", False)
        if (
            ended is not None
            and start <= ended < end
            and status["State"] in _CHARGED
            and each.get("StatementType") != "DDL"
            and not reused
        ):
            yield Query(each["QueryExecutionId"], workgroup, int(statistics.get("DataScannedInBytes", 0)))


def _users(trail: Any, start: datetime, end: datetime) -> dict[str, str]:
    """Return who started each query; CloudTrail takes two calls a second, and the client keeps to that.

    https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_LookupEvents.html
    """
    found = {}
    asked = [{"AttributeKey": "EventName", "AttributeValue": "StartQueryExecution"}]
    for page in pages(trail, "lookup_events", LookupAttributes=asked, StartTime=start, EndTime=end):
        for event in page.get("Events", []):
            try:
                record = json.loads(event.get("CloudTrailEvent", "{}"))
                query = record["responseElements"]["queryExecutionId"]
            except (ValueError, KeyError, TypeError):
                continue  # one that was refused has no query
            found[str(query)] = _user(record.get("userIdentity") or {})
    return found


def _user(identity: Mapping[str, Any]) -> str:
    """Return a name that stays the same: of a role, not of its session.

    https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-user-identity.html
    """
    if identity.get("type") == "AssumedRole":
        issuer = identity.get("sessionContext", {}).get("sessionIssuer", {})
        return str(issuer.get("userName") or UNKNOWN)
    if identity.get("type") == "Root":
        return "root"
    return str(identity.get("userName") or identity.get("invokedBy") or UNKNOWN)


def _few_users(amounts: Mapping[tuple[str, ...], float]) -> dict[tuple[str, ...], float]:
    """Return amounts with the largest users by name, and the others as one in each workgroup."""
    by_user = together(((user,), value) for (user, _), value in amounts.items())
    ordered = sorted(by_user, key=lambda user: (-by_user[user], user))
    named = {user for (user,) in ordered[:_MOST_USERS]}
    return together(
        ((user if user in named else OTHER, workgroup), value) for (user, workgroup), value in amounts.items()
    )
