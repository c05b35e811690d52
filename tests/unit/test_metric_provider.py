"""Instruments of the metrics API in a process that the library has set up."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

from opentelemetry import metrics as metrics_api
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.resources import Resource

from otel_prefect.export import metric_provider

if TYPE_CHECKING:
    import pytest


def test_instruments_that_are_pickled_are_the_other_process_own(monkeypatch: pytest.MonkeyPatch) -> None:
    here = metric_provider.provider(Resource({}), [InMemoryMetricReader()])
    meter = here.get_meter("load", "1.2")
    made = [meter.create_counter("rows", "{row}"), meter.create_up_down_counter("open")]
    made += [meter.create_histogram("seconds", "s", "how long"), meter.create_gauge("load")]
    pickled = pickle.dumps(made)

    reader = InMemoryMetricReader()
    there = metric_provider.provider(Resource({}), [reader])
    monkeypatch.setattr(metrics_api, "get_meter_provider", lambda: there)
    rows, is_open, seconds, load = pickle.loads(pickled)  # noqa: S301 - our own bytes
    rows.add(3)
    is_open.add(1)
    seconds.record(0.5)
    load.set(2)

    data = reader.get_metrics_data()
    assert data is not None
    (of_scope,) = data.resource_metrics[0].scope_metrics
    assert (of_scope.scope.name, of_scope.scope.version) == ("load", "1.2")
    assert [(m.name, m.unit, m.description) for m in of_scope.metrics] == [
        ("rows", "{row}", ""),
        ("open", "", ""),
        ("seconds", "s", "how long"),
        ("load", "", ""),
    ]
