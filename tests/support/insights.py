"""Logs Insights as AWS's pages have it, for what is asked of it here; moto gives all events instead.

https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_StartQuery.html and
API_GetQueryResults.html: both ends of the time are inclusive and whole seconds, a query runs for a while and
gives partial results by then, ``limit`` is 100,000 at most, a page has 10,000 events.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from demo import aws

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Event = tuple[str, int, str]
"""A name, milliseconds since 1970, and a text."""

_QUERY = re.compile(r'fields @message \| filter (\w+) = "([^"\\]*)"')
_POLLS = ("Scheduled", "Running")


class Refused(Exception):  # noqa: N818 - as AWS answers
    """An answer with an error; its arguments are the code and the text."""


@dataclass
class Insights:
    """Takes queries and answers them.

    Attributes:
        events: gives all events of a group.
        page: events on a page.
        busy: how many more queries are refused since too many are under way.
        ends_as: the status in which queries end; ``Running``: never.
        queries: what was asked, in order.
        stopped: the ids of those that were stopped.
    """

    events: Callable[[str], list[Event]]
    page: int = 10_000
    busy: int = 0
    ends_as: str = "Complete"
    queries: list[Mapping[str, Any]] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)
    _polls: dict[str, int] = field(default_factory=dict)

    def start_query(self, **asked: Any) -> dict[str, Any]:
        """Take a query."""
        if self.busy:
            self.busy -= 1
            raise Refused("LimitExceededException", "too many queries")
        if asked["startTime"] > asked["endTime"] or not 1 <= asked["limit"] <= 100_000:
            raise Refused("MalformedQueryException", "odd times or limit")
        self._matching(asked)
        self.queries.append(asked)
        return {"queryId": str(len(self.queries) - 1)}

    def get_query_results(self, **asked: Any) -> dict[str, Any]:
        """Answer with a page, once the query has run for a while."""
        query_id = asked["queryId"]
        polls = self._polls[query_id] = self._polls.get(query_id, 0) + 1
        found = self._matching(self.queries[int(query_id)])
        if polls <= len(_POLLS) or self.ends_as == "Running":
            status = _POLLS[min(polls, len(_POLLS)) - 1]
            return {"status": status, "results": [_shown(each) for each in found[:1]]}
        given = found[: self.queries[int(query_id)]["limit"]]
        first = int(asked.get("nextToken", 0))
        more = {"nextToken": str(first + self.page)} if first + self.page < len(given) else {}
        return {
            "status": self.ends_as,
            "results": [_shown(each) for each in given[first : first + self.page]],
            "statistics": {"recordsMatched": float(len(found))},
            **more,
        }

    def stop_query(self, **asked: Any) -> dict[str, Any]:
        """Note that it is stopped."""
        self.stopped.append(asked["queryId"])
        return {"success": True}

    def _matching(self, asked: Mapping[str, Any]) -> list[Event]:
        query = _QUERY.fullmatch(asked["queryString"])
        if query is None:
            raise Refused("MalformedQueryException", f"not understood: {asked['queryString']}")
        first, last = asked["startTime"] * 1000, asked["endTime"] * 1000
        found = [each for each in self.events(asked["logGroupName"]) if first <= each[1] <= last]
        # The newest first, as without `sort`.
        return sorted(
            (each for each in found if _has(each[2], query[1], query[2])), key=lambda each: -each[1]
        )


def of_moto(url: str) -> Insights:
    """Return what answers queries on the log groups of a moto."""

    def events(group: str) -> list[Event]:
        client = aws.client("logs", url)
        try:
            pages = list(client.get_paginator("filter_log_events").paginate(logGroupName=group))
        except client.exceptions.ResourceNotFoundException as error:
            raise Refused("ResourceNotFoundException", "the log group does not exist") from error
        return [
            (f"{each['logStreamName']} {each['eventId']}", each["timestamp"], each["message"])
            for page in pages
            for each in page["events"]
        ]

    return Insights(events)


def _has(text: str, key: str, value: str) -> bool:
    try:
        record = json.loads(text)
    except ValueError:
        return False
    return isinstance(record, dict) and record.get(key) == value


def _shown(event: Event) -> list[dict[str, str]]:
    name, _, text = event
    return [{"field": "@message", "value": text}, {"field": "@ptr", "value": name}]
