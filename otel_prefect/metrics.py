"""A MeterProvider for processes that measure something: OTel's plain metrics API works in all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.sdk.metrics.export import MetricExporter
    from opentelemetry.sdk.resources import Resource


def provider(resource: Resource, exporters: Sequence[MetricExporter | MetricReader]) -> MeterProvider:
    """Return a MeterProvider that exports every ``OTEL_METRIC_EXPORT_INTERVAL`` ms (60,000) and at its end.

    Args:
        resource: of every metric.
        exporters: where to; one that is a reader itself (Prometheus) is used as it is.
    """
    readers = [
        exporter if isinstance(exporter, MetricReader) else PeriodicExportingMetricReader(exporter)
        for exporter in exporters
    ]
    return MeterProvider(readers, resource, shutdown_on_exit=False)
