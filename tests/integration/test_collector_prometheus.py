"""What the layer `prometheus` writes, asked of a real Prometheus by queries as people write them."""

from __future__ import annotations

import secrets
import time
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality

from demo import prometheus
from demo.processes import Processes
from otel_prefect import prometheus_names, semconv
from otel_prefect.collector import start as collector
from sidecar import finished_runs
from sidecar.attributes import set_value
from tests.support import otlp
from tests.support.collector import RunningCollector, running, variables, wait_for
from tests.unit.test_sidecar_finished_runs import flow_span

if TYPE_CHECKING:
    from collections.abc import Iterator

    from demo.prometheus import Prometheus

DELTA = AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA
CUMULATIVE = AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
LABELS = {
    semconv.FLOW_NAME: "daily-sales",
    semconv.DEPLOYMENT_NAME: "prod",
    semconv.SOURCE: "shop",
    semconv.STAGE: "ingest",
}
AS_LABELS = {"flow_name": "daily-sales", "deployment": "prod", "source": "shop", "stage": "ingest"}


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    with Processes(tmp_path_factory.mktemp("logs")) as owner:
        yield owner


@pytest.fixture(scope="module")
def server(processes: Processes, tmp_path_factory: pytest.TempPathFactory) -> Prometheus:
    return prometheus.start(processes, tmp_path_factory.mktemp("prometheus"))


