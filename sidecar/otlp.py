"""The signals of OTLP: what their methods, paths and frames are called."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sidecar.wire import Frames


@dataclass(frozen=True)
class Signal:
    """One signal of OTLP.

    Attributes:
        name: ``traces``, ``logs`` or ``metrics``.
        record: the unit of its records, as the Collector's own metrics name it.
        method: the full name of the gRPC method.
        path: the path of OTLP/HTTP.
        frames: what the levels of a request are called.
    """

    name: str
    record: str
    method: str
    path: str
    frames: Frames


def _signal(name: str, service: str, record: str, kind: str) -> Signal:
    return Signal(
        name=name,
        record=record,
        method=f"/opentelemetry.proto.collector.{service}/Export",
        path=f"/v1/{name}",
        frames=Frames(f"resource_{kind}", f"scope_{kind}", record),
    )


TRACES: Final = _signal("traces", "trace.v1.TraceService", "spans", "spans")
LOGS: Final = _signal("logs", "logs.v1.LogsService", "log_records", "logs")
METRICS: Final = _signal("metrics", "metrics.v1.MetricsService", "metrics", "metrics")
SIGNALS: Final = (TRACES, LOGS, METRICS)
