"""Asks CloudWatch Logs Insights, which looks at all parts of a log group at once.

It is paid by what it looks at ($0.005 a gigabyte in us-east-1: https://aws.amazon.com/cloudwatch/pricing/),
and skips what a field index tells it to:
https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CloudWatchLogs-Field-Indexing.html.
"""

from __future__ import annotations

import math
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MOST: Final = 100_000
"""Events that a query gives, 10,000 a page:
https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_StartQuery.html."""
_SECONDS: Final = 120.0
_FIRST_POLL_SECONDS: Final = 0.1
_POLL_SECONDS: Final = 1.0
_UNDER_WAY: Final = ("Scheduled", "Running", "Unknown")


class Unanswered(Exception):  # noqa: N818 - the answer to a question
    """Raised when a query was taken and has no answer; the text says why."""


def events(logs: Any, group: str, wanted: tuple[str, str], start: float, end: float) -> tuple[list[str], int]:
    """Return the texts of the events whose field has a value, and how many more there are at most.

    Where there are more than a query gives, each half of the time is asked for: more are left out only where
    they are of the same second.

    Args:
        logs: a client of boto3; it needs ``logs:StartQuery``, ``logs:GetQueryResults``, ``logs:StopQuery``.
        group: the log group.
        wanted: name and value of the field, as Insights finds it in JSON; without quotation marks and
            backslashes.
        start: seconds since 1970.
        end: the same.

    Raises:
        Unanswered: a query had no answer in two minutes, or failed.
        botocore.exceptions.ClientError: it is refused, or there is no such group.
        botocore.exceptions.BotoCoreError: CloudWatch cannot be reached, or there are no credentials.
    """
    query = 'fields @message | filter {} = "{}"'.format(*wanted)
    # By Insights' name of each event: what is on the edge of two times is found in both.
    found: dict[str, str] = {}
    left_out = 0
    waiting = [(max(0, math.floor(start)), math.ceil(end))]
    while waiting:
        first, last = waiting.pop()
        deadline = time.monotonic() + _SECONDS
        asked = {"logGroupName": group, "startTime": first, "endTime": last, "limit": MOST}
        with _started(logs, {**asked, "queryString": query}, deadline) as query_id:
            answer = _completed(logs, query_id, deadline)
        matched = int(answer.get("statistics", {}).get("recordsMatched", 0))
        if matched > MOST and last - first > 1:
            middle = (first + last) // 2
            waiting += [(middle, last), (first, middle)]
            continue
        part = dict(_read(logs, query_id, answer))
        left_out += max(0, matched - len(part))
        found.update(part)
    return list(found.values()), left_out


@contextmanager
def _started(logs: Any, asked: Mapping[str, Any], deadline: float) -> Iterator[str]:
    """Give the id of a query, which is stopped where nobody waits for its answer any more."""
    query_id = _start(logs, asked, deadline)
    try:
        yield query_id
    except BaseException:
        with suppress(Exception):
            logs.stop_query(queryId=query_id)
        raise


def _start(logs: Any, asked: Mapping[str, Any], deadline: float) -> str:
    while True:
        try:
            return str(logs.start_query(**asked)["queryId"])
        except logs.exceptions.LimitExceededException:
            # As many queries as an account may have at a time are under way.
            if time.monotonic() > deadline:
                raise
        time.sleep(_POLL_SECONDS)


def _completed(logs: Any, query_id: str, deadline: float) -> dict[str, Any]:
    """Return the first page of an answer."""
    seconds = _FIRST_POLL_SECONDS
    while True:
        answer: dict[str, Any] = logs.get_query_results(queryId=query_id)
        status = answer.get("status")
        if status == "Complete":
            return answer
        if status not in _UNDER_WAY:
            raise Unanswered(f"the query ended as {status}")
        if time.monotonic() > deadline:
            raise Unanswered(f"no answer in {_SECONDS:.0f} s")
        time.sleep(seconds)
        seconds = min(seconds * 1.5, _POLL_SECONDS)


def _read(logs: Any, query_id: str, answer: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield all events of an answer: their names and texts."""
    while True:
        for event in answer.get("results", ()):
            fields = {each.get("field"): each.get("value", "") for each in event}
            yield fields.get("@ptr", ""), fields.get("@message", "")
        if not answer.get("nextToken"):
            return
        answer = logs.get_query_results(queryId=query_id, nextToken=answer["nextToken"])
