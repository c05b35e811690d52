"""Sends one rich batch of spans, log records and metrics by every OTLP exporter that Python's SDK has.

ENCODER_GRPC and ENCODER_HTTP are the addresses (host:port) that take it.
"""

from __future__ import annotations

import os
from typing import Any

import grpc
from opentelemetry import trace
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as GrpcLogs
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as GrpcMetrics
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcTraces
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter as HttpLogs
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as HttpMetrics
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpTraces
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import AlwaysOnExemplarFilter, MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

FLOW_RUN_ID = "3c32c202-9955-4b90-b936-5fbd34f1a6d5"
# Every type that an attribute can have; those of log records can be nested too.
ATTRIBUTES: dict[str, Any] = {
    "text": "grüße, 世界 🚀",
    "empty": "",
    "flag": True,
    "largest": 2**63 - 1,
    "smallest": -(2**63),
    "ratio": 0.1,
    "infinite": float("inf"),
    "texts": ["a", "", "c"],
    "flags": [True, False],
    "numbers": [-1, 0, 1],
    "ratios": [0.5, -0.25],
    "bytes": b"\x00\xff\x0a\x12",
}
NESTED: dict[str, Any] = {
    "inner": {"depth": 2, "bytes": b"\x00\xff\x0a\x12"},
    "mixed": ["x", 3, [True], None, {"deep": 0.5}],
}
RESOURCE = Resource(
    {**ATTRIBUTES, "service.name": "encoder-python", "prefect.flow-run.id": FLOW_RUN_ID},
    "https://opentelemetry.io/schemas/1.37.0",
)


def spans() -> tuple[Context, Any]:
    """Return the context of a span, and the spans that were made."""
    kept = InMemorySpanExporter()
    provider = TracerProvider(resource=RESOURCE)
    provider.add_span_processor(SimpleSpanProcessor(kept))
    remote = trace.SpanContext(
        trace_id=0x0123456789ABCDEF0123456789ABCDEF,
        span_id=0x0123456789ABCDEF,
        is_remote=True,
        trace_flags=trace.TraceFlags(trace.TraceFlags.SAMPLED),
        trace_state=trace.TraceState([("vendor", "value"), ("other", "2")]),
    )
    tracer = provider.get_tracer(
        "scope.one", "1.2.3", "https://opentelemetry.io/schemas/1.36.0", {"scope.kind": "rich"}
    )
    root = tracer.start_span(
        "root",
        context=trace.set_span_in_context(trace.NonRecordingSpan(remote), Context()),
        kind=trace.SpanKind.SERVER,
        attributes={**ATTRIBUTES, "flow_run_id": FLOW_RUN_ID},
        links=[trace.Link(remote, ATTRIBUTES)],
    )
    root.add_event("event", ATTRIBUTES)
    root.record_exception(ValueError("out of paper"))
    root.set_status(trace.StatusCode.ERROR, "failed")
    context = trace.set_span_in_context(root, Context())
    for _ in range(40):
        child = provider.get_tracer("scope.two").start_span("child", context, trace.SpanKind.PRODUCER)
        child.set_status(trace.StatusCode.OK)
        child.end()
    root.end()
    return context, kept.get_finished_spans()


def log_records(context: Context) -> Any:
    """Return log records, one of them within the span of the context."""
    kept = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call]
    provider = LoggerProvider(resource=RESOURCE)
    provider.add_log_record_processor(SimpleLogRecordProcessor(kept))
    for scope in ("log.one", "log.two"):
        logger = provider.get_logger(scope, "0.1")
        for body, within in ((NESTED, context), ("plain", Context())):
            logger.emit(
                LogRecord(
                    timestamp=1700000000123456789,
                    severity_number=SeverityNumber.WARN,
                    severity_text="WARNING",
                    event_name="load.finished",
                    body=body,
                    attributes={**ATTRIBUTES, "nested": NESTED},
                    context=within,
                )
            )
    return kept.get_finished_logs()


def metrics(context: Context) -> Any:
    """Return metrics of every kind, with exemplars within the span of the context."""
    reader = InMemoryMetricReader()
    provider = MeterProvider(
        [reader],
        RESOURCE,
        exemplar_filter=AlwaysOnExemplarFilter(),
        views=[View(instrument_name="exponential", aggregation=ExponentialBucketHistogramAggregation(20))],
    )
    for scope in ("meter.one", "meter.two"):
        meter = provider.get_meter(scope)
        meter.create_counter("counter", "{row}", "rows").add(3, ATTRIBUTES, context)
        meter.create_up_down_counter("up_down").add(-1.5, ATTRIBUTES, context)
        meter.create_gauge("gauge").set(36.6, ATTRIBUTES, context)
        for name in ("histogram", "exponential"):
            histogram = meter.create_histogram(name, "s")
            for value in (0, 0.001, 1, 12.5, 1e6):
                histogram.record(value, ATTRIBUTES, context)
    return reader.get_metrics_data()


def main() -> None:
    """Send everything; ends with an error where something was not taken."""
    to_grpc, to_http = os.environ["ENCODER_GRPC"], f"http://{os.environ['ENCODER_HTTP']}/v1"
    context, traced = spans()
    logged, measured = log_records(context), metrics(context)
    for by_grpc, by_http in (
        (grpc.Compression.NoCompression, Compression.NoCompression),
        (grpc.Compression.Gzip, Compression.Gzip),
    ):
        exports: list[tuple[Any, Any]] = [
            (GrpcTraces(to_grpc, insecure=True, compression=by_grpc), traced),
            (GrpcLogs(to_grpc, insecure=True, compression=by_grpc), logged),
            (GrpcMetrics(to_grpc, insecure=True, compression=by_grpc), measured),
            (HttpTraces(f"{to_http}/traces", compression=by_http), traced),
            (HttpLogs(f"{to_http}/logs", compression=by_http), logged),
            (HttpMetrics(f"{to_http}/metrics", compression=by_http), measured),
        ]
        for exporter, batch in exports:
            result = exporter.export(batch)
            if result.name != "SUCCESS":
                raise SystemExit(f"{type(exporter).__module__} did not export: {result}")


if __name__ == "__main__":
    main()
