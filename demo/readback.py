"""Reads one flow run back from where its user would look: X-Ray, CloudWatch Logs, OpenSearch.

Each function asks its destination by the flow run id (in X-Ray: by the trace id that equals it)
and looks at what comes back itself: moto answers some queries with everything.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from demo.witness import LogKey
from otel_prefect import ids, semconv

if TYPE_CHECKING:
    from demo.opensearch import OpenSearch

_PAGE: Final = 5_000


@dataclass(frozen=True)
class Segment:
    """One segment or subsegment of an X-Ray trace.

    Attributes:
        id: 16 hex digits; the span id.
        parent_id: None for the root.
        name: as X-Ray shows it.
        operation: the span's own name, where the segment bears its service's.
        is_process: whether it is a segment of its own, the first of its process, not a subsegment.
        start: seconds since 1970.
        end: seconds since 1970; None while it is in progress.
        status: ``ok``, ``error``, ``fault`` or ``in progress``.
        annotations: what filter expressions find it by.
    """

    id: str
    parent_id: str | None
    name: str
    operation: str | None
    is_process: bool
    start: float
    end: float | None
    status: str
    annotations: dict[str, Any] = field(default_factory=dict)


@dataclass
class Trace:
    """What X-Ray returned for a trace.

    Attributes:
        id: the ``1-…`` string.
        segments: by id, subsegments included.
        documents: the segment documents as they came.
        repeated: how many segments it holds more than once; X-Ray itself would replace them.
    """

    id: str
    documents: list[dict[str, Any]] = field(default_factory=list)
    segments: dict[str, Segment] = field(default_factory=dict)
    repeated: int = 0

    def service_of(self, segment: Segment) -> str:
        """Return the name of the process that a segment is part of: of its nearest segment upwards."""
        seen = set()
        while not segment.is_process and segment.parent_id in self.segments and segment.id not in seen:
            seen.add(segment.id)
            segment = self.segments[segment.parent_id]
        return segment.name if segment.is_process else "?"

    def by_service(self) -> Counter[str]:
        """Return how many segments and subsegments each process has."""
        return Counter(self.service_of(segment) for segment in self.segments.values())

    def processes(self) -> Counter[str]:
        """Return how many processes of each name are in the trace."""
        return Counter(segment.name for segment in self.segments.values() if segment.is_process)

    def orphaned_parents(self) -> set[str]:
        """Return the ids that segments name as their parent and that are not in the trace."""
        return {
            segment.parent_id
            for segment in self.segments.values()
            if segment.parent_id is not None and segment.parent_id not in self.segments
        }


def xray(client: Any, flow_run_id: str) -> Trace:
    """Return the trace of a flow run from BatchGetTraces.

    Args:
        client: a boto3 client of ``xray``.
        flow_run_id: a UUID.
    """
    trace = Trace(ids.xray_trace_id(ids.trace_id(UUID(flow_run_id))))
    request: dict[str, Any] = {"TraceIds": [trace.id]}
    while True:
        answer = client.batch_get_traces(**request)
        for found in answer["Traces"]:
            for segment in found["Segments"]:
                trace.documents.append(json.loads(segment["Document"]))
                _take(trace, trace.documents[-1], None)
        if not answer.get("NextToken"):
            return trace
        request["NextToken"] = answer["NextToken"]


def _take(trace: Trace, document: dict[str, Any], parent_id: str | None) -> None:
    if document.get("trace_id", trace.id) != trace.id:
        return
    segment = _segment(document, parent_id)
    known = trace.segments.get(segment.id)
    # A segment in progress is replaced by the one that ends it, in whichever order they came.
    if known is not None and known.end is not None and segment.end is not None:
        trace.repeated += 1
    if known is None or known.end is None:
        trace.segments[segment.id] = segment
    for child in document.get("subsegments", []):
        _take(trace, child, segment.id)


def _segment(document: dict[str, Any], parent_id: str | None) -> Segment:
    annotations = document.get("annotations", {})
    status = next((kind for kind in ("fault", "error") if document.get(kind)), "ok")
    if document.get("in_progress"):
        status = "in progress"
    return Segment(
        id=document["id"],
        parent_id=document.get("parent_id") or parent_id,
        name=document["name"],
        operation=annotations.get("operation"),
        is_process=parent_id is None and document.get("type") != "subsegment",
        start=float(document["start_time"]),
        end=float(document["end_time"]) if "end_time" in document else None,
        status=status,
        annotations=annotations,
    )


def cloudwatch(client: Any, group: str, flow_run_id: str) -> list[dict[str, Any]]:
    """Return the log events of a flow run, parsed, from FilterLogEvents over a whole group.

    Args:
        client: a boto3 client of ``logs``.
        group: the log group.
        flow_run_id: searched as a quoted term, as a person would; then compared as a field.
    """
    events = []
    pages = client.get_paginator("filter_log_events").paginate(
        logGroupName=group, filterPattern=f'"{flow_run_id}"'
    )
    for page in pages:
        for event in page["events"]:
            message = json.loads(event["message"])
            if message.get(semconv.RECORD_FLOW_RUN_ID) == flow_run_id:
                events.append(message)
    return sorted(events, key=time_of)


def time_of(document: dict[str, Any]) -> str:
    """Return a log record's time in a form that sorts: ISO 8601 in UTC without the ``Z``.

    Fractions of a second may come without their last zeros, and ``Z`` sorts after digits.
    """
    return str(document.get("timestamp", "")).rstrip("Z")


def opensearch(node: OpenSearch, index: str, field_name: str, value: str) -> list[dict[str, Any]]:
    """Return all documents of an index whose field is exactly this value.

    Args:
        node: where to ask.
        index: name or pattern.
        field_name: a ``keyword`` field.
        value: what it must be.

    Raises:
        ValueError: there are more documents than one page takes.
    """
    node.call("POST", f"{index}/_refresh")
    query = {"size": _PAGE, "track_total_hits": True, "query": {"term": {field_name: value}}}
    hits = node.call("POST", f"{index}/_search", query)["hits"]
    if hits["total"]["value"] > len(hits["hits"]):
        raise ValueError(f"{index} has {hits['total']['value']} documents of {value}, more than {_PAGE}")
    return [hit["_source"] for hit in hits["hits"]]


def log_keys(documents: list[dict[str, Any]]) -> Counter[LogKey]:
    """Return what the log records of a destination are known by, and how many times each is there."""
    return Counter(
        LogKey(str(each.get("service", "")), str(each.get("message", "")), str(each.get("span_id", "")))
        for each in documents
    )
