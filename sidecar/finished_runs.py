"""Measures the flow runs that have finished: how many, in which final state, how long they took; each once.

The span of a flow run ends with each attempt, and may end wrong: after a retry it still says what the first
attempt came to. So Prefect's API is asked for the state, and what the span says counts only where the API
does not answer. Nothing waits for it.
"""

from __future__ import annotations

import asyncio
import bisect
import contextlib
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality, Exemplar
from opentelemetry.proto.trace.v1.trace_pb2 import SpanFlags, Status

from otel_prefect import __version__, ids, semconv
from sidecar.attributes import set_value, text
from sidecar.otlp import METRICS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from uuid import UUID

    from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric, ScopeMetrics
    from opentelemetry.proto.trace.v1.trace_pb2 import Span

    from sidecar.open_spans import OpenSpan
    from sidecar.own_data import OwnData

COMPLETED: Final = "completed"
FAILED: Final = "failed"
CRASHED: Final = "crashed"
CANCELLED: Final = "cancelled"
# Prefect's state types that end a run: https://docs.prefect.io/v3/concepts/states
_FINAL: Final = {"COMPLETED": COMPLETED, "FAILED": FAILED, "CRASHED": CRASHED, "CANCELLED": CANCELLED}
# The metric that keeps when a run last ended so.
_LAST: Final = {
    COMPLETED: semconv.METRIC_FLOW_RUN_COMPLETED,
    FAILED: semconv.METRIC_FLOW_RUN_FAILED,
    CRASHED: semconv.METRIC_FLOW_RUN_FAILED,
}
BOUNDS: Final = (0.1, 0.5, 1, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400, 43200)
"""Bounds of the buckets of durations, in seconds; those in ``collector-config/base.yaml`` are the same."""
# How often Prefect is asked again about a run that goes on after its span has ended: it is tried again.
_ASK_SECONDS: Final = 2.0
# Runs remembered as counted, and waited for.
_REMEMBERED: Final = 4096


