"""The sidecar's metrics on itself: declared here, counted here, shown in both forms here.

They leave through the same Collector as everything else, and stand on ``/metrics`` of the health port.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality

from otel_prefect import __version__, semconv
from sidecar.attributes import set_value

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

    from sidecar.attributes import Attributes


@dataclass(frozen=True)
class Instrument:
    """One metric: its name (OTLP's form), unit (UCUM), what it means, and whether it only grows."""

    name: str
    unit: str
    description: str
    monotonic: bool = True


REQUESTS: Final = Instrument(
    "prefect_sidecar_requests", "{request}", "Requests by signal, transport and outcome."
)
RECORDS: Final = Instrument(
    "prefect_sidecar_records", "{record}", "Spans, log records and metrics by signal and outcome."
)
IN_FLIGHT: Final = Instrument(
    "prefect_sidecar_in_flight", "By", "Bytes of requests that are in work now.", monotonic=False
)
COLLECTOR_STARTS: Final = Instrument(
    "prefect_sidecar_collector_starts", "{start}", "Times that the managed Collector was started."
)
COLLECTOR_UP: Final = Instrument(
    "prefect_sidecar_collector_up", "1", "1 while the Collector takes data, else 0.", monotonic=False
)
INSTRUMENTS: Final = (REQUESTS, RECORDS, IN_FLIGHT, COLLECTOR_STARTS, COLLECTOR_UP)

Labels = tuple[tuple[str, str], ...]


class SelfMetrics:
    """Holds the numbers. All values are whole."""

    def __init__(self) -> None:
        self._start = time.time_ns()
        self._values: dict[Instrument, dict[Labels, int]] = {instrument: {} for instrument in INSTRUMENTS}

    def add(self, instrument: Instrument, amount: int, **labels: str) -> None:
        """Add to a number; the order of labels at the call is kept in what is shown."""
        values = self._values[instrument]
        key = tuple(labels.items())
        values[key] = values.get(key, 0) + amount

    def set(self, instrument: Instrument, value: int) -> None:
        """Set a number that has no labels."""
        self._values[instrument][()] = value

    def total(self, instrument: Instrument, **labels: str) -> int:
        """Return the sum over all label sets that contain these labels."""
        wanted = set(labels.items())
        return sum(value for key, value in self._values[instrument].items() if wanted <= set(key))

    def prometheus(self) -> str:
        """Return the numbers in Prometheus's text format 0.0.4."""
        lines = []
        for instrument, values in self._values.items():
            name = f"{instrument.name}_total" if instrument.monotonic else instrument.name
            lines.append(f"# HELP {name} {instrument.description}")
            lines.append(f"# TYPE {name} {'counter' if instrument.monotonic else 'gauge'}")
            for labels, value in values.items():
                # Label values are constants of this program, so nothing needs escaping.
                shown = ",".join(f'{key}="{text}"' for key, text in labels)
                lines.append(f"{name}{{{shown}}} {value}" if shown else f"{name} {value}")
        return "\n".join(lines) + "\n"

    def otlp(self, attributes: Attributes) -> bytes:
        """Return the numbers as an encoded ``ExportMetricsServiceRequest``.

        Args:
            attributes: of the Resource, beside ``service.name`` and ``service.version``.
        """
        request = ExportMetricsServiceRequest()
        of_resource = request.resource_metrics.add()
        own = {semconv.SERVICE_NAME: "otel-prefect-sidecar", semconv.SERVICE_VERSION: __version__}
        for key, value in {**attributes, **own}.items():
            set_value(of_resource.resource.attributes.add(key=key).value, value)
        of_scope = of_resource.scope_metrics.add()
        of_scope.scope.name = "sidecar"
        of_scope.scope.version = __version__
        for instrument, values in self._values.items():
            if values:
                self._write(of_scope.metrics.add(), instrument, values)
        return bytes(request.SerializeToString())

    def _write(self, metric: Metric, instrument: Instrument, values: Mapping[Labels, int]) -> None:
        metric.name, metric.unit, metric.description = (
            instrument.name,
            instrument.unit,
            instrument.description,
        )
        if instrument.monotonic:
            metric.sum.is_monotonic = True
            metric.sum.aggregation_temporality = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
        points = metric.sum.data_points if instrument.monotonic else metric.gauge.data_points
        now = time.time_ns()
        for labels, value in values.items():
            point = points.add(start_time_unix_nano=self._start, time_unix_nano=now, as_int=value)
            for key, text in labels:
                set_value(point.attributes.add(key=key).value, text)
