"""Makes an execution of X-Ray's segment documents.

https://docs.aws.amazon.com/xray/latest/devguide/xray-api-segmentdocuments.html. What does not keep to it is
left out and counted, so that one document that nobody understands takes no other with it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from otel_prefect import ids, semconv
from otel_prefect.view.execution import Caught, Execution, Span, Status

_METADATA: Final = "default"
_OF_RESOURCE: Final = "otel.resource."
_LATEST: Final = 1e11
"""Seconds since 1970 that no clock shows."""
_MOST_DEPTH: Final = 500
"""Of subsegments in one document; X-Ray's own are within 64 KB."""


@dataclass
class Read:
    """What came of documents.

    Attributes:
        spans: of them.
        odd: how many were not understood.
    """

    spans: list[Span] = field(default_factory=list)
    odd: int = 0


def execution(xray_trace_id: str, documents: Iterable[str]) -> tuple[Execution, int]:
    """Return the execution that documents are of, and how many were not understood.

    Args:
        xray_trace_id: the ``1-…`` string; documents of other traces are left out.
        documents: JSON, as ``BatchGetTraces`` has them.

    Raises:
        ValueError: that is no trace id of X-Ray's.
    """
    trace_id = f"{ids.parse_xray_trace_id(xray_trace_id):032x}"
    read = Read()
    for text in documents:
        try:
            document = json.loads(text)
        except (ValueError, RecursionError):
            read.odd += 1
            continue
        if isinstance(document, Mapping) and document.get("trace_id", xray_trace_id) == xray_trace_id:
            _take(read, document)
        elif not isinstance(document, Mapping):
            read.odd += 1
    return Execution(trace_id, read.spans), read.odd


def _take(read: Read, document: Mapping[str, Any]) -> None:
    waiting: list[tuple[Any, str | None, int]] = [(document, None, 0)]
    while waiting:
        each, parent_id, depth = waiting.pop()
        span = _span(each, parent_id) if isinstance(each, Mapping) and depth < _MOST_DEPTH else None
        if span is None:
            read.odd += 1
            continue
        read.spans.append(span)
        below = each.get("subsegments")
        waiting += [(child, span.id, depth + 1) for child in (below if isinstance(below, list) else [])]


def _span(document: Mapping[str, Any], parent_id: str | None) -> Span | None:
    id_, name = document.get("id"), document.get("name")
    start, end = (_time(document.get(key)) for key in ("start_time", "end_time"))
    if not (isinstance(id_, str) and isinstance(name, str) and start is not None):
        return None
    annotations = _mapping(document.get("annotations"))
    is_process = parent_id is None and document.get("type") != "subsegment"
    named = annotations.get(semconv.ANNOTATION_OPERATION)
    above = document.get("parent_id")
    return Span(
        id=id_,
        parent_id=above if isinstance(above, str) else parent_id,
        name=str(named) if is_process and named else name,
        start=start,
        end=None if document.get("in_progress") else end,
        status=_status(document),
        service=name if is_process else None,
        attributes=_attributes(document, annotations),
        exceptions=tuple(_exceptions(document.get("cause"))),
    )


def _time(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and 0 <= value < _LATEST else None


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _status(document: Mapping[str, Any]) -> Status:
    if document.get("in_progress") or "end_time" not in document:
        return Status.IN_PROGRESS
    # A throttled call is an error too, and a fault is worse than either.
    for key, status in (("fault", Status.FAULT), ("throttle", Status.THROTTLED), ("error", Status.ERROR)):
        if document.get(key):
            return status
    return Status.OK


def _attributes(document: Mapping[str, Any], annotations: Mapping[str, Any]) -> dict[str, Any]:
    """Return what OpenTelemetry calls attributes; the Resource's where the span has none of that name."""
    metadata = _mapping(_mapping(document.get("metadata")).get(_METADATA))
    found = {key.removeprefix(_OF_RESOURCE): value for key, value in metadata.items()}
    found |= {key: value for key, value in metadata.items() if not key.startswith(_OF_RESOURCE)}
    found |= annotations
    for part in ("http", "aws", "sql"):
        found |= {f"{part}.{key}": value for key, value in _flat(_mapping(document.get(part)))}
    return found


def _flat(nested: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    for key, value in nested.items():
        if isinstance(value, Mapping):
            yield from ((f"{key}.{below}", each) for below, each in value.items())
        else:
            yield key, value


def _exceptions(cause: Any) -> Iterable[Caught]:
    # A cause may also be the id of an exception in another document.
    listed = _mapping(cause).get("exceptions")
    for each in listed if isinstance(listed, list) else []:
        if isinstance(each, Mapping):
            stack = each.get("stack")
            frames = [
                _frame(frame) for frame in (stack if isinstance(stack, list) else []) if _mapping(frame)
            ]
            yield Caught(str(each.get("type", "")), str(each.get("message", "")), tuple(reversed(frames)))


def _frame(frame: Mapping[str, Any]) -> str:
    return f"{frame.get('path', '?')}:{frame.get('line', '?')} in {frame.get('label', '?')}"
