"""The accounts: what became of all data since the sidecar started, in one JSON object."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sidecar import metrics
from sidecar.intake import ACCEPTED, MALFORMED, REFUSED
from sidecar.otlp import SIGNALS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sidecar.delivery import Deliveries
    from sidecar.metrics import SelfMetrics


def of(numbers: SelfMetrics, deliveries: Deliveries) -> dict[str, Any]:
    """Return the accounts.

    Args:
        numbers: the sidecar's own counts.
        deliveries: what the Collector says.

    Returns:
        ``accepted``, ``refused`` (the client was told to send again) and ``malformed`` (it was told not to)
        count records by signal at the sidecar's door; ``delivered`` and ``given_up`` count records by
        signal and exporter at the Collector's far end; ``left_on_disk`` are bytes by signal and exporter,
        with which the next start on the same data folder goes on.
    """
    door = {
        outcome: {
            signal.name: numbers.total(metrics.RECORDS, signal=signal.name, outcome=outcome)
            for signal in SIGNALS
        }
        for outcome in (ACCEPTED, REFUSED, MALFORMED)
    }
    return {"event": "accounts", **door, **of_deliveries(deliveries)}


def count(numbers: SelfMetrics, deliveries: Deliveries, held: Mapping[str, str]) -> None:
    """Have the sidecar's metrics say what the Collector does.

    Args:
        numbers: the metrics.
        deliveries: what the Collector says.
        held: the layers whose data is kept on disk, with the reason.
    """
    for instrument, counts in (
        (metrics.DELIVERED, deliveries.sent),
        (metrics.GIVEN_UP, deliveries.failed),
        (metrics.QUEUED, deliveries.queued_bytes),
    ):
        for (signal, exporter), value in counts.items():
            numbers.set(instrument, value, signal=signal, exporter=exporter)
    for layer in {*held, *numbers.labelled(metrics.HELD, "layer")}:
        numbers.set(metrics.HELD, int(layer in held), layer=layer)


def of_deliveries(deliveries: Deliveries) -> dict[str, Any]:
    """Return the accounts of the Collector's far end alone, see :func:`of`."""
    return {
        "delivered": _by_signal(deliveries.sent),
        "given_up": _by_signal(deliveries.failed),
        "left_on_disk": _by_signal({key: size for key, size in deliveries.queued_bytes.items() if size}),
    }


def _by_signal(counts: dict[tuple[str, str], int]) -> dict[str, dict[str, int]]:
    result: dict[str, dict[str, int]] = {}
    for (signal, exporter), count in sorted(counts.items()):
        result.setdefault(signal, {})[exporter] = count
    return result
