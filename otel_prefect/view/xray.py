"""Reads an execution from X-Ray."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from otel_prefect.view import segments

if TYPE_CHECKING:
    from collections.abc import Iterator

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
    return segments.execution(xray_trace_id, _documents(xray, xray_trace_id))


def _documents(xray: Any, xray_trace_id: str) -> Iterator[str]:
    for page in xray.get_paginator("batch_get_traces").paginate(TraceIds=[xray_trace_id]):
        for trace in page.get("Traces", ()):
            for segment in trace.get("Segments", ()):
                yield segment.get("Document", "")
