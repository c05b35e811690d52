"""The sidecar's numbers on itself leave as what was added, and stand on ``/metrics`` as totals."""

from __future__ import annotations

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality

from sidecar import accounts, metrics
from sidecar.delivery import Deliveries
from sidecar.metrics import SelfMetrics


def values(body: bytes) -> dict[str, list[int]]:
    (of_resource,) = ExportMetricsServiceRequest.FromString(body).resource_metrics
    found: dict[str, list[int]] = {}
    for metric in of_resource.scope_metrics[0].metrics:
        if metric.HasField("sum"):
            assert metric.sum.aggregation_temporality == AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA
        points = metric.sum.data_points if metric.HasField("sum") else metric.gauge.data_points
        found[metric.name] = [point.as_int for point in points]
    return found


def test_a_request_has_what_was_added_since_the_last_one_that_was_taken() -> None:
    numbers = SelfMetrics()
    numbers.add(metrics.RECORDS, 5, signal="traces", outcome="accepted")
    body, taken = numbers.otlp({})
    assert values(body)["prefect.sidecar.records"] == [5]
    taken()
    numbers.add(metrics.RECORDS, 2, signal="traces", outcome="accepted")
    numbers.set(metrics.IN_FLIGHT, 9)
    refused, _ = numbers.otlp({})
    assert values(refused) == {"prefect.sidecar.records": [2], "prefect.sidecar.in_flight": [9]}
    again, taken = numbers.otlp({})
    assert values(again)["prefect.sidecar.records"] == [2]
    taken()
    assert values(numbers.otlp({})[0])["prefect.sidecar.records"] == [0]
    assert 'prefect_sidecar_records_total{signal="traces",outcome="accepted"} 7' in numbers.prometheus()


def test_what_is_added_while_a_request_is_on_its_way_is_in_the_next() -> None:
    numbers = SelfMetrics()
    numbers.add(metrics.RECORDS, 1, signal="logs", outcome="accepted")
    _, taken = numbers.otlp({})
    numbers.add(metrics.RECORDS, 3, signal="logs", outcome="accepted")
    taken()
    assert values(numbers.otlp({})[0])["prefect.sidecar.records"] == [3]


def test_each_addition_begins_where_the_last_one_ended() -> None:
    numbers = SelfMetrics()
    numbers.add(metrics.REQUESTS, 1, signal="logs")
    times = []
    for _ in range(2):
        body, taken = numbers.otlp({})
        taken()
        (of_resource,) = ExportMetricsServiceRequest.FromString(body).resource_metrics
        (point,) = of_resource.scope_metrics[0].metrics[0].sum.data_points
        times.append((point.start_time_unix_nano, point.time_unix_nano))
    assert times[0][0] < times[0][1] == times[1][0] < times[1][1]


def test_the_collectors_deliveries_are_among_them() -> None:
    numbers = SelfMetrics()
    deliveries = Deliveries({("traces", "awsxray"): 12}, {("logs", "y"): 1}, {("traces", "x"): 2048})
    accounts.count(numbers, deliveries, {"traces/xray-otlp": "AccessDenied"})
    accounts.count(numbers, deliveries, {})
    shown = numbers.prometheus()
    assert 'prefect_sidecar_delivered_total{signal="traces",exporter="awsxray"} 12' in shown
    assert 'prefect_sidecar_given_up_total{signal="logs",exporter="y"} 1' in shown
    assert 'prefect_sidecar_queued_bytes{signal="traces",exporter="x"} 2048' in shown
    assert 'prefect_sidecar_held{layer="traces/xray-otlp"} 0' in shown
