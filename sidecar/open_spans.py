"""Remembers the runs that have started and not ended, and ends them where their process could not.

The library sends the span of a flow run, a task run or a program when it starts, marked as in progress, and
again when it ends. A process that is killed sends no end: what is open then is closed here.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import SeverityNumber
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from otel_prefect import ids, semconv
from sidecar.attributes import set_value, text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
    from opentelemetry.proto.resource.v1.resource_pb2 import Resource

_log = logging.getLogger("sidecar.open_spans")

# Spans remembered; a killed process leaves the run it was in and the tasks that ran at once.
LIMIT: Final = 4096
# Up to so many programs, the end of one is found by searching for its id (some 15 µs each in 100 KB); beyond
# that by decoding all spans.
_SEARCHED: Final = 16
# Marks in the bytes of a request: a span that has only started, a run of Prefect.
_IN_PROGRESS: Final = semconv.XRAY_IN_PROGRESS.encode()
_OF_A_RUN: Final = semconv.PREFECT_RUN_ID.encode()
# How Span.span_id (field 2, 8 bytes) is encoded; a parent's id is another field.
_SPAN_ID: Final = b"\x12\x08"
_CLOSED_BY_US: Final = "sidecar"
# Prefect's state type of a run that its infrastructure has ended.
_CRASHED: Final = "CRASHED"


@dataclass(frozen=True)
class OpenSpan:
    """A span that has started: as it was sent, with what stood around it."""

    resource: Resource
    scope: InstrumentationScope
    span: Span

    @property
    def container_id(self) -> str | None:
        """The container that sent it, where it said so."""
        return text(self.resource.attributes, semconv.CONTAINER_ID)

    @property
    def flow_run_id(self) -> str | None:
        """The flow run that it belongs to, as it is written there."""
        return text(self.span.attributes, semconv.RECORD_FLOW_RUN_ID) or text(
            self.resource.attributes, semconv.FLOW_RUN_ID
        )

    @property
    def is_of_prefect(self) -> bool:
        """Whether it is a run of a flow or a task, by Prefect's own attributes."""
        return text(self.span.attributes, semconv.PREFECT_RUN_ID) is not None

    @property
    def closed_by_us(self) -> bool:
        """Whether it was ended here, in place of its process."""
        return text(self.span.attributes, semconv.CLOSED_BY) == _CLOSED_BY_US

    @property
    def own_flow_run_id(self) -> str | None:
        """The flow run that it *is*, by Prefect's own attributes; None for all other spans."""
        if text(self.span.attributes, semconv.PREFECT_RUN_TYPE) != "flow":
            return None
        return text(self.span.attributes, semconv.PREFECT_RUN_ID)


@dataclass(frozen=True)
class Cause:
    """Why a span could not end.

    Attributes:
        kind: for ``exception.type``.
        message: for ``exception.message``, the status and the log record.
        time_unix_nano: when.
    """

    kind: str
    message: str
    time_unix_nano: int


def mentions_runs(body: bytes) -> bool:
    """Tell whether a request of traces has spans of runs in it: two searches, 0.1 µs a span together."""
    return _OF_A_RUN in body or _IN_PROGRESS in body


