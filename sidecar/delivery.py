"""Reads from the Collector's own metrics what it delivered, gave up and still has in its queues.

Names of the metrics: exporterhelper in the Collector's core
(https://github.com/open-telemetry/opentelemetry-collector/blob/main/exporter/exporterhelper/documentation.md).
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sidecar.fetch import Fetcher, FetchError

if TYPE_CHECKING:
    from sidecar.settings import Address

_SAMPLE = re.compile(r"^(?P<name>otelcol_exporter_\w+)\{(?P<labels>[^}]*)\} (?P<value>\S+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')
_RECORDS: Final = {"spans": "traces", "log_records": "logs", "metric_points": "metrics"}
_QUEUE_SIZE: Final = "otelcol_exporter_queue_size"
_SENT: Final = "otelcol_exporter_sent_"
_FAILED: Final = "otelcol_exporter_send_failed_"
# Exporters that feed a queue back into the Collector itself: what they send is not delivered yet.
LOOP_PREFIX: Final = "otlp_grpc/loop-"
XRAY_SDK_QUEUE: Final = ("traces", f"{LOOP_PREFIX}xray-sdk")
_TIMEOUT_SECONDS = 2.0


@dataclass(frozen=True)
class Deliveries:
    """What a Collector says since its start, by ``(signal, exporter)``.

    Attributes:
        sent: records delivered.
        failed: records given up for good, by the exporter whose queue they have left.
        queued_bytes: bytes in each exporter's queue, loops included.
    """

    sent: dict[tuple[str, str], int] = field(default_factory=dict)
    failed: dict[tuple[str, str], int] = field(default_factory=dict)
    queued_bytes: dict[tuple[str, str], int] = field(default_factory=dict)

    @property
    def drained(self) -> bool:
        """Whether all queues are empty. An item leaves its queue only after it was sent or given up."""
        return not any(self.queued_bytes.values())

    def __add__(self, other: Deliveries) -> Deliveries:
        """Return the sum over two Collectors, the later one's queues."""
        return Deliveries(
            _sum(self.sent, other.sent), _sum(self.failed, other.failed), dict(other.queued_bytes)
        )


def _sum(one: dict[tuple[str, str], int], other: dict[tuple[str, str], int]) -> dict[tuple[str, str], int]:
    return {key: one.get(key, 0) + other.get(key, 0) for key in {**one, **other}}


def parse(text: str) -> Deliveries:
    """Read the Collector's metrics from Prometheus's text format."""
    result = Deliveries()
    failed: dict[tuple[str, str], int] = {}
    for sample in _SAMPLE.finditer(text):
        labels = dict(_LABEL.findall(sample["labels"]))
        exporter, value = labels.get("exporter", ""), int(float(sample["value"]))
        name = sample["name"].removesuffix("_total")
        if name == _QUEUE_SIZE:
            result.queued_bytes[labels.get("data_type", ""), exporter] = value
        elif name.startswith(_FAILED):
            _count(failed, name.removeprefix(_FAILED), exporter, value)
        elif name.startswith(_SENT) and not exporter.startswith(LOOP_PREFIX):
            _count(result.sent, name.removeprefix(_SENT), exporter, value)
    # Only who has a queue gives up: what an exporter behind a loop failed to send, the loop sends again.
    result.failed.update({key: count for key, count in failed.items() if key in result.queued_bytes})
    return result


def _count(counts: dict[tuple[str, str], int], records: str, exporter: str, value: int) -> None:
    signal = _RECORDS.get(records)
    if signal is not None:
        counts[signal, exporter] = counts.get((signal, exporter), 0) + value


class DeliveryMonitor:
    """Follows the Collector's metrics over its restarts.

    A Collector that is killed takes along what it did since the last reading: then the numbers are a
    lower bound.

    Args:
        address: where the Collector shows its metrics.
    """

    def __init__(self, address: Address) -> None:
        self._url = f"http://{address}/metrics"
        self._fetcher = Fetcher(_TIMEOUT_SECONDS)
        self._before = Deliveries()
        self._last = Deliveries()

    @property
    def total(self) -> Deliveries:
        """What all Collectors since the start have delivered, as of the last reading."""
        return self._before + self._last

    def collector_restarted(self) -> None:
        """Keep the dead Collector's last numbers: the new one counts from zero."""
        self._before, self._last = self.total, Deliveries(queued_bytes=self._last.queued_bytes)

    async def read(self) -> bool:
        """Read the numbers anew; tell whether the Collector answered."""
        try:
            self._last = parse(await self._fetcher.text(self._url))
        except FetchError:
            return False
        return True

    async def xray_sdk_pending(self) -> bool:
        """Tell whether segments of X-Ray SDKs wait to come in by the sidecar's door."""
        await self.read()
        return self._last.queued_bytes.get(XRAY_SDK_QUEUE, 0) > 0

    async def wait_until_drained(self, deadline: float) -> bool:
        """Wait until the queues are empty; tell whether they are by ``deadline`` (the loop's clock)."""
        loop = asyncio.get_running_loop()
        while True:
            if await self.read() and self._last.drained:
                return True
            if loop.time() >= deadline:
                return False
            await asyncio.sleep(0.1)
