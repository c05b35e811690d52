"""Executions for the tests of what people look at."""

from __future__ import annotations

from otel_prefect.view.execution import Execution, Span, Status

TRACE_ID = "3c32c20299554b90b9365fbd34f1a6d5"
XRAY_TRACE_ID = "1-3c32c202-99554b90b9365fbd34f1a6d5"


def span(
    name: str,
    start: float,
    end: float | None,
    parent: str | None = None,
    *,
    service: str | None = None,
    status: Status = Status.OK,
) -> Span:
    """Return a span whose id is its name."""
    return Span(name, parent, name, start, end, status, service)


def execution(*spans: Span) -> Execution:
    return Execution(TRACE_ID, spans)