class OpenSpans:
    """The spans that are open. Each is known by its trace id and span id."""

    def __init__(self) -> None:
        self._open: OrderedDict[bytes, OpenSpan] = OrderedDict()
        # Those that are no runs of Prefect: nothing in the bytes of their end says that it is one.
        self._programs: set[bytes] = set()
        # A start that was overtaken by its end must not open the span again.
        self._ended: OrderedDict[bytes, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[OpenSpan]:
        return iter(list(self._open.values()))

    def observe(self, body: bytes, *, of_runs: bool) -> list[OpenSpan]:
        """Note what a request of traces starts and ends.

        Args:
            body: the request.
            of_runs: what :func:`mentions_runs` says of it.

        Returns:
            The spans of flow runs that ended in it.
        """
        if not of_runs and not self._may_end_a_program(body):
            return []
        try:
            request = ExportTraceServiceRequest.FromString(body)
        except DecodeError:
            return []  # the Collector refuses it
        starts = _IN_PROGRESS in body
        ended = []
        for of_resource in request.resource_spans:
            for of_scope in of_resource.scope_spans:
                # Reading the attributes of every span would double what the sidecar costs.
                to_read = starts or of_scope.scope.name == semconv.PREFECT_SCOPE
                for span in of_scope.spans:
                    key = _key(span)
                    if not to_read and key not in self._open:
                        continue
                    seen = OpenSpan(of_resource.resource, of_scope.scope, span)
                    if _in_progress(span):
                        self._start(key, seen)
                    elif self._end(key, seen) and seen.own_flow_run_id is not None:
                        ended.append(seen)
        return ended

    def close(self, spans: Iterable[OpenSpan], cause: Cause) -> tuple[bytes, bytes]:
        """Forget these spans and make what their process would have sent.

        Args:
            spans: of those that are open.
            cause: why they could not end.

        Returns:
            A request of traces that ends each as failed, and one of logs with one record at FATAL for each
            flow run.
        """
        traces, logs = ExportTraceServiceRequest(), ExportLogsServiceRequest()
        told: set[str | None] = set()
        for each in spans:
            self._end(_key(each.span), each)
            of_resource = traces.resource_spans.add(resource=each.resource)
            of_scope = of_resource.scope_spans.add(scope=each.scope)
            of_scope.spans.append(_ended(each.span, cause))
            if each.flow_run_id not in told:
                told.add(each.flow_run_id)
                _tell(logs, each, cause)
        return traces.SerializeToString(), logs.SerializeToString()

    def _may_end_a_program(self, body: bytes) -> bool:
        if len(self._programs) > _SEARCHED:
            return True
        return any(_SPAN_ID + key[-8:] in body for key in self._programs)

    def _start(self, key: bytes, started: OpenSpan) -> None:
        if key in self._ended:
            return
        self._open[key] = started
        if not started.is_of_prefect:
            self._programs.add(key)
        if len(self._open) > LIMIT:
            forgotten, _ = self._open.popitem(last=False)
            self._programs.discard(forgotten)
            _log.warning(
                "more than %d runs are open at once; the oldest is not closed if it is killed", LIMIT
            )

    def _end(self, key: bytes, ended: OpenSpan) -> bool:
        """Forget a span that has ended; tell whether it is a run's."""
        was_open = self._open.pop(key, None) is not None
        self._programs.discard(key)
        if not was_open and not ended.is_of_prefect:
            return False
        self._ended[key] = None
        if len(self._ended) > LIMIT:
            self._ended.popitem(last=False)
        return True


def _key(span: Span) -> bytes:
    return span.trace_id + span.span_id


def _in_progress(span: Span) -> bool:
    return any(a.key == semconv.XRAY_IN_PROGRESS and a.value.bool_value for a in span.attributes)


def _ended(started: Span, cause: Cause) -> Span:
    """Return the span as failed: https://opentelemetry.io/docs/specs/semconv/exceptions/exceptions-spans/."""
    span = Span()
    span.CopyFrom(started)
    kept = [attribute for attribute in span.attributes if attribute.key != semconv.XRAY_IN_PROGRESS]
    del span.attributes[:]
    span.attributes.extend(kept)
    set_value(span.attributes.add(key=semconv.CLOSED_BY).value, _CLOSED_BY_US)
    set_value(span.attributes.add(key=semconv.ERROR_TYPE).value, cause.kind)
    if text(span.attributes, semconv.PREFECT_RUN_TYPE) is not None:
        set_value(span.attributes.add(key=semconv.PREFECT_STATE_TYPE).value, _CRASHED)
    span.end_time_unix_nano = max(cause.time_unix_nano, span.start_time_unix_nano)
    span.status.code, span.status.message = Status.STATUS_CODE_ERROR, cause.message
    event = span.events.add(name="exception", time_unix_nano=span.end_time_unix_nano)
    set_value(event.attributes.add(key=semconv.EXCEPTION_TYPE).value, cause.kind)
    set_value(event.attributes.add(key=semconv.EXCEPTION_MESSAGE).value, cause.message)
    return span


def _tell(logs: ExportLogsServiceRequest, of: OpenSpan, cause: Cause) -> None:
    of_scope = logs.resource_logs.add(resource=of.resource).scope_logs.add()
    of_scope.scope.name = _log.name
    record = of_scope.log_records.add(
        time_unix_nano=cause.time_unix_nano,
        observed_time_unix_nano=cause.time_unix_nano,
        severity_number=SeverityNumber.SEVERITY_NUMBER_FATAL,
        severity_text="FATAL",
        trace_id=of.span.trace_id,
        span_id=of.span.span_id,
    )
    record.body.string_value = cause.message
    attributes = {
        semconv.EXCEPTION_TYPE: cause.kind,
        semconv.EXCEPTION_MESSAGE: cause.message,
        semconv.XRAY_TRACE_ID: ids.xray_trace_id(int.from_bytes(of.span.trace_id, "big")),
    }
    if of.flow_run_id is not None:
        attributes[semconv.RECORD_FLOW_RUN_ID] = of.flow_run_id
    for key, value in attributes.items():
        set_value(record.attributes.add(key=key).value, value)
