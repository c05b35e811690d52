"""Gives records that belong to another run than their Resource says a Resource of their own.

A process may do the work of several runs: a flow that runs other flows, or one that learned its run's id
only after it had started. Each record says its run (``flow_run_id``); its Resource is what the names of
flow and deployment are added to. Order within a run is kept, and so is every byte of the records.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from google.protobuf.message import DecodeError
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from otel_prefect import ids, semconv
from sidecar import wire
from sidecar.otlp import LOGS, TRACES

if TYPE_CHECKING:
    from sidecar.otlp import Signal
    from sidecar.wire import Field, ResourceX

_RECORD_TYPES: dict[Signal, type[Span | LogRecord]] = {TRACES: Span, LOGS: LogRecord}
# How an attribute ``flow_run_id`` is encoded: KeyValue.key, then KeyValue.value, an AnyValue with a string.
_KEY = wire.message_field(1, semconv.RECORD_FLOW_RUN_ID.encode())
# How many bytes of a ``ResourceX`` may be written again for each run: Resource, scopes, unknown fields.
# A request of many runs with a huge Resource would grow with their product; it is left as it is.
_MAX_COPIED = 16 * 1024 * 1024
# Attributes of a Resource that speak of its run and are wrong on another's.
_OF_THE_RUN = frozenset(
    (
        semconv.FLOW_RUN_ID,
        semconv.FLOW_RUN_NAME,
        semconv.FLOW_RUN_TAGS,
        semconv.FLOW_RUN_COUNT,
        semconv.FLOW_RUN_PARENT_ID,
        semconv.FLOW_RUN_LATENESS,
        semconv.FLOW_RUN_AUTO_SCHEDULED,
        semconv.FLOW_ID,
        semconv.FLOW_NAME,
        semconv.DEPLOYMENT_ID,
        semconv.DEPLOYMENT_NAME,
        semconv.DEPLOYMENT_VERSION,
        semconv.WORK_POOL_NAME,
        semconv.WORK_QUEUE_NAME,
    )
)


def divide(signal: Signal, body: bytes, of_resource: ResourceX, own: str | None) -> list[bytes]:
    """Divide a ``ResourceX`` by the runs of its records.

    Args:
        signal: what it carries. Metrics never name a run.
        body: what it lies in.
        of_resource: it.
        own: the run that its Resource names, as it is written there; None where it names none.

    Returns:
        One ``ResourceX`` a run, that of the Resource first; nothing where there is but that one.
    """
    record_type = _RECORD_TYPES.get(signal)
    if record_type is None:
        return []
    start, end = of_resource.start, of_resource.end
    named = body.count(_KEY, start, end)
    # Nearly always all records are of the Resource's run. Two searches tell: 0.1 µs a record.
    if named == 0:
        return []
    if own is not None and body.count(_says(own), start, end) == named:
        return []
    try:
        parts = _take_apart(signal, body, of_resource, record_type, own)
        if parts.runs.keys() <= {None} or parts.copied(of_resource.resource) > _MAX_COPIED:
            return []
        return [
            parts.of_run(_resource_of(of_resource.resource, run), run)
            for run in sorted(parts.runs, key=lambda run: run is not None)  # the Resource's own first
        ]
    except DecodeError:
        return []  # the Collector refuses it, and says why


@dataclass(frozen=True)
class _Parts:
    """A ``ResourceX`` taken apart.

    Attributes:
        shells: of each scope, the bytes of all that is no record.
        others: the bytes of what is neither Resource nor scope.
        runs: by run, and by the scope's position, the bytes of its records, tags and all; None stands for
            the Resource's own run.
    """

    shells: list[bytearray]
    others: bytearray
    runs: dict[str | None, dict[int, bytearray]]

    def copied(self, resource: bytes) -> int:
        """Return how many bytes are written once for each run."""
        shells = sum(len(self.shells[position]) for scopes in self.runs.values() for position in scopes)
        return len(self.runs) * (len(resource) + len(self.others)) + shells

    def of_run(self, resource: bytes, run: str | None) -> bytes:
        """Return the ``ResourceX`` of a run."""
        scopes = [
            wire.message_field(wire.SCOPE_X, bytes(self.shells[position] + records))
            for position, records in self.runs[run].items()
        ]
        return b"".join((wire.message_field(wire.RESOURCE, resource), *scopes, self.others))


def _take_apart(
    signal: Signal, body: bytes, of_resource: ResourceX, record_type: type[Span | LogRecord], own: str | None
) -> _Parts:
    """Sort the bytes of a ``ResourceX``. Copied as they are met: an object a record would cost more memory.

    Raises:
        DecodeError: a record is none.
    """
    parts = _Parts([], bytearray(), {})
    for field in wire.fields(body, of_resource.start, of_resource.end, signal.frames.resources):
        if field.number == wire.SCOPE_X:
            position = len(parts.shells)
            parts.shells.append(shell := bytearray())
            for inner in wire.fields(body, field.start, field.end, signal.frames.scopes):
                target = shell
                if inner.number == wire.RECORD:
                    run = _run_of(record_type, body, inner)
                    of_run = parts.runs.setdefault(None if run == own else run, {})
                    target = of_run.setdefault(position, bytearray())
                target.extend(body[inner.tag_start : inner.end])
        elif field.number != wire.RESOURCE:
            parts.others.extend(body[field.tag_start : field.end])
    return parts


def _run_of(record_type: type[Span | LogRecord], body: bytes, field: Field) -> str | None:
    """Return the run that a record names, as it is written there; None where that is no flow run id."""
    if body.find(_KEY, field.start, field.end) < 0:
        return None
    record = record_type.FromString(body[field.start : field.end])
    for attribute in record.attributes:
        if attribute.key == semconv.RECORD_FLOW_RUN_ID:
            written = attribute.value.string_value
            try:
                ids.parse_flow_run_id(written)
            except ValueError:
                return None
            return written
    return None


def _resource_of(resource: bytes, run: str | None) -> bytes:
    """Return the Resource for a run: without what was said of another one."""
    if run is None:
        return resource
    decoded = Resource.FromString(resource)
    kept = [attribute for attribute in decoded.attributes if attribute.key not in _OF_THE_RUN]
    del decoded.attributes[:]
    decoded.attributes.extend(kept)
    decoded.attributes.add(key=semconv.FLOW_RUN_ID).value.string_value = run
    return decoded.SerializeToString()


def _says(run: str) -> bytes:
    return wire.string_attribute(semconv.RECORD_FLOW_RUN_ID, run)
