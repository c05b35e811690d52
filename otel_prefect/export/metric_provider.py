"""A MeterProvider for processes that measure something: OTel's plain metrics API works in all of them."""

from __future__ import annotations

import copyreg
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import metrics
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider, UpDownCounter, _Gauge
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.sdk.metrics.export import MetricExporter
    from opentelemetry.sdk.resources import Resource


_MADE_BY: Final = {
    Counter: "create_counter",
    UpDownCounter: "create_up_down_counter",
    Histogram: "create_histogram",
    _Gauge: "create_gauge",
}


def provider(resource: Resource, exporters: Sequence[MetricExporter | MetricReader]) -> MeterProvider:
    """Return a MeterProvider that exports every ``OTEL_METRIC_EXPORT_INTERVAL`` ms (60,000) and at its end.

    Args:
        resource: of every metric.
        exporters: where to; one that is a reader itself (Prometheus) is used as it is.
    """
    _make_instruments_picklable()
    readers = [
        exporter if isinstance(exporter, MetricReader) else PeriodicExportingMetricReader(exporter)
        for exporter in exporters
    ]
    return MeterProvider(readers, resource, shutdown_on_exit=False)


def _make_instruments_picklable() -> None:
    """Let instruments be pickled, as the API's own can: in the other process it is that process's own.

    Flows are pickled for other processes (process pools, Dask, background tasks), with the counter that
    stands beside them in a module. Such a flow works without us.
    """
    for kind, maker in _MADE_BY.items():

        def reduce(instrument: Any, maker: str = maker) -> tuple[Any, ...]:
            scope = instrument.instrumentation_scope
            made_of = (instrument.name, instrument.unit, instrument.description)
            return _instrument_of_process, (scope.name, scope.version or "", scope.schema_url, maker, made_of)

        # What a meter makes are subclasses, and copyreg goes by the exact class.
        for exactly in (kind, *kind.__subclasses__()):
            copyreg.pickle(exactly, reduce)


def _instrument_of_process(
    name: str, version: str, schema_url: str | None, maker: str, made_of: tuple[str, str, str]
) -> Any:
    meter = metrics.get_meter_provider().get_meter(name, version, schema_url)
    return getattr(meter, maker)(*made_of)
