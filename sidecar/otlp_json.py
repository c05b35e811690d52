"""OTLP's JSON form: protobuf's JSON mapping, but with ids in hex.

https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding
"""

from __future__ import annotations

import json
from base64 import b64encode
from typing import TYPE_CHECKING, Any

from google.protobuf import json_format
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

from sidecar.otlp import LOGS, METRICS, TRACES

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from sidecar.otlp import Signal

_REQUESTS: dict[Signal, type[Message]] = {
    TRACES: trace_service_pb2.ExportTraceServiceRequest,
    LOGS: logs_service_pb2.ExportLogsServiceRequest,
    METRICS: metrics_service_pb2.ExportMetricsServiceRequest,
}
_RESPONSES: dict[Signal, type[Message]] = {
    TRACES: trace_service_pb2.ExportTraceServiceResponse,
    LOGS: logs_service_pb2.ExportLogsServiceResponse,
    METRICS: metrics_service_pb2.ExportMetricsServiceResponse,
}
_HEX_FIELDS = frozenset(("traceId", "spanId", "parentSpanId", "trace_id", "span_id", "parent_span_id"))


class JsonError(ValueError):
    """Raised when a body is not OTLP in JSON; the text says where."""


def decode(signal: Signal, body: bytes) -> bytes:
    """Translate a request from JSON into its binary form. Unknown fields are ignored, as OTLP has it.

    Raises:
        JsonError: it is not JSON, or not this signal's request.
    """
    try:
        text = body.decode()
        document = json.loads(text, parse_constant=_no_constant)
        if "\\ud" in text or "\\uD" in text:
            # Half a pair in a name has protobuf's C code raise a SystemError; half a pair is no text anyway.
            json.dumps(document, ensure_ascii=False).encode()
        if not isinstance(document, dict):
            raise JsonError("a JSON object is expected")
        _hex_to_base64(document)
        message = json_format.ParseDict(document, _REQUESTS[signal](), ignore_unknown_fields=True)
    except (ValueError, json_format.ParseError, RecursionError) as error:
        raise JsonError(str(error) or type(error).__name__) from None
    return message.SerializeToString()


def encode_response(signal: Signal, response: bytes) -> bytes:
    """Translate a response into JSON."""
    return json_format.MessageToJson(_RESPONSES[signal].FromString(response), indent=None).encode()


def encode_status(status: Message) -> bytes:
    """Translate a ``google.rpc.Status`` into JSON."""
    return json_format.MessageToJson(status, indent=None).encode()


def _no_constant(text: str) -> float:
    raise JsonError(f"{text} is not JSON")


def _hex_to_base64(root: dict[str, Any]) -> None:
    """Turn the ids from hex into base64, where the protobuf mapping expects it.

    Attributes are lists of ``{"key": …, "value": …}``, so a name of the user's is never a key here.
    """
    pending: list[Any] = [root]
    while pending:
        node = pending.pop()
        if isinstance(node, list):
            pending.extend(node)
        elif isinstance(node, dict):
            for key, value in node.items():
                if key in _HEX_FIELDS and isinstance(value, str):
                    node[key] = b64encode(_from_hex(key, value)).decode()
                else:
                    pending.append(value)


def _from_hex(key: str, value: str) -> bytes:
    try:
        return bytes.fromhex(value)
    except ValueError:
        raise JsonError(f"{key}: {value[:40]!r} is not hex") from None
