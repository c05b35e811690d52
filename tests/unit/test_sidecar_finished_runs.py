"""Finished runs are counted by their final state, each once, by Prefect's word where it is to be had."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality, Metric, NumberDataPoint
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from otel_prefect import semconv
from sidecar import finished_runs
from sidecar.finished_runs import FinishedRuns, measured
from sidecar.open_spans import OpenSpan
from sidecar.otlp import METRICS
from sidecar.own_data import OwnData
from tests.support.otlp_sink import attributes

if TYPE_CHECKING:
    from sidecar.otlp import Signal

RUN = UUID("3c32c202-9955-4b90-b936-5fbd34f1a6d5")


class Kept(OwnData):
    """Keeps what it is given, and takes it or not."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.takes = True

    async def send(self, signal: Signal, body: bytes) -> bool:
        assert signal is METRICS
        if self.takes:
            self.bodies.append(body)
        return self.takes

    def counted(self) -> list[str]:
        return [str(attributes(point.attributes)["state"]) for point in self.points()]

    def points(self) -> list[NumberDataPoint]:
        return [
            point
            for body in self.bodies
            for of_resource in ExportMetricsServiceRequest.FromString(body).resource_metrics
            for metric in of_resource.scope_metrics[0].metrics
            for point in metric.sum.data_points
        ]


def flow_span(
    *,
    failed: bool = False,
    died: bool = False,
    said: str | None = None,
    state: str | None = None,
    run: UUID = RUN,
) -> OpenSpan:
    span = Span(name="wise-otter", end_time_unix_nano=2_000)
    for key, value in {semconv.PREFECT_RUN_TYPE: "flow", semconv.PREFECT_RUN_ID: str(run)}.items():
        span.attributes.add(key=key).value.string_value = value
    if state is not None:
        span.attributes.add(key=semconv.PREFECT_STATE_TYPE).value.string_value = state
    if died:
        span.attributes.add(key=semconv.CLOSED_BY).value.string_value = "sidecar"
    if failed or died:
        span.status.code = Status.STATUS_CODE_ERROR
    for each in filter(None, ("RUNNING", said)):
        event = span.events.add(name=each)
        event.attributes.add(key=semconv.PREFECT_STATE_TYPE).value.string_value = each
    resource = Resource()
    resource.attributes.add(key=semconv.FLOW_NAME).value.string_value = "daily-sales"
    return OpenSpan(resource, InstrumentationScope(name="prefect"), span)


def runs(state: str | None, kept: Kept) -> FinishedRuns:
    async def ask(_: UUID) -> str | None:
        return state

    return FinishedRuns(ask, kept)


async def counted(state: str | None, span: OpenSpan) -> list[str]:
    kept = Kept()
    finished = runs(state, kept)
    finished.ended([span])
    await finished.count_the_rest()
    return kept.counted()


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("COMPLETED", ["completed"]),
        ("FAILED", ["failed"]),
        ("CRASHED", ["crashed"]),
        ("CANCELLED", ["cancelled"]),
        ("CANCELLING", ["cancelled"]),
        ("PAUSED", []),
        ("SCHEDULED", []),
    ],
)
async def test_prefects_word_counts_and_not_the_spans(state: str, expected: list[str]) -> None:
    assert await counted(state, flow_span(failed=True)) == expected


@pytest.mark.parametrize(
    ("span", "expected"),
    [
        (flow_span(), "completed"),
        (flow_span(failed=True), "failed"),
        (flow_span(failed=True, said="CANCELLED"), "cancelled"),
        (flow_span(failed=True, said="COMPLETED"), "completed"),
        (flow_span(died=True), "crashed"),
        (flow_span(failed=True, said="FAILED", state="CRASHED"), "crashed"),
        (flow_span(failed=True, state="SCHEDULED"), None),
        (flow_span(state="PAUSED"), None),
    ],
)
async def test_without_prefects_word_the_spans_counts(span: OpenSpan, expected: str | None) -> None:
    assert await counted(None, span) == [expected] * (expected is not None)


@pytest.mark.parametrize(("state", "expected"), [("RUNNING", ["crashed"]), ("SCHEDULED", [])])
async def test_a_run_that_died_has_crashed_unless_prefect_starts_it_anew(
    state: str, expected: list[str]
) -> None:
    assert await counted(state, flow_span(died=True)) == expected


async def test_a_run_that_prefect_tries_again_is_counted_once_when_it_is_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(finished_runs, "_ASK_SECONDS", 0.01)
    states = iter(["SCHEDULED", "RUNNING", "RUNNING", "COMPLETED"])
    asked = []

    async def ask(run_id: UUID) -> str:
        asked.append(run_id)
        return next(states)

    kept = Kept()
    finished = FinishedRuns(ask, kept)
    watching = asyncio.create_task(finished.watch())
    finished.ended([flow_span(failed=True)])
    while not kept.bodies:
        await asyncio.sleep(0.01)
    finished.ended([flow_span()])  # the end of the second attempt
    await finished.count_the_rest()
    watching.cancel()
    assert kept.counted() == ["completed"]
    assert asked == [RUN] * 4


async def test_a_count_that_was_not_taken_is_sent_again() -> None:
    kept = Kept()
    finished = runs("COMPLETED", kept)
    finished.ended([flow_span()])
    kept.takes = False
    await finished.count_the_rest()
    kept.takes = True
    await finished.count_the_rest()
    await finished.count_the_rest()
    assert kept.counted() == ["completed"]


