"""The sidecar's metrics on itself: declared here, counted here, shown in both forms here.

They leave through the same Collector as everything else, as what was added since the last time: no label
tells one task's sums from another's. On ``/metrics`` of the health port they stand as totals.
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
    from collections.abc import Callable, Mapping

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
    "prefect_sidecar_collector_up",
    "{collector}",
    "1 while the Collector takes data, else 0.",
    monotonic=False,
)
DELIVERED: Final = Instrument(
    "prefect_sidecar_delivered", "{record}", "Records that a destination has taken, by signal and exporter."
)
GIVEN_UP: Final = Instrument(
    "prefect_sidecar_given_up",
    "{record}",
    "Accepted records that are lost, since a destination will never take them, by signal and exporter.",
)
QUEUED: Final = Instrument(
    "prefect_sidecar_queued", "By", "Bytes in the queues on disk, by signal and exporter.", monotonic=False
)
HELD: Final = Instrument(
    "prefect_sidecar_held",
    "{layer}",
    "1 for a layer whose data is kept on disk since AWS refuses it, 0 once it is taken again.",
    monotonic=False,
)
STATSD_LINES: Final = Instrument(
    "prefect_sidecar_statsd_lines", "{line}", "Lines of StatsD that were passed on to the Collector."
)
STATSD_REFUSED: Final = Instrument(
    "prefect_sidecar_statsd_refused", "{line}", "Lines of StatsD that were left out, by reason."
)
INSTRUMENTS: Final = (
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
Values = dict[Instrument, dict[Labels, int]]


class SelfMetrics:
    """Holds the numbers. All values are whole."""

    def __init__(self) -> None:
        self._values: Values = {instrument: {} for instrument in INSTRUMENTS}
        self._sent: Values = {instrument: {} for instrument in INSTRUMENTS}
        self._sent_at = time.time_ns()

    def add(self, instrument: Instrument, amount: int, **labels: str) -> None:
        """Add to a number; the order of labels at the call is kept in what is shown."""
        values = self._values[instrument]
        key = tuple(labels.items())
        values[key] = values.get(key, 0) + amount

    def set(self, instrument: Instrument, value: int, **labels: str) -> None:
        """Set a number; of what only grows, the total."""
        self._values[instrument][tuple(labels.items())] = value

    def total(self, instrument: Instrument, **labels: str) -> int:
        """Return the sum over all label sets that contain these labels."""
        wanted = set(labels.items())
        return sum(value for key, value in self._values[instrument].items() if wanted <= set(key))

    def labelled(self, instrument: Instrument, label: str) -> frozenset[str]:
        """Return the values that a label has had."""
        return frozenset(text for key in self._values[instrument] for name, text in key if name == label)

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

    def otlp(self, attributes: Attributes) -> tuple[bytes, Callable[[], None]]:
        """Return the numbers as an encoded ``ExportMetricsServiceRequest``, and what to call once taken.

        Until that is called, the next request has the same additions and more.

        Args:
            attributes: of the Resource, beside ``service.name`` and ``service.version``.
        """
        now, sent = time.time_ns(), {instrument: dict(values) for instrument, values in self._values.items()}
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
                self._write(of_scope.metrics.add(), instrument, values, now)

        def taken() -> None:
            self._sent, self._sent_at = sent, now

        return bytes(request.SerializeToString()), taken

    def _write(self, metric: Metric, instrument: Instrument, values: Mapping[Labels, int], now: int) -> None:
        metric.name, metric.unit, metric.description = (
            instrument.name,
            instrument.unit,
            instrument.description,
        )
        if instrument.monotonic:
            metric.sum.is_monotonic = True
            metric.sum.aggregation_temporality = AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA
        points = metric.sum.data_points if instrument.monotonic else metric.gauge.data_points
        before = self._sent[instrument] if instrument.monotonic else {}
        for labels, value in values.items():
            added = value - before.get(labels, 0)
            point = points.add(start_time_unix_nano=self._sent_at, time_unix_nano=now, as_int=added)
            for key, text in labels:
                set_value(point.attributes.add(key=key).value, text)
