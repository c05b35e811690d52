"""Reads events of a log group of CloudWatch: of a short time one by one, of a longer one by Logs Insights.

``FilterLogEvents`` goes through all that a group has in that time, one page after another: minutes for a run
of hours in a group of many gigabytes a day. But it costs nothing, and what was written seconds ago is there.
"""

from __future__ import annotations

from typing import Any, Final

from otel_prefect.view import insights

SHORT_SECONDS: Final = 180.0
"""Of time, that is read one by one. What somebody follows is asked for again and again, and is no longer."""


def events(logs: Any, group: str, wanted: tuple[str, str], start: float, end: float) -> tuple[list[str], int]:
    """Return the texts of the events whose field has a value, and how many are left out at most.

    Args:
        logs: a client of boto3; it needs ``logs:FilterLogEvents``, ``logs:StartQuery``,
            ``logs:GetQueryResults`` and ``logs:StopQuery``.
        group: the log group.
        wanted: name and value of the field, without quotation marks and backslashes. An emulator may give
            events that have others.
        start: seconds since 1970.
        end: the same.

    Raises:
        otel_prefect.view.insights.Unanswered: Insights has not answered.
        botocore.exceptions.ClientError: it is refused, or there is no such group.
        botocore.exceptions.BotoCoreError: CloudWatch cannot be reached, or there are no credentials.
    """
    if end - start > SHORT_SECONDS:
        return insights.events(logs, group, wanted, start, end)
    # https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html
    pages = logs.get_paginator("filter_log_events").paginate(
        logGroupName=group,
        startTime=max(0, int(start * 1000)),
        endTime=int(end * 1000) + 1,
        filterPattern='{{ $.{} = "{}" }}'.format(*wanted),
    )
    return [event["message"] for page in pages for event in page["events"]], 0
