"""The sidecar's metrics on itself: counted here, shown in both forms here.

They leave through the same Collector as everything else, as what was added since the last time: no label
tells one task's sums from another's. On ``/metrics`` of the health port they stand as totals.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality

from otel_prefect import __version__, prometheus_names, semconv
from sidecar.attributes import set_value

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric

    from sidecar.attributes import Attributes


REQUESTS: Final = semconv.METRIC_SIDECAR_REQUESTS
RECORDS: Final = semconv.METRIC_SIDECAR_RECORDS
IN_FLIGHT: Final = semconv.METRIC_SIDECAR_IN_FLIGHT
COLLECTOR_STARTS: Final = semconv.METRIC_SIDECAR_COLLECTOR_STARTS
COLLECTOR_UP: Final = semconv.METRIC_SIDECAR_COLLECTOR_UP
DELIVERED: Final = semconv.METRIC_SIDECAR_DELIVERED
GIVEN_UP: Final = semconv.METRIC_SIDECAR_GIVEN_UP
QUEUED: Final = semconv.METRIC_SIDECAR_QUEUED
HELD: Final = semconv.METRIC_SIDECAR_HELD
STATSD_LINES: Final = semconv.METRIC_SIDECAR_STATSD_LINES
STATSD_REFUSED: Final = semconv.METRIC_SIDECAR_STATSD_REFUSED
DECLARED: Final = (
    REQUESTS,
    RECORDS,
    IN_FLIGHT,
    COLLECTOR_STARTS,
    COLLECTOR_UP,
    DELIVERED,
    GIVEN_UP,
    QUEUED,
    HELD,
    STATSD_LINES,
    STATSD_REFUSED,
)

Labels = tuple[tuple[str, str], ...]
Values = dict[semconv.Metric, dict[Labels, int]]


class SelfMetrics:
    """Holds the numbers. All values are whole."""

    def __init__(self) -> None:
        self._values: Values = {declared: {} for declared in DECLARED}
        self._sent: Values = {declared: {} for declared in DECLARED}
        self._sent_at = time.time_ns()

    def add(self, declared: semconv.Metric, amount: int, **labels: str) -> None:
        """Add to a number; the order of labels at the call is kept in what is shown."""
        values = self._values[declared]
        key = tuple(labels.items())
        values[key] = values.get(key, 0) + amount

    def set(self, declared: semconv.Metric, value: int, **labels: str) -> None:
        """Set a number; of what only grows, the total."""
        self._values[declared][tuple(labels.items())] = value

    def total(self, declared: semconv.Metric, **labels: str) -> int:
        """Return the sum over all label sets that contain these labels."""
        wanted = set(labels.items())
        return sum(value for key, value in self._values[declared].items() if wanted <= set(key))

    def labelled(self, declared: semconv.Metric, label: str) -> frozenset[str]:
        """Return the values that a label has had."""
        return frozenset(text for key in self._values[declared] for name, text in key if name == label)

    def prometheus(self) -> str:
        """Return the numbers in Prometheus's text format 0.0.4."""
        lines = []
        for declared, values in self._values.items():
            name = prometheus_names.metric(declared)
            lines.append(f"# HELP {name} {declared.meaning}")
            lines.append(f"# TYPE {name} {'counter' if _grows(declared) else 'gauge'}")
            for labels, value in values.items():
                # Label values are constants of this program, so nothing needs escaping.
                shown = ",".join(f'{key}="{text}"' for key, text in labels)
                lines.append(f"{name}{{{shown}}} {value}" if shown else f"{name} {value}")
        return "\n".join(lines) + "\n"

    def otlp(self, attributes: Attributes) -> tuple[bytes, Callable[[], None]]:
        """Return the numbers as an encoded ``ExportMetricsServiceRequest``, and what to call once taken.

        Until that is called, the next request has the same additions and more.

        Args:
            attributes: of the Resource, beside ``service.name`` and ``service.version``.
        """
        now, sent = time.time_ns(), {declared: dict(values) for declared, values in self._values.items()}
        request = ExportMetricsServiceRequest()
        of_resource = request.resource_metrics.add()
        own = {semconv.SERVICE_NAME: "otel-prefect-sidecar", semconv.SERVICE_VERSION: __version__}
        for key, value in {**attributes, **own}.items():
            set_value(of_resource.resource.attributes.add(key=key).value, value)
        of_scope = of_resource.scope_metrics.add()
        of_scope.scope.name = "sidecar"
        of_scope.scope.version = __version__
        for declared, values in self._values.items():
            if values:
                self._write(of_scope.metrics.add(), declared, values, now)

        def taken() -> None:
            self._sent, self._sent_at = sent, now

        return bytes(request.SerializeToString()), taken

    def _write(
        self, metric: Metric, declared: semconv.Metric, values: Mapping[Labels, int], now: int
    ) -> None:
        metric.name, metric.unit, metric.description = declared.name, declared.unit, declared.meaning
        if _grows(declared):
            metric.sum.is_monotonic = True
            metric.sum.aggregation_temporality = AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA
        points = metric.sum.data_points if _grows(declared) else metric.gauge.data_points
        before = self._sent[declared] if _grows(declared) else {}
        for labels, value in values.items():
            added = value - before.get(labels, 0)
            point = points.add(start_time_unix_nano=self._sent_at, time_unix_nano=now, as_int=added)
            for key, text in labels:
                set_value(point.attributes.add(key=key).value, text)


def _grows(declared: semconv.Metric) -> bool:
    return declared.kind == "counter"