@pytest.fixture(scope="module", params=["otlp_url", "write_url"])
def started(
    request: pytest.FixtureRequest,
    processes: Processes,
    server: Prometheus,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[RunningCollector]:
    """A Collector that writes to Prometheus, by each of the two protocols."""
    settings = {
        **variables(tmp_path_factory.mktemp("collector"), metrics="prometheus"),
        semconv.ENV_PROMETHEUS_ENDPOINT.name: getattr(server, request.param),
    }
    with running(processes, collector.find(), settings) as made:
        yield made


def answer(server: Prometheus, query: str, expected: int = 1) -> list[tuple[dict[str, str], Any]]:
    """Wait until a query has as many series."""
    return wait_for(lambda: server.query(query), lambda found: len(found) >= expected)


def request_of(declared: semconv.Metric, resource: dict[str, Any], **attributes: str) -> Any:
    """Return a request with one data point of a metric: 3, in a histogram too; sums are deltas."""
    request = ExportMetricsServiceRequest()
    of_resource = request.resource_metrics.add()
    for key, value in resource.items():
        set_value(of_resource.resource.attributes.add(key=key).value, value)
    metric = of_resource.scope_metrics.add().metrics.add(name=declared.name, unit=declared.unit)
    now = time.time_ns()
    times = {"start_time_unix_nano": now - 10**9, "time_unix_nano": now}
    point: Any
    if declared.kind == "histogram":
        metric.histogram.aggregation_temporality = DELTA
        point = metric.histogram.data_points.add(
            **times, count=1, sum=3.0, explicit_bounds=[1, 5], bucket_counts=[0, 1, 0]
        )
    elif declared.kind == "counter":
        metric.sum.aggregation_temporality, metric.sum.is_monotonic = DELTA, True
        point = metric.sum.data_points.add(**times, as_int=3)
    else:
        point = metric.gauge.data_points.add(time_unix_nano=now, as_double=3.0)
    for key, value in attributes.items():
        set_value(point.attributes.add(key=key).value, value)
    return request


def test_every_metric_has_the_name_and_the_labels_that_the_docs_have(
    server: Prometheus, started: RunningCollector
) -> None:
    mark = secrets.token_hex(4)
    for declared in semconv.metrics():
        attributes = dict.fromkeys(declared.attributes, "x") | {"mark": mark}
        started.send(request_of(declared, LABELS | {"service.instance.id": str(uuid.uuid4())}, **attributes))
    wanted = set()
    for declared in semconv.metrics():
        name = prometheus_names.metric(declared)
        parts = ("_bucket", "_count", "_sum") if declared.kind == "histogram" else ("",)
        wanted |= {f"{name}{part}" for part in parts}
    query = f'{{mark="{mark}",le=~"|5.0|5"}}'
    found = answer(server, query, len(wanted))
    assert {labels["__name__"] for labels, _ in found} == wanted
    runs_may_be_named = prometheus_names.metric(semconv.METRIC_FLOW_RUN_FAILED)
    declared_labels = {
        prometheus_names.metric(declared): {prometheus_names.label(name) for name in declared.attributes}
        for declared in semconv.metrics()
    }
    for labels, value in found:
        name = labels["__name__"]
        base = next(each for each in declared_labels if name in {each, *(f"{each}_{p}" for p in PARTS)})
        assert set(labels) == declared_labels[base] | set(AS_LABELS) | {"__name__", "mark"} | (
            {"le"} if name.endswith("_bucket") else set()
        )
        assert ("flow_run_id" in labels) == (name == runs_may_be_named)
        assert value == (1 if name.endswith(("_bucket", "_count")) else 3)


PARTS = ("bucket", "count", "sum")


def test_what_two_short_lived_processes_added_is_summed_by_sum_over_time(
    server: Prometheus, started: RunningCollector
) -> None:
    table = secrets.token_hex(4)
    for _ in range(2):
        resource = LABELS | {"service.instance.id": str(uuid.uuid4())}
        started.send(request_of(semconv.METRIC_TABLE_ROWS, resource, table=table))
        time.sleep(0.01)
    query = f'sum_over_time(pipeline_table_rows_total{{table="{table}"}}[1h])'
    found = wait_for(lambda: server.query(query), lambda each: [value for _, value in each] == [6])
    assert found == [(AS_LABELS | {"table": table}, 6)]


def test_points_of_one_series_in_the_same_millisecond_are_summed_and_not_lost(
    server: Prometheus, started: RunningCollector
) -> None:
    table = secrets.token_hex(4)
    request = ExportMetricsServiceRequest()
    for _ in range(50):
        each = request_of(
            semconv.METRIC_TABLE_ROWS, LABELS | {"service.instance.id": str(uuid.uuid4())}, table=table
        )
        request.resource_metrics.extend(each.resource_metrics)
    moment = time.time_ns()
    for number, of_resource in enumerate(request.resource_metrics):
        of_resource.scope_metrics[0].metrics[0].sum.data_points[0].time_unix_nano = moment + number
    started.send(request)
    query = f'sum_over_time(pipeline_table_rows_total{{table="{table}"}}[1h])'
    assert answer(server, query) == [(AS_LABELS | {"table": table}, 150)]


def test_a_running_total_is_written_as_what_was_added(server: Prometheus, started: RunningCollector) -> None:
    """As SDKs send it that were not told otherwise."""
    table = secrets.token_hex(4)
    resource = LABELS | {"service.instance.id": str(uuid.uuid4())}
    began = time.time_ns()
    for total in (3, 10, 12):
        request = request_of(semconv.METRIC_TABLE_ROWS, resource, table=table)
        metric = request.resource_metrics[0].scope_metrics[0].metrics[0]
        metric.sum.aggregation_temporality = CUMULATIVE
        metric.sum.data_points[0].as_int = total
        metric.sum.data_points[0].start_time_unix_nano = began
        started.send(request)
        time.sleep(0.01)
    query = f'sum_over_time(pipeline_table_rows_total{{table="{table}"}}[1h])'
    found = wait_for(lambda: server.query(query), lambda each: [value for _, value in each] == [12])
    assert found == [(AS_LABELS | {"table": table}, 12)]


def test_a_count_that_waited_for_longer_than_prometheus_takes_is_written_late(
    server: Prometheus, started: RunningCollector
) -> None:
    table = secrets.token_hex(4)
    request = request_of(semconv.METRIC_TABLE_ROWS, LABELS, table=table)
    point = request.resource_metrics[0].scope_metrics[0].metrics[0].sum.data_points[0]
    point.time_unix_nano -= 5 * 3600 * 10**9
    started.send(request)
    query = f'sum_over_time(pipeline_table_rows_total{{table="{table}"}}[1h])'
    assert answer(server, query) == [(AS_LABELS | {"table": table}, 3)]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_negative_count_and_a_number_that_is_none_are_not_written(
    server: Prometheus, started: RunningCollector, value: float
) -> None:
    table = secrets.token_hex(4)
    negative = request_of(semconv.METRIC_TABLE_ROWS, LABELS, table=table)
    negative.resource_metrics[0].scope_metrics[0].metrics[0].sum.data_points[0].as_int = -3
    nothing = request_of(semconv.METRIC_TABLE_COMPLETENESS, LABELS, table=table)
    nothing.resource_metrics[0].scope_metrics[0].metrics[0].gauge.data_points[0].as_double = value
    for request in (negative, nothing, request_of(semconv.METRIC_TABLE_SIZE, LABELS, table=table)):
        started.send(request)
    found = answer(server, f'{{table="{table}"}}')
    assert [labels["__name__"] for labels, _ in found] == ["pipeline_table_size_bytes_total"]


def of_task(state: str, seconds: float, **attributes: Any) -> Any:
    end = time.time_ns()
    return otlp.span(
        "task load",
        secrets.token_hex(16),
        secrets.token_hex(8),
        attributes={
            semconv.PREFECT_RUN_TYPE: "task",
            semconv.TASK_NAME: "load",
            semconv.PREFECT_STATE_TYPE: state,
            **attributes,
        },
        startTimeUnixNano=str(end - int(seconds * 1e9)),
        endTimeUnixNano=str(end),
    )


def test_runs_of_tasks_are_measured_from_their_spans(server: Prometheus, started: RunningCollector) -> None:
    source = secrets.token_hex(4)
    resource = LABELS | {semconv.SOURCE: source, "service.instance.id": "a"}
    spans = otlp.traces(
        resource,
        of_task("COMPLETED", 2.0),
        of_task("COMPLETED", 4.0),
        of_task("FAILED", 8.0, **{semconv.ERROR_TYPE: "ValueError"}),
    )
    spans.resource_spans[0].scope_spans[0].scope.name = "prefect"
    started.send(spans)
    labels = AS_LABELS | {"source": source, "task_name": "load"}
    query = f'sum_over_time(prefect_task_run_duration_seconds_sum{{source="{source}"}}[1h])'
    assert sorted(answer(server, query, 2), key=lambda each: each[1]) == [
        (labels | {"state": "completed"}, pytest.approx(6, abs=1e-3)),
        (labels | {"state": "failed"}, pytest.approx(8, abs=1e-3)),
    ]
    count = (
        f'sum_over_time(prefect_task_run_duration_seconds_count{{source="{source}",state="completed"}}[1h])'
    )
    assert [value for _, value in server.query(count)] == [2]
    errors = f'sum_over_time(pipeline_errors_total{{source="{source}"}}[1h])'
    assert answer(server, errors) == [(AS_LABELS | {"source": source, "error_type": "ValueError"}, 1)]


def test_programs_and_jobs_are_measured_and_spans_of_other_kinds_are_not(
    server: Prometheus, started: RunningCollector
) -> None:
    source = secrets.token_hex(4)

    def span(**attributes: Any) -> Any:
        named = {key.replace("__", "."): value for key, value in attributes.items()}
        return otlp.span("x", secrets.token_hex(16), secrets.token_hex(8), attributes=named)

    spans = otlp.traces(
        LABELS | {semconv.SOURCE: source},
        span(process__executable__name="dbt"),
        span(job__name="transform", error__type="exit 2"),
        span(process__executable__name="dbt", aws__xray__inprogress=True),
        span(http__method="GET", error__type="timeout"),
    )
    spans.resource_spans[0].scope_spans[0].scope.name = semconv.PROGRAM_SCOPE
    spans.resource_spans[0].scope_spans[0].spans[3].name = "GET"
    other = spans.resource_spans[0].scope_spans.add()
    other.spans.append(spans.resource_spans[0].scope_spans[0].spans.pop())
    started.send(spans)
    labels = AS_LABELS | {"source": source}
    query = f'sum_over_time(pipeline_process_duration_seconds_count{{source="{source}"}}[1h])'
    assert sorted(answer(server, query, 2), key=lambda each: each[0]["process"]) == [
        (labels | {"process": "dbt"}, 1),
        (labels | {"process": "transform", "error_type": "exit 2"}, 1),
    ]
    errors = f'sum_over_time(pipeline_errors_total{{source="{source}"}}[1h])'
    assert answer(server, errors) == [(labels | {"error_type": "exit 2"}, 1)]


def test_a_failed_run_is_named_and_its_exemplar_leads_to_the_trace(
    server: Prometheus, started: RunningCollector
) -> None:
    run = uuid.uuid4()
    span = flow_span(failed=True, run=run)
    span.span.trace_id = run.bytes
    now = time.time_ns()
    span.span.start_time_unix_nano, span.span.end_time_unix_nano = now - 3 * 10**9, now
    started.send(finished_runs.measured(span, "failed", now))
    (failed,) = answer(server, f'prefect_flow_run_failed_seconds{{flow_run_id="{run}"}}')
    assert failed[1] == pytest.approx(now / 1e9, abs=1e-3)
    window = {"start": str(now / 1e9 - 60), "end": str(now / 1e9 + 60)}

    def exemplars() -> set[str]:
        series = server.api("query_exemplars", {"query": "prefect_flow_runs_finished_total", **window})
        return {each["labels"]["trace_id"] for one in series for each in one["exemplars"]}

    assert run.hex in wait_for(exemplars, lambda found: run.hex in found)