class FinishedRuns:
    """Counts finished runs.

    Args:
        state: asks Prefect for a run's state type; None where it does not answer.
        own_data: takes the metric.
    """

    def __init__(self, state: Callable[[UUID], Awaitable[str | None]], own_data: OwnData) -> None:
        self._state = state
        self._own_data = own_data
        self._undecided: OrderedDict[UUID, OpenSpan] = OrderedDict()
        self._counted: OrderedDict[UUID, None] = OrderedDict()
        self._arrived = asyncio.Event()

    def ended(self, spans: Iterable[OpenSpan]) -> None:
        """Note that these spans of flow runs have ended, by themselves or in place of their process."""
        for span in spans:
            with contextlib.suppress(ValueError):
                self._note(ids.parse_flow_run_id(span.own_flow_run_id or ""), span)

    async def watch(self) -> None:
        """Count runs for ever, as their states become final."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._undecided:
                await self._decide(last_call=False)
                if self._undecided:
                    await asyncio.sleep(_ASK_SECONDS)

    async def count_the_rest(self) -> None:
        """Count what can be told now: nobody will ask later."""
        if self._undecided:
            await self._decide(last_call=True)

    def _note(self, run_id: UUID, span: OpenSpan) -> None:
        if run_id in self._counted:
            return
        self._undecided[run_id] = span
        if len(self._undecided) > _REMEMBERED:
            self._undecided.popitem(last=False)
        self._arrived.set()

    async def _decide(self, *, last_call: bool) -> None:
        asked = list(self._undecided.items())
        states = await asyncio.gather(*(self._state(run_id) for run_id, _ in asked))
        for (run_id, ended), state in zip(asked, states, strict=True):
            outcome = _outcome(state, ended, last_call=last_call)
            if outcome is not None and await self._count(ended, outcome):
                self._undecided.pop(run_id, None)
                self._remember(run_id)

    def _remember(self, run_id: UUID) -> None:
        self._counted[run_id] = None
        if len(self._counted) > _REMEMBERED:
            self._counted.popitem(last=False)

    async def _count(self, span: OpenSpan, outcome: str) -> bool:
        return await self._own_data.send(METRICS, measured(span, outcome, time.time_ns()).SerializeToString())


def measured(ended: OpenSpan, outcome: str, now: int) -> ExportMetricsServiceRequest:
    """Return the metrics of one run that has finished.

    Sums are deltas: a sidecar lives for a run or some, and only what is new is meaningful.

    Args:
        ended: the span of its end.
        outcome: its final state, one of the four above.
        now: nanoseconds since 1970, when it is counted.
    """
    request = ExportMetricsServiceRequest()
    of_scope = request.resource_metrics.add(resource=ended.resource).scope_metrics.add()
    of_scope.scope.name, of_scope.scope.version = __name__, __version__
    span = ended.span
    # A clock that was set back in between makes no negative duration.
    seconds = max(span.end_time_unix_nano - span.start_time_unix_nano, 0) / 1e9
    exemplar = Exemplar(time_unix_nano=now, as_double=seconds, trace_id=span.trace_id, span_id=span.span_id)
    delta = AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA
    count = _metric(of_scope, semconv.METRIC_FINISHED_RUNS)
    count.sum.is_monotonic, count.sum.aggregation_temporality = True, delta
    duration = _metric(of_scope, semconv.METRIC_FLOW_RUN_DURATION)
    duration.histogram.aggregation_temporality = delta
    keeps_time = outcome in _LAST and not _is_part_of_another(span)
    when = _metric(of_scope, _LAST[outcome]) if keeps_time else None
    started = {"start_time_unix_nano": now - 1, "time_unix_nano": now}
    points: list[Any] = [
        count.sum.data_points.add(**started, as_int=1, exemplars=[exemplar]),
        duration.histogram.data_points.add(
            **started,
            **_histogram_of(seconds),
            exemplars=[exemplar],
        ),
    ]
    for point in points:
        set_value(point.attributes.add(key=semconv.STATE).value, outcome)
    if when is not None:
        point = when.gauge.data_points.add(time_unix_nano=now, as_double=span.end_time_unix_nano / 1e9)
        for key, value in _named(ended, outcome).items():
            set_value(point.attributes.add(key=key).value, value)
    return request


def _is_part_of_another(span: Span) -> bool:
    """Tell whether a run was called in another's process: then the other one fails with it, or has caught it.

    The run of a deployment that another run has started is a remote child: it fails by itself.
    https://github.com/open-telemetry/opentelemetry-proto/blob/main/opentelemetry/proto/trace/v1/trace.proto
    """
    known, remote = (
        span.flags & mask
        for mask in (
            SpanFlags.SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK,
            SpanFlags.SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK,
        )
    )
    return bool(span.parent_span_id and known and not remote)


def _metric(of_scope: ScopeMetrics, declared: semconv.Metric) -> Metric:
    return of_scope.metrics.add(name=declared.name, unit=declared.unit, description=declared.meaning)


def _histogram_of(seconds: float) -> dict[str, Any]:
    counts = [0] * (len(BOUNDS) + 1)
    counts[bisect.bisect_left(BOUNDS, seconds)] = 1  # a bound belongs to the bucket below it
    return {
        "count": 1,
        "sum": seconds,
        "min": seconds,
        "max": seconds,
        "explicit_bounds": BOUNDS,
        "bucket_counts": counts,
    }


def _named(ended: OpenSpan, outcome: str) -> dict[str, str]:
    """Return what says which run failed, and with what; nothing of one that did well."""
    if outcome == COMPLETED:
        return {}
    found = {
        semconv.STATE: outcome,
        semconv.ERROR_TYPE: text(ended.span.attributes, semconv.ERROR_TYPE),
        semconv.RECORD_FLOW_RUN_ID: ended.own_flow_run_id,
        semconv.RECORD_FLOW_RUN_NAME: text(ended.span.attributes, semconv.PREFECT_RUN_NAME),
        semconv.XRAY_TRACE_ID: ids.xray_trace_id(int.from_bytes(ended.span.trace_id, "big")),
    }
    return {key: value for key, value in found.items() if value is not None}


def _outcome(state: str | None, ended: OpenSpan, *, last_call: bool) -> str | None:
    """Return the final state of a run; None while it is not over, as far as can be told.

    Args:
        state: by Prefect's API; None where it does not answer.
        ended: how the run was last seen.
        last_call: whether it has to be told now or never.
    """
    if state in _FINAL:
        return _FINAL[state]
    if state is None:
        return _by_span(ended)
    if state == "CANCELLING":
        return CANCELLED if ended.closed_by_us or last_call else None
    if ended.closed_by_us:
        # Prefect notices a death only later, and may say SCHEDULED by then where it starts the run anew.
        return CRASHED if state in ("RUNNING", "PENDING") else None
    # RUNNING: it is being tried again, or Prefect has not heard of its end yet.
    return _by_span(ended) if last_call and state == "RUNNING" else None


def _by_span(ended: OpenSpan) -> str | None:
    """Return what the span itself says: the library's word, else Prefect's last event, else its status.

    None where that is no final state: the run goes on elsewhere, or is started anew.
    """
    if ended.closed_by_us:
        return CRASHED
    span = ended.span
    said = text(span.attributes, semconv.PREFECT_STATE_TYPE)
    if said is not None:
        return _FINAL.get(said)
    for event in reversed(span.events):
        of_event = text(event.attributes, semconv.PREFECT_STATE_TYPE)
        if of_event in _FINAL:
            return _FINAL[of_event]
    return FAILED if span.status.code == Status.STATUS_CODE_ERROR else COMPLETED
