"""Reads an execution and its log from OpenSearch, as the layer ``opensearch`` writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from otel_prefect import ids, semconv
from otel_prefect.view import documents, log_lines, of_processes
from otel_prefect.view.execution import Execution

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from opensearchpy import OpenSearch

    from otel_prefect.view.log_lines import Line
    from otel_prefect.view.of_processes import Found

SPANS: Final = "otel-prefect-spans-*"
LOGS: Final = "otel-prefect-logs-*"
_PAGE: Final = 5_000


def execution(client: OpenSearch, trace_id: str) -> tuple[Execution, int]:
    """Return what OpenSearch has of a trace, and how many of its documents were not understood.

    Args:
        client: of the domain.
        trace_id: 32 hex digits.

    Raises:
        opensearchpy.exceptions.OpenSearchException: it refuses, or cannot be reached.
    """
    query = {"term": {"traceId": trace_id}}
    hits = list(_all(client, SPANS, query, [{"startTime": "asc"}, {"spanId": "asc"}]))
    found = [each for each in map(_found, hits) if each is not None]
    spans = [span for _, span in of_processes.completed(found)]
    return Execution(trace_id, spans), len(hits) - len(found)


def lines(client: OpenSearch, trace_id: str) -> list[Line]:
    """Return an execution's log lines, by time.

    Args:
        client: of the domain.
        trace_id: 32 hex digits: the id of the flow run, which is all that records outside of spans have.

    Raises:
        opensearchpy.exceptions.OpenSearchException: it refuses, or cannot be reached.
    """
    run_id = ids.show_uuid(ids.flow_run_id(int(trace_id, 16)))
    wanted = [
        {"term": {semconv.XRAY_TRACE_ID: ids.xray_trace_id(int(trace_id, 16))}},
        {"term": {semconv.RECORD_TRACE_ID: trace_id}},
        {"term": {semconv.RECORD_FLOW_RUN_ID: run_id}},
    ]
    query = {"bool": {"should": wanted, "minimum_should_match": 1}}
    hits = _all(client, LOGS, query, [{"@timestamp": "asc"}, {"_seq_no": "asc"}])
    found = (log_lines.of_record(each) for each in hits)
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
    start, end = (log_lines.seconds(str(document.get(key))) for key in ("startTime", "endTime"))
    return documents.found(document, document.get("resource"), start, end)