def metrics_of(outcome: str, span: OpenSpan) -> tuple[dict[str, object], dict[str, Metric]]:
    """Return the Resource's attributes and the metrics by their names, of a run that finished at 9 ns."""
    (of_resource,) = measured(span, outcome, 9).resource_metrics
    return attributes(of_resource.resource.attributes), {
        metric.name: metric for metric in of_resource.scope_metrics[0].metrics
    }


def test_the_count_is_a_delta_sum_of_one_under_the_runs_resource() -> None:
    resource, metrics = metrics_of("failed", flow_span())
    assert resource == {semconv.FLOW_NAME: "daily-sales"}
    metric = metrics["prefect.flow_runs.finished"]
    assert metric.unit == "{run}"
    assert metric.sum.is_monotonic
    assert metric.sum.aggregation_temporality == AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA
    (point,) = metric.sum.data_points
    assert (point.as_int, point.WhichOneof("value"), point.time_unix_nano) == (1, "as_int", 9)
    assert attributes(point.attributes) == {"state": "failed"}


@pytest.mark.parametrize(
    ("seconds", "bucket"), [(0.05, 0), (0.1, 0), (0.2, 1), (60, 6), (61, 7), (10**6, 15)]
)
def test_the_duration_is_in_the_bucket_whose_bound_it_does_not_exceed(seconds: float, bucket: int) -> None:
    span = flow_span()
    span.span.end_time_unix_nano = round(seconds * 1e9)
    (point,) = metrics_of("completed", span)[1]["prefect.flow_run.duration"].histogram.data_points
    assert (point.count, point.sum, point.min, point.max) == (1, seconds, seconds, seconds)
    assert list(point.bucket_counts) == [int(index == bucket) for index in range(16)]
    assert list(point.explicit_bounds) == list(finished_runs.BOUNDS)


def test_a_run_that_ended_before_it_began_took_no_time() -> None:
    span = flow_span()
    span.span.start_time_unix_nano = 5_000
    (point,) = metrics_of("completed", span)[1]["prefect.flow_run.duration"].histogram.data_points
    assert point.sum == 0


def test_exemplars_lead_from_a_count_and_a_duration_to_the_trace() -> None:
    span = flow_span()
    span.span.trace_id = RUN.bytes
    metrics = metrics_of("completed", span)[1]
    for point in (
        metrics["prefect.flow_runs.finished"].sum.data_points[0],
        metrics["prefect.flow_run.duration"].histogram.data_points[0],
    ):
        assert [exemplar.trace_id for exemplar in point.exemplars] == [RUN.bytes]


def test_of_a_run_that_completed_only_the_time_is_kept() -> None:
    metrics = metrics_of("completed", flow_span())[1]
    (point,) = metrics["prefect.flow_run.completed"].gauge.data_points
    assert point.as_double == 2_000 / 1e9
    assert attributes(point.attributes) == {}
    assert "prefect.flow_run.failed" not in metrics


@pytest.mark.parametrize("outcome", ["failed", "crashed"])
def test_a_run_that_failed_is_named_with_what_it_failed_with(outcome: str) -> None:
    span = flow_span()
    span.span.trace_id = RUN.bytes
    for key, value in {semconv.ERROR_TYPE: "ValueError", semconv.PREFECT_RUN_NAME: "wise-otter"}.items():
        span.span.attributes.add(key=key).value.string_value = value
    metrics = metrics_of(outcome, span)[1]
    (point,) = metrics["prefect.flow_run.failed"].gauge.data_points
    assert attributes(point.attributes) == {
        "state": outcome,
        "error.type": "ValueError",
        "flow_run_id": str(RUN),
        "flow_run_name": "wise-otter",
        "xray_trace_id": "1-3c32c202-99554b90b9365fbd34f1a6d5",
    }
    assert "prefect.flow_run.completed" not in metrics


@pytest.mark.parametrize(
    ("parent", "flags", "named"),
    [(b"", 0x100, True), (b"parent00", 0x300, True), (b"parent00", 0x100, False), (b"parent00", 0, True)],
    ids=["of its own", "of a deployment that a run has started", "called in a run's process", "not told"],
)
def test_a_run_that_another_one_called_is_counted_and_left_to_that(
    parent: bytes, flags: int, named: bool
) -> None:
    span = flow_span(failed=True)
    span.span.parent_span_id, span.span.flags = parent, flags
    metrics = metrics_of("failed", span)[1]
    assert ("prefect.flow_run.failed" in metrics) == named
    assert "prefect.flow_runs.finished" in metrics


def test_a_cancelled_run_neither_completed_nor_failed() -> None:
    assert set(metrics_of("cancelled", flow_span())[1]) == {
        "prefect.flow_runs.finished",
        "prefect.flow_run.duration",
    }


async def test_spans_that_are_no_flow_runs_are_not_counted() -> None:
    span = flow_span()
    span.span.attributes[1].value.string_value = "not an id"
    assert await counted("COMPLETED", span) == []


async def test_the_memory_of_runs_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finished_runs, "_REMEMBERED", 3)
    finished = runs("PAUSED", Kept())
    finished.ended(flow_span(run=UUID(int=number << 64)) for number in range(1, 10))
    assert len(finished._undecided) == 3
