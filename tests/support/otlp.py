"""OTLP requests in the mapping of OTLP/JSON, so that a test shows what it sends."""

from __future__ import annotations

import base64
import time
from typing import Any

from google.protobuf.json_format import ParseDict
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

SERVER, CLIENT, INTERNAL = 2, 3, 1
REMOTE_PARENT = 0x300 | 1
"""Flags of a sampled span whose parent is known to be in another process."""
LOCAL_PARENT = 0x100 | 1


def key_values(attributes: dict[str, Any]) -> list[dict[str, Any]]:
    """Return attributes as OTLP has them."""
    return [{"key": key, "value": _value(value)} for key, value in attributes.items()]


def _value(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": value}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, dict):
        return {"kvlistValue": {"values": key_values(value)}}
    if isinstance(value, list):
        return {"arrayValue": {"values": [_value(each) for each in value]}}
    return {"stringValue": value}


def id_(digits: str) -> str:
    return base64.b64encode(bytes.fromhex(digits)).decode()


def span(name: str, trace_id: str, span_id: str, parent: str = "", **fields: Any) -> dict[str, Any]:
    """Return a span of 250 ms that ended now.

    Args:
        name: its name.
        trace_id: 32 hex digits.
        span_id: 16 hex digits.
        parent: 16 hex digits, or none for a root.
        fields: ``attributes``, ``kind``, ``flags``, ``events`` and what else OTLP/JSON has.
    """
    attributes = fields.pop("attributes", {})
    end = time.time_ns()
    return {
        "name": name,
        "traceId": id_(trace_id),
        "spanId": id_(span_id),
        "parentSpanId": id_(parent),
        "kind": fields.pop("kind", INTERNAL),
        "flags": fields.pop("flags", LOCAL_PARENT),
        "startTimeUnixNano": end - 250_000_000,
        "endTimeUnixNano": end,
        "attributes": key_values(attributes),
        **fields,
    }


def traces(resource: dict[str, Any], *spans: dict[str, Any]) -> ExportTraceServiceRequest:
    """Return a request with the spans of one process."""
    scope_spans = [{"scope": {"name": "test"}, "spans": list(spans)}]
    body = {"resourceSpans": [{"resource": {"attributes": key_values(resource)}, "scopeSpans": scope_spans}]}
    return ParseDict(body, ExportTraceServiceRequest())


def record(body: Any, **fields: Any) -> dict[str, Any]:
    """Return a log record of now at INFO.

    Args:
        body: text or a dict.
        fields: ``attributes``, ``trace_id`` and ``span_id`` in hex, and what else OTLP/JSON has.
    """
    attributes = fields.pop("attributes", {})
    now = time.time_ns()
    ids = {
        name: id_(fields.pop(key))
        for key, name in (("trace_id", "traceId"), ("span_id", "spanId"))
        if key in fields
    }
    return {
        "timeUnixNano": now,
        "observedTimeUnixNano": now,
        "severityText": "INFO",
        "severityNumber": 9,
        "body": _value(body),
        "attributes": key_values(attributes),
        **ids,
        **fields,
    }


def logs(
    resource: dict[str, Any], *records: dict[str, Any], logger: str = "load"
) -> ExportLogsServiceRequest:
    """Return a request with the log records of one logger of one process."""
    scope_logs = [{"scope": {"name": logger}, "logRecords": list(records)}]
    body = {"resourceLogs": [{"resource": {"attributes": key_values(resource)}, "scopeLogs": scope_logs}]}
    return ParseDict(body, ExportLogsServiceRequest())


def counter(
    resource: dict[str, Any], name: str, value: int, unit: str, attributes: dict[str, Any]
) -> ExportMetricsServiceRequest:
    """Return a request with one cumulative counter."""
    now = time.time_ns()
    point = {
        "startTimeUnixNano": now - 10**9,
        "timeUnixNano": now,
        "asInt": value,
        "attributes": key_values(attributes),
    }
    metric = {
        "name": name,
        "unit": unit,
        "sum": {"aggregationTemporality": 2, "isMonotonic": True, "dataPoints": [point]},
    }
    scope_metrics = [{"scope": {"name": "some.library"}, "metrics": [metric]}]
    body = {
        "resourceMetrics": [{"resource": {"attributes": key_values(resource)}, "scopeMetrics": scope_metrics}]
    }
    return ParseDict(body, ExportMetricsServiceRequest())
