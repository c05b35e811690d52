"""Reads an execution from X-Ray."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otel_prefect.view import segments

if TYPE_CHECKING:
    from otel_prefect.view.execution import Execution


def execution(xray: Any, xray_trace_id: str) -> tuple[Execution, int]:
    """Return what X-Ray has of a trace, and how many of its documents were not understood.

    Args:
        xray: a client of boto3; it needs ``xray:BatchGetTraces``.
        xray_trace_id: the ``1-…`` string.

    Returns:
        An execution without spans where X-Ray does not know the trace.

    Raises:
        botocore.exceptions.ClientError: it is refused.
        botocore.exceptions.BotoCoreError: X-Ray cannot be reached, or there are no credentials.
        ValueError: that is no trace id of X-Ray's.
    """
    pages = xray.get_paginator("batch_get_traces").paginate(TraceIds=[xray_trace_id])
    traces = [trace for page in pages for trace in page.get("Traces", ())]
    texts = [segment.get("Document", "") for trace in traces for segment in trace.get("Segments", ())]
    found, odd = segments.execution(xray_trace_id, texts)
    if any(trace.get("LimitExceeded") for trace in traces):
        # https://docs.aws.amazon.com/xray/latest/api/API_Trace.html
        found.notes.append("X-Ray has not taken all of it: the trace is larger than what it keeps of one")
    return found, odd
