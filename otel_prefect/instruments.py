"""Instruments of the declared metrics, for whoever measures in a process of the pipeline."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry import metrics as metrics_api

if TYPE_CHECKING:
    from otel_prefect.semconv import Metric


def instrument(metric: Metric, scope: str) -> Any:
    """Return a counter or gauge, of the provider that is there now; the SDK gives the same one again.

    Args:
        metric: as it is declared.
        scope: the module that measures.
    """
    meter = metrics_api.get_meter(scope)
    make = meter.create_counter if metric.kind == "counter" else meter.create_gauge
    return make(metric.name, metric.unit, metric.meaning)
