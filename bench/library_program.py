"""What ``bench.library`` runs in processes of its own: one measurement, printed as a number.

``python bench/library_program.py WHAT HOW``: ``import``, ``span`` or ``log``, by ``sdk`` (OpenTelemetry as it
comes) or ``ours``. In all of them Prefect is loaded, as it is in a flow's process.
"""

# ruff: noqa: PLC0415 - what is imported when is what is measured
from __future__ import annotations

import logging
import sys
import time
from typing import TYPE_CHECKING, Any

import prefect
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_ROUNDS = 30
_TIMES = 2_000


class _Nowhere(SpanExporter):
    """Takes everything at once: what is measured is what the program waits for."""

    def export(self, spans: Sequence[Any]) -> SpanExportResult:  # noqa: ARG002 - the SDK's signature
        return SpanExportResult.SUCCESS


class _NoRecords:
    def on_emit(self, record: Any) -> None:
        pass

    def shutdown(self) -> None:
        pass

    def force_flush(self, timeout_millis: int = 0) -> bool:  # noqa: ARG002 - the SDK's signature
        return True


def _import(how: str) -> float:
    _ = prefect.flow, prefect.task  # loads what a flow's file does
    began = time.perf_counter()
    if how == "ours":
        from otel_prefect import configuration

        configuration.configure("the bench")
    else:
        _set_up_as_it_comes()
    return (time.perf_counter() - began) * 1e3


def _set_up_as_it_comes() -> None:
    """Import and set up three signals over OTLP/HTTP with nothing but OpenTelemetry."""
    from opentelemetry import _logs, metrics, trace
    from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.instrumentation.logging.handler import LoggingHandler
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    spans, records = TracerProvider(), LoggerProvider()
    spans.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(spans)
    records.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))
    _logs.set_logger_provider(records)
    logging.getLogger().addHandler(LoggingHandler(logger_provider=records))
    metrics.set_meter_provider(MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter())]))


def _span(how: str) -> float:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    from otel_prefect import runs
    from otel_prefect.spans import tracing

    provider = tracing.provider(Resource({}), runs.of_process()) if how == "ours" else TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(_Nowhere(), max_queue_size=_ROUNDS * _TIMES * 2))
    tracer = provider.get_tracer("bench")

    def one() -> None:
        with tracer.start_as_current_span("work", attributes={"rows": 3}):
            pass

    with tracer.start_as_current_span("outer"):
        return _microseconds(one)


def _log(how: str) -> float:
    from opentelemetry.instrumentation.logging.handler import LoggingHandler
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk.trace import TracerProvider

    from otel_prefect.log import export as log_export
    from otel_prefect.log import fields as log_fields

    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(_NoRecords())  # type: ignore[arg-type]  # all of its methods
    logger = logging.getLogger("bench")
    logger.setLevel(logging.INFO)
    logger.propagate = False
    logger.addHandler(logging.NullHandler())
    if how == "ours":
        log_fields.install()
        log_export.install(provider)
    elif how == "sdk":
        logger.addHandler(LoggingHandler(logger_provider=provider))

    def one() -> None:
        logger.info("loaded %d rows", 3)

    with TracerProvider().get_tracer("bench").start_as_current_span("outer"):
        return _microseconds(one)


def _microseconds(function: Callable[[], None]) -> float:
    """Return the CPU time of one call: the best of many rounds, which others have disturbed least."""
    best = float("inf")
    for _ in range(_ROUNDS):
        began = time.process_time()
        for _ in range(_TIMES):
            function()
        best = min(best, time.process_time() - began)
    return best / _TIMES * 1e6


if __name__ == "__main__":
    print({"import": _import, "span": _span, "log": _log}[sys.argv[1]](sys.argv[2]))
