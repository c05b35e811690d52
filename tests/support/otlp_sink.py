"""A real OTLP receiver, over gRPC and HTTP, that keeps what it is sent: the far end of tests."""

from __future__ import annotations

import gzip
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import grpc
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from otel_prefect import semconv

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue


def value_of(value: AnyValue) -> Any:
    """Return an attribute's value as Python's own type, so that tests can check types too."""
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    if kind == "array_value":
        return [value_of(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return attributes(value.kvlist_value.values)
    return getattr(value, kind)


def attributes(pairs: Any) -> dict[str, Any]:
    """Return OTLP attributes as a dict; a duplicate key is an error, as OTLP says it is."""
    pairs_list: list[KeyValue] = list(pairs)
    result = {pair.key: value_of(pair.value) for pair in pairs_list}
    assert len(result) == len(pairs_list), f"duplicate attribute keys: {[pair.key for pair in pairs_list]}"
    return result


@dataclass(frozen=True)
class Received:
    """One span or log record with what stood around it."""

    resource: dict[str, Any]
    scope: str
    record: Any
    attributes: dict[str, Any]


def _in_progress(span: Received) -> bool:
    return span.attributes.get(semconv.XRAY_IN_PROGRESS) is True


@dataclass
class OtlpSink:
    """Keeps every request it acknowledged.

    Attributes:
        grpc_port: loopback port of OTLP/gRPC.
        http_port: loopback port of OTLP/HTTP.
        raw: the bytes of each request (after gzip), by signal: ``traces``, ``logs``, ``metrics``.
        headers: HTTP headers or gRPC metadata of each request, lower-case.
        refuse_with: a gRPC status to answer with instead of OK (HTTP answers 503).
    """

    grpc_port: int = 0
    http_port: int = 0
    raw: dict[str, list[bytes]] = field(default_factory=lambda: {"traces": [], "logs": [], "metrics": []})
    headers: list[dict[str, str]] = field(default_factory=list)
    refuse_with: grpc.StatusCode | None = None
    _changed: threading.Condition = field(default_factory=threading.Condition)

    @property
    def trace_requests(self) -> list[ExportTraceServiceRequest]:
        return [ExportTraceServiceRequest.FromString(body) for body in list(self.raw["traces"])]

    @property
    def log_requests(self) -> list[ExportLogsServiceRequest]:
        return [ExportLogsServiceRequest.FromString(body) for body in list(self.raw["logs"])]

    @property
    def metric_requests(self) -> list[ExportMetricsServiceRequest]:
        return [ExportMetricsServiceRequest.FromString(body) for body in list(self.raw["metrics"])]

    def spans(self) -> list[Received]:
        """Return every span that has ended, in the order received."""
        return [span for span in self._all_spans() if not _in_progress(span)]

    def started(self) -> list[Received]:
        """Return every span that was received when it started, in order."""
        return [span for span in self._all_spans() if _in_progress(span)]

    def _all_spans(self) -> list[Received]:
        found = []
        for request in self.trace_requests:
            for of_resource in request.resource_spans:
                resource = attributes(of_resource.resource.attributes)
                for of_scope in of_resource.scope_spans:
                    found += [
                        Received(resource, of_scope.scope.name, span, attributes(span.attributes))
                        for span in of_scope.spans
                    ]
        return found

    def logs(self) -> list[Received]:
        """Return every log record received, in order."""
        found = []
        for request in self.log_requests:
            for of_resource in request.resource_logs:
                resource = attributes(of_resource.resource.attributes)
                for of_scope in of_resource.scope_logs:
                    found += [
                        Received(resource, of_scope.scope.name, record, attributes(record.attributes))
                        for record in of_scope.log_records
                    ]
        return found

    def span(self, name: str) -> Received:
        """Return the one span of that name that has ended."""
        found = [span for span in self.spans() if span.record.name == name]
        assert len(found) == 1, (
            f"{len(found)} spans named {name!r} among {[s.record.name for s in self.spans()]}"
        )
        return found[0]

    def keep(self, signal: str, body: bytes, headers: dict[str, str]) -> None:
        """Take one request."""
        with self._changed:
            self.raw[signal].append(body)
            self.headers.append(headers)
            self._changed.notify_all()

    def wait_for(self, predicate: Any, timeout: float = 15.0) -> bool:
        """Wait until ``predicate(self)`` holds; return whether it came to hold within the seconds given."""
        with self._changed:
            return bool(self._changed.wait_for(lambda: predicate(self), timeout))


_PATHS = {"/v1/traces": "traces", "/v1/logs": "logs", "/v1/metrics": "metrics"}
_METHODS = {
    "/opentelemetry.proto.collector.trace.v1.TraceService/Export": ("traces", ExportTraceServiceResponse),
    "/opentelemetry.proto.collector.logs.v1.LogsService/Export": ("logs", ExportLogsServiceResponse),
    "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export": (
        "metrics",
        ExportMetricsServiceResponse,
    ),
}


class _GrpcHandler(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc ships no types
    def __init__(self, sink: OtlpSink) -> None:
        self._sink = sink

    def service(self, handler_call_details: Any) -> Any:
        found = _METHODS.get(handler_call_details.method)
        if found is None:
            return None
        signal, response = found

        def export(body: bytes, context: Any) -> bytes:
            if self._sink.refuse_with is not None:
                context.abort(self._sink.refuse_with, "the sink was told to refuse")
            self._sink.keep(signal, body, dict(context.invocation_metadata()))
            return bytes(response().SerializeToString())

        return grpc.unary_unary_rpc_method_handler(export)


def serve(grpc_port: int = 0, http_port: int = 0) -> Iterator[OtlpSink]:
    """Run a sink on loopback while the generator is suspended (for a pytest fixture).

    Args:
        grpc_port: port of OTLP/gRPC; 0 takes a free one.
        http_port: port of OTLP/HTTP; 0 takes a free one.
    """
    sink = OtlpSink()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            signal = _PATHS.get(self.path)
            status = 404 if signal is None else 200 if sink.refuse_with is None else 503
            if status == 200 and signal is not None:
                sink.keep(signal, body, {key.lower(): value for key, value in self.headers.items()})
            self.send_response(status)
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    http_server = ThreadingHTTPServer(("127.0.0.1", http_port), Handler)
    http_server.daemon_threads = True
    thread = threading.Thread(target=http_server.serve_forever, daemon=True)
    thread.start()
    grpc_server = grpc.server(
        ThreadPoolExecutor(4),
        handlers=(_GrpcHandler(sink),),
        options=[("grpc.max_receive_message_length", -1), ("grpc.so_reuseport", 0)],
    )
    sink.grpc_port = grpc_server.add_insecure_port(f"127.0.0.1:{grpc_port}")
    sink.http_port = http_server.server_address[1]
    grpc_server.start()
    try:
        yield sink
    finally:
        grpc_server.stop(0).wait()
        http_server.shutdown()
        http_server.server_close()


serving = contextmanager(serve)
"""The same for the block of a ``with``."""
