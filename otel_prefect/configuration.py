"""Sets the library up in a process, once, whoever asks for it first."""

from __future__ import annotations

import logging
import os
import threading
from typing import TYPE_CHECKING

from otel_prefect import environment, process_kind, runs, semconv
from otel_prefect.guard import never_raises
from otel_prefect.log import fields as log_fields

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.sdk.trace.id_generator import IdGenerator

    from otel_prefect.export.delivery import Delivery
    from otel_prefect.lifecycle import Provider, Shutdown

_logger = logging.getLogger(__name__)

# Spans or log records that wait for a sidecar that is not up yet; the SDK's 2,048 are two seconds of a
# chatty flow. At about 1 KB each this is 16 MB at most.
_QUEUE = 16_384

# Spans that have ended wait so long to be sent, at most. With the SDK's 5 s a process that is killed would
# take the ends of many a task with it, which the sidecar then has to take for killed too.
SPAN_DELAY_MILLISECONDS = 1_000

_lock = threading.Lock()
_configured_by: str | None = None


def configure(by: str, service_name: str | None = None, *, process_span: bool = False) -> Shutdown | None:
    """Set up traces, logs and metrics of this process as its environment says.

    Done once in a process: a later call only says so at debug. ``OTEL_SDK_DISABLED=true`` leaves nothing
    but the fields of log records, and so does a Prefect server: what it does is no pipeline's work, and a
    flow without a server starts one for itself. Never raises.

    Args:
        by: who asks, for the log.
        service_name: the process's name where ``OTEL_SERVICE_NAME`` gives none.
        process_span: whether the process gets a span of its own, see ``otel_prefect.process_span.start``.

    Returns:
        What ends it early, for callers that know when their work is done; None where nothing was set up.
    """
    global _configured_by  # noqa: PLW0603 - the one place that owns it
    with _lock:
        if _configured_by is not None:
            _logger.debug("%s: telemetry is already configured by %s", by, _configured_by)
            return None
        _configured_by = by
    _logger.debug("telemetry is configured by %s", by)
    log_fields.install()
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true" or process_kind.is_prefect_server():
        return None
    return _set_up(service_name, process_span=process_span)


@never_raises(None)
def _set_up(service_name: str | None, *, process_span: bool) -> Shutdown | None:
    # Imported here: a disabled process pays for none of it.
    from otel_prefect import resource  # noqa: PLC0415
    from otel_prefect.aws import calls as aws_calls  # noqa: PLC0415
    from otel_prefect.aws import xray_sdk  # noqa: PLC0415
    from otel_prefect.export import exporters  # noqa: PLC0415
    from otel_prefect.export.delivery import Delivery  # noqa: PLC0415
    from otel_prefect.lifecycle import Shutdown  # noqa: PLC0415
    from otel_prefect.prefect import http as prefect_http  # noqa: PLC0415
    from otel_prefect.spans import flush_after_root  # noqa: PLC0415
    from otel_prefect.spans import process_span as process_spans  # noqa: PLC0415

    process = runs.of_process()
    delivery = Delivery(environment.seconds(semconv.ENV_RETRY_SECONDS))
    own = resource.resource(process.environment, service_name)
    providers = (_traces(own, delivery), _logs(own, delivery), _metrics(own, delivery))
    seen = process_span and providers[0] is not None and exporters.otlp_names()
    span = process_spans.start(process) if seen else None
    shutdown = Shutdown(
        [provider for provider in providers if provider is not None],
        delivery,
        environment.seconds(semconv.ENV_FLUSH_SECONDS),
        span,
    )
    shutdown.register()
    if providers[0] is not None and process_kind.is_ray_worker():
        providers[0].add_span_processor(flush_after_root.FlushAfterRoot(shutdown.flush_soon))
    aws_calls.install()
    xray_sdk.install()
    prefect_http.install()
    return shutdown


