"""Executions as OTLP in JSON: reads what a Collector's file exporter writes, and writes the same.

https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding: ids in hexadecimal, 64-bit numbers as
strings, enums as numbers. A file has one request, or one a line. What does not keep to it is left out and
counted.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from otel_prefect import semconv
from otel_prefect.view import of_processes
from otel_prefect.view.execution import Caught, Execution, Span, Status, caught
from otel_prefect.view.of_processes import Found

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_OK: Final = 1
_ERROR: Final = 2
_INTERNAL: Final = 1
_EXCEPTION: Final = "exception"
_SERVICE_NAME: Final = "service.name"
_NANOS: Final = 1_000_000_000
_LATEST: Final = 1e11  # seconds since 1970
_HEX: Final = frozenset("0123456789abcdef")


@dataclass
class Read:
    """What came of a file.

    Attributes:
        traces: spans by trace id.
        odd: how many lines and spans were not understood.
    """

    traces: dict[str, list[Span]] = field(default_factory=lambda: defaultdict(list))
    odd: int = 0

    def execution(self, trace_id: str) -> Execution:
        """Return the execution of a trace, without spans where there is none of it."""
        return Execution(trace_id, self.traces.get(trace_id, ()))


def read(text: str) -> Read:
    """Return the executions in a file.

    Args:
        text: of the file.
    """
    read_of = Read()
    found: list[Found] = []
    for request in _requests(text, read_of):
        for group in _objects(request.get("resourceSpans"), read_of):
            resource = _attributes(_mapping(group.get("resource")).get("attributes"))
            found += [Found(trace_id, span, resource) for trace_id, span in _spans(group, read_of)]
    for trace_id, span in of_processes.completed(found):
        read_of.traces[trace_id].append(span)
    return read_of


def _spans(group: Mapping[str, Any], found: Read) -> Iterator[tuple[str, Span]]:
    for scope in _objects(group.get("scopeSpans"), found):
        for each in _objects(scope.get("spans"), found):
            made = _span(each)
            if made is None:
                found.odd += 1
            else:
                yield made


def _requests(text: str, found: Read) -> Iterator[Mapping[str, Any]]:
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError):
        whole = None
    if isinstance(whole, dict):
        yield whole
        return
    for line in text.splitlines():
        if not line.strip():
            continue
        try:
            request = json.loads(line)
        except (ValueError, RecursionError):
            request = None
        if isinstance(request, dict):
            yield request
        else:
            found.odd += 1


def _objects(value: Any, found: Read) -> Iterator[Mapping[str, Any]]:
    for each in value if isinstance(value, list) else ():
        if isinstance(each, dict):
            yield each
        else:
            found.odd += 1


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _span(document: Mapping[str, Any]) -> tuple[str, Span] | None:
    trace_id, span_id = _id(document.get("traceId"), 32), _id(document.get("spanId"), 16)
    start, end = (_seconds(document.get(key)) for key in ("startTimeUnixNano", "endTimeUnixNano"))
    if trace_id is None or span_id is None or start is None:
        return None
    attributes = _attributes(document.get("attributes"))
    in_progress = end is None or bool(attributes.get(semconv.XRAY_IN_PROGRESS))
    code = _mapping(document.get("status")).get("code")
    failed = code in (_ERROR, "STATUS_CODE_ERROR")
    status = Status.IN_PROGRESS if in_progress else Status.FAULT if failed else Status.OK
    return trace_id, Span(
        id=span_id,
        parent_id=_id(document.get("parentSpanId"), 16),
        name=str(document.get("name", "")),
        start=start,
        end=None if in_progress else end,
        status=status,
        attributes=attributes,
        exceptions=tuple(_exceptions(document.get("events"))),
    )


def _id(value: Any, digits: int) -> str | None:
    text = value.lower() if isinstance(value, str) else ""
    return text if len(text) == digits and set(text) <= _HEX and text.strip("0") else None


def _seconds(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    try:
        seconds = int(value) / _NANOS
    except (ValueError, OverflowError):
        return None
    return seconds if 0 < seconds < _LATEST else None


def _attributes(value: Any) -> dict[str, Any]:
    found = {}
    for each in value if isinstance(value, list) else ():
        key = _mapping(each).get("key")
        if isinstance(key, str):
            found[key] = _value(_mapping(each).get("value"))
    return found


def _value(value: Any) -> Any:
    kind: str
    held: Any
    kind, held = next(iter(_mapping(value).items()), ("", None))
    if kind == "intValue":
        try:
            return int(held)
        except (TypeError, ValueError, OverflowError):
            return held
    if kind == "arrayValue":
        listed = _mapping(held).get("values")
        return [_value(each) for each in (listed if isinstance(listed, list) else ())]
    if kind == "kvlistValue":
        return _attributes(_mapping(held).get("values"))
    return held


def _exceptions(events: Any) -> Iterator[Caught]:
    listed = [each for each in (events if isinstance(events, list) else ()) if isinstance(each, dict)]
    for event in reversed(listed):
        if event.get("name") == _EXCEPTION:
            said = _attributes(event.get("attributes"))
            yield caught(said)


# --- writing ------------------------------------------------------------------------------------


def written(execution: Execution) -> str:
    """Return an execution as one request, for a file.

    Args:
        execution: of one trace. What is in progress has no end, and the attribute that says so to X-Ray.
    """
    by_process: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for _, span in execution.walk():
        by_process[execution.process(span).id].append(_document(execution.trace_id, span))
    groups = [
        {
            "resource": {"attributes": _listed({_SERVICE_NAME: execution.spans[first].service or "?"})},
            "scopeSpans": [{"scope": {"name": "otel_prefect.view"}, "spans": spans}],
        }
        for first, spans in by_process.items()
    ]
    return json.dumps({"resourceSpans": groups}) + "\n"


def _document(trace_id: str, span: Span) -> dict[str, Any]:
    attributes = dict(span.attributes)
    if span.end is None:
        attributes[semconv.XRAY_IN_PROGRESS] = True
    code = _ERROR if span.status.is_bad else _OK if span.status is Status.OK else 0
    document = {
        "traceId": trace_id,
        "spanId": span.id,
        "name": span.name,
        "kind": _INTERNAL,
        "startTimeUnixNano": str(round(span.start * _NANOS)),
        "attributes": _listed(attributes),
        "status": {"code": code},
        "events": [_event(span, caught) for caught in reversed(span.exceptions)],
    }
    if span.parent_id is not None:
        document["parentSpanId"] = span.parent_id
    if span.end is not None:
        document["endTimeUnixNano"] = str(round(span.end * _NANOS))
    return document


def _event(span: Span, caught: Caught) -> dict[str, Any]:
    said = {
        semconv.EXCEPTION_TYPE: caught.type,
        semconv.EXCEPTION_MESSAGE: caught.message,
        semconv.EXCEPTION_STACKTRACE: "\n".join(caught.stack),
    }
    at = str(round(span.until(span.start) * _NANOS))
    return {"name": _EXCEPTION, "timeUnixNano": at, "attributes": _listed(said)}


def _listed(attributes: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": _held(value)} for key, value in attributes.items()]


def _held(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, list | tuple):
        return {"arrayValue": {"values": [_held(each) for each in value]}}
    if isinstance(value, dict):
        return {"kvlistValue": {"values": _listed(value)}}
    return {} if value is None else {"stringValue": str(value)}
