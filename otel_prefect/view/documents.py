"""Reads spans from JSON with attributes as plain objects: as OpenSearch has it, and ``aws/spans``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from otel_prefect.view.execution import Caught, Span, Status, caught
from otel_prefect.view.of_processes import Found

_EXCEPTION: Final = "exception"


def found(document: Mapping[str, Any], resource: Any, start: float | None, end: float | None) -> Found | None:
    """Return the span of a document; None where it has no ids, or no start.

    Args:
        document: with ``traceId``, ``spanId``, ``parentSpanId``, ``name``, ``status``, ``attributes`` and
            ``events``.
        resource: attributes of its Resource.
        start: seconds since 1970.
        end: the same; None while it is in progress.
    """
    span_id, trace_id = document.get("spanId"), document.get("traceId")
    if not isinstance(span_id, str) or not isinstance(trace_id, str) or start is None:
        return None
    code = str(_mapping(document.get("status")).get("code", "")).lower()
    status = Status.IN_PROGRESS if end is None else Status.FAULT if code == "error" else Status.OK
    span = Span(
        id=span_id,
        parent_id=str(document["parentSpanId"]) if document.get("parentSpanId") else None,
        name=str(document.get("name", "")),
        start=start,
        end=end,
        status=status,
        attributes=_mapping(document.get("attributes")),
        exceptions=tuple(_exceptions(document.get("events"))),
    )
    return Found(trace_id, span, _mapping(resource))


def _exceptions(events: Any) -> Iterator[Caught]:
    listed: Iterable[Any] = reversed(events) if isinstance(events, list) else ()
    for event in listed:
        if _mapping(event).get("name") == _EXCEPTION:
            said = _mapping(event.get("attributes"))
            yield caught(said)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
