"""Reads an execution and its log from OpenSearch, as the layer ``opensearch`` writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from otel_prefect import ids, semconv
from otel_prefect.view import log_lines, of_processes
from otel_prefect.view.execution import Caught, Execution, Span, Status, frames
from otel_prefect.view.of_processes import Found

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from opensearchpy import OpenSearch

    from otel_prefect.view.log_lines import Line

SPANS: Final = "otel-prefect-spans-*"
LOGS: Final = "otel-prefect-logs-*"
_PAGE: Final = 5_000
_EXCEPTION: Final = "exception"


def execution(client: OpenSearch, trace_id: str) -> tuple[Execution, int]:
    """Return what OpenSearch has of a trace, and how many of its documents were not understood.

    Args:
        client: of the domain.
        trace_id: 32 hex digits.

    Raises:
        opensearchpy.exceptions.OpenSearchException: it refuses, or cannot be reached.
    """
    query = {"term": {"traceId": trace_id}}
    documents = list(_all(client, SPANS, query, [{"startTime": "asc"}, {"spanId": "asc"}]))
    found = [each for each in map(_found, documents) if each is not None]
    spans = [span for _, span in of_processes.completed(found)]
    return Execution(trace_id, spans), len(documents) - len(found)


def lines(client: OpenSearch, trace_id: str) -> list[Line]:
    """Return an execution's log lines, by time.

    Args:
        client: of the domain.
        trace_id: 32 hex digits: the id of the flow run, which is all that records outside of spans have.

    Raises:
        opensearchpy.exceptions.OpenSearchException: it refuses, or cannot be reached.
    """
    run_id = ids.show_uuid(ids.flow_run_id(int(trace_id, 16)))
    wanted = [{"term": {semconv.RECORD_TRACE_ID: trace_id}}, {"term": {semconv.RECORD_FLOW_RUN_ID: run_id}}]
    query = {"bool": {"should": wanted, "minimum_should_match": 1}}
    documents = _all(client, LOGS, query, [{"@timestamp": "asc"}, {"_seq_no": "asc"}])
    found = (log_lines.of_record(each) for each in documents)
    return sorted((line for line in found if line is not None), key=lambda line: line.time)


def _all(
    client: OpenSearch, index: str, query: Mapping[str, Any], sort: list[dict[str, str]]
) -> Iterator[dict[str, Any]]:
    """Yield all documents of a query, page by page."""
    body: dict[str, Any] = {"size": _PAGE, "query": query, "sort": sort}
    while True:
        hits = client.search(index=index, body=body)["hits"]["hits"]
        yield from (hit["_source"] for hit in hits)
        if len(hits) < _PAGE:
            return
        body["search_after"] = hits[-1]["sort"]


def _found(document: Mapping[str, Any]) -> Found | None:
    span_id, trace_id = document.get("spanId"), document.get("traceId")
    start, end = (log_lines.seconds(str(document.get(key))) for key in ("startTime", "endTime"))
    if not isinstance(span_id, str) or not isinstance(trace_id, str) or start is None:
        return None
    code = str((document.get("status") or {}).get("code", "")).lower()
    status = Status.IN_PROGRESS if end is None else Status.FAULT if code == "error" else Status.OK
    span = Span(
        id=span_id,
        parent_id=str(document["parentSpanId"]) if document.get("parentSpanId") else None,
        name=str(document.get("name", "")),
        start=start,
        end=end,
        status=status,
        attributes=document.get("attributes") or {},
        exceptions=tuple(_exceptions(document.get("events") or ())),
    )
    return Found(trace_id, span, document.get("resource") or {})


def _exceptions(events: Iterable[Mapping[str, Any]]) -> Iterator[Caught]:
    for event in reversed(list(events)):
        if event.get("name") == _EXCEPTION:
            said = event.get("attributes") or {}
            yield Caught(
                str(said.get(semconv.EXCEPTION_TYPE, "")),
                str(said.get(semconv.EXCEPTION_MESSAGE, "")),
                tuple(frames(str(said.get(semconv.EXCEPTION_STACKTRACE) or ""))),
            )