def _traces(own: Resource, delivery: Delivery) -> TracerProvider | None:
    from opentelemetry import trace  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    from otel_prefect.export import encodable, exporters  # noqa: PLC0415
    from otel_prefect.spans import start_spans, tracing  # noqa: PLC0415

    present = trace.get_tracer_provider()
    if isinstance(present, TracerProvider):
        # The user's own: it stays, with their exporters, and learns about runs.
        tracing.adopt(present, runs.of_process())
        return None
    provider = tracing.provider(own, runs.of_process(), _id_generator())
    made: list[SpanExporter] = [
        encodable.EncodableSpans(exporter) for exporter in exporters.exporters("traces", delivery)
    ]
    if exporters.otlp_names() and environment.flag(semconv.ENV_START_SPANS):
        starts = start_spans.StartSpans(exporters.hasty_exporters)
        # Before those that send ends: it is shut down first.
        provider.add_span_processor(starts)
        made = [start_spans.AfterStarts(exporter, starts) for exporter in made]
    delay = None if os.environ.get("OTEL_BSP_SCHEDULE_DELAY") else SPAN_DELAY_MILLISECONDS
    for exporter in made:
        provider.add_span_processor(BatchSpanProcessor(exporter, _queue("OTEL_BSP_MAX_QUEUE_SIZE"), delay))
    trace.set_tracer_provider(provider)
    return provider


def _logs(own: Resource, delivery: Delivery) -> Provider | None:
    from opentelemetry import _logs as logs_api  # noqa: PLC0415
    from opentelemetry.sdk._logs import LoggerProvider  # noqa: PLC0415
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor  # noqa: PLC0415

    from otel_prefect.export import exporters  # noqa: PLC0415
    from otel_prefect.log import export as log_export  # noqa: PLC0415
    from otel_prefect.log import loguru_records as loguru_logs  # noqa: PLC0415
    from otel_prefect.log import structlog_events as structlog_logs  # noqa: PLC0415
    from otel_prefect.log import uncaught  # noqa: PLC0415

    if isinstance(logs_api.get_logger_provider(), LoggerProvider):
        # The user's own, and so is the handler that feeds it: a second way out would double each line.
        return None
    made = exporters.exporters("logs", delivery)
    if not made:
        return None
    provider = LoggerProvider(own, shutdown_on_exit=False)
    for exporter in made:
        provider.add_log_record_processor(
            BatchLogRecordProcessor(exporter, max_queue_size=_queue("OTEL_BLRP_MAX_QUEUE_SIZE"))
        )
    logs_api.set_logger_provider(provider)
    log_export.install(provider)
    for source in (structlog_logs, loguru_logs, uncaught):
        source.install()
    return provider


def _metrics(own: Resource, delivery: Delivery) -> Provider | None:
    from opentelemetry import metrics as metrics_api  # noqa: PLC0415
    from opentelemetry.sdk.metrics import MeterProvider  # noqa: PLC0415

    from otel_prefect.export import exporters, metric_provider  # noqa: PLC0415

    if isinstance(metrics_api.get_meter_provider(), MeterProvider):
        return None
    made = exporters.exporters("metrics", delivery)
    if not made:
        return None
    provider = metric_provider.provider(own, made)
    metrics_api.set_meter_provider(provider)
    return provider


def _id_generator() -> IdGenerator | None:
    """Return what ``OTEL_PYTHON_ID_GENERATOR`` names; None where it is unset or names nothing installed."""
    from importlib.metadata import entry_points  # noqa: PLC0415

    name = os.environ.get("OTEL_PYTHON_ID_GENERATOR", "").strip()
    found = next(iter(entry_points(group="opentelemetry_id_generator", name=name)), None) if name else None
    return None if found is None else found.load()()


def _queue(variable: str) -> int | None:
    """Return the length of a queue: None lets the SDK read the user's own setting."""
    return None if os.environ.get(variable) else _QUEUE
