"""Reads an execution from X-Ray where Transaction Search is on: ``BatchGetTraces`` knows it no more.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch-Transaction-Search.html. All spans
are in the log group ``aws/spans`` then; X-Ray looks them up there when it is asked to, and who may not ask it
can read the group.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, Final

from otel_prefect.view import documents, log_group, of_processes, segments
from otel_prefect.view.execution import Execution

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_prefect.view.of_processes import Found

SPANS_GROUP: Final = "aws/spans"
CLOUDWATCH_LOGS: Final = "CloudWatchLogs"
"""What ``GetTraceSegmentDestination`` answers where it is on."""
_RETRIEVAL_SECONDS: Final = 60.0
_POLL_SECONDS: Final = 0.5
_COMPLETE: Final = "COMPLETE"
_UNDER_WAY: Final = ("SCHEDULED", "RUNNING")
_NANOSECONDS: Final = 1e9


def is_on(xray: Any) -> bool:
    """Tell whether Transaction Search is on.

    Args:
        xray: a client of boto3; it needs ``xray:GetTraceSegmentDestination``.

    Raises:
        botocore.exceptions.ClientError: it is refused.
        botocore.exceptions.BotoCoreError: X-Ray cannot be reached.
    """
    destination = xray.get_trace_segment_destination().get("Destination")
    return bool(destination == CLOUDWATCH_LOGS)


def retrieved(xray: Any, xray_trace_id: str, since: float, until: float) -> tuple[Execution, int]:
    """Return what X-Ray looks up of a trace, and how many of its documents were not understood.

    Args:
        xray: a client of boto3; it needs ``xray:StartTraceRetrieval`` and ``xray:ListRetrievedTraces``.
        xray_trace_id: the ``1-…`` string.
        since: in seconds since 1970, when the trace began at the earliest.
        until: the same, when it ended at the latest.

    Returns:
        An execution without spans where there are none, or X-Ray does not find them within a minute.

    Raises:
        botocore.exceptions.ClientError: it is refused.
        botocore.exceptions.BotoCoreError: X-Ray cannot be reached.
    """
    started = xray.start_trace_retrieval(TraceIds=[xray_trace_id], StartTime=since, EndTime=until)
    asked = {"RetrievalToken": started["RetrievalToken"], "TraceFormat": "XRAY"}
    deadline = time.monotonic() + _RETRIEVAL_SECONDS
    answer = xray.list_retrieved_traces(**asked)
    while answer.get("RetrievalStatus") in _UNDER_WAY and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
        answer = xray.list_retrieved_traces(**asked)
    texts = list(_documents(xray, asked, answer)) if answer.get("RetrievalStatus") == _COMPLETE else []
    return segments.execution(xray_trace_id, texts)


def _documents(xray: Any, asked: dict[str, str], answer: dict[str, Any]) -> Iterator[str]:
    while True:
        for trace in answer.get("Traces", ()):
            yield from (span.get("Document", "") for span in trace.get("Spans", ()))
        if not answer.get("NextToken"):
            return
        answer = xray.list_retrieved_traces(**asked, NextToken=answer["NextToken"])


def of_log_group(logs: Any, trace_id: str, since: float, until: float) -> tuple[Execution, int]:
    """Return what the log group has of a trace, and how many of its events were not understood.

    Args:
        logs: a client of boto3, as ``log_group.events`` needs it.
        trace_id: 32 hex digits.
        since: in seconds since 1970, when the trace began at the earliest.
        until: the same, when it ended at the latest.

    Raises:
        otel_prefect.view.insights.Unanswered: Insights has not answered.
        botocore.exceptions.ClientError: it is refused, or there is no such group.
        botocore.exceptions.BotoCoreError: CloudWatch cannot be reached.
    """
    texts, left_out = log_group.events(logs, SPANS_GROUP, ("traceId", trace_id), since, until)
    read = [_found(text) for text in texts]
    found = [each for each in read if each is not None]
    spans = [span for of_trace, span in of_processes.completed(found) if of_trace == trace_id]
    execution = Execution(trace_id, spans)
    if left_out:
        execution.notes.append(f"up to {left_out} spans of the same second are not here")
    return execution, len(read) - len(found)


def _found(text: str) -> Found | None:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict):
        return None
    resource = document.get("resource")
    start, end = (_seconds(document.get(f"{edge}TimeUnixNano")) for edge in ("start", "end"))
    return documents.found(
        document, resource.get("attributes") if isinstance(resource, dict) else None, start, end
    )


def _seconds(value: Any) -> float | None:
    """Return nanoseconds, which JSON has as a number or as a text, in seconds."""
    try:
        seconds = int(value) / _NANOSECONDS
    except (TypeError, ValueError, OverflowError):
        return None
    return seconds if seconds > 0 else None
