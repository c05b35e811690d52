"""Adds to a Resource what the sidecar knows and the sender did not say.

A process sends the same Resource bytes in each of its requests, so the result is
kept by those bytes, together with the facts it was made from: it is made anew when
one of these is replaced (the facts are immutable, so identity tells).
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from google.protobuf.message import DecodeError
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from otel_prefect import ids, semconv

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from uuid import UUID

    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

    AttributeValue = str | bool | int | float | Sequence[str]
    Attributes = Mapping[str, AttributeValue]

# Distinct Resources kept: a process has one, and a task few processes. Beyond that the oldest goes.
CACHE_SIZE = 512


class Enricher:
    """Completes the Resources of everything that passes.

    Args:
        task: facts on this task: static attributes and what ECS says. Replaced as a whole when known.
        run_facts: gives what is known now of a flow run (a new object when that changes), or None, and
            sees to it that more is known later. Never blocks.
    """

    def __init__(self, task: Attributes, run_facts: Callable[[UUID], Attributes | None]) -> None:
        self.task: Attributes = task
        self._run_facts = run_facts
        self._cache: OrderedDict[bytes, _Entry] = OrderedDict()

    def enrich(self, resource: bytes) -> bytes:
        """Return the Resource with what it lacks.

        Args:
            resource: an encoded ``Resource``; its own attributes are never changed.

        Raises:
            ValueError: the bytes are no ``Resource``.
        """
        entry = self._entry(resource)
        run_id = entry.run_id
        run = None if run_id is None else self._run_facts(run_id)
        if entry.enriched is None or entry.task is not self.task or entry.run is not run:
            entry.task, entry.run = self.task, run
            entry.enriched = _add(resource, self.task, run or {})
        return entry.enriched

    def run_of(self, resource: bytes) -> str | None:
        """Return the flow run that a Resource names, as it is written there; None where it names none.

        Raises:
            ValueError: the bytes are no ``Resource``.
        """
        return self._entry(resource).written_run

    def _entry(self, resource: bytes) -> _Entry:
        entry = self._cache.get(resource)
        if entry is None:
            entry = self._cache[resource] = _Entry(*_flow_run_id(_decode(resource)))
            if len(self._cache) > CACHE_SIZE:
                self._cache.popitem(last=False)
        else:
            self._cache.move_to_end(resource)
        return entry


@dataclass
class _Entry:
    """A Resource's run, and the Resource as it was completed with these facts."""

    written_run: str | None
    run_id: UUID | None
    task: Attributes | None = None
    run: Attributes | None = None
    enriched: bytes | None = None


def _decode(resource: bytes) -> Resource:
    try:
        return Resource.FromString(resource)
    except DecodeError as error:
        raise ValueError(f"not a Resource: {error}") from None


def _flow_run_id(resource: Resource) -> tuple[str | None, UUID | None]:
    """Return the flow run that the sender says it works for: as it is written, and as an id if it is one."""
    for attribute in resource.attributes:
        if attribute.key == semconv.FLOW_RUN_ID:
            written = attribute.value.string_value
            try:
                return written, ids.parse_flow_run_id(written)
            except ValueError:
                return written, None  # what the sender said is passed on as it is
    return None, None


def _add(resource: bytes, *additions: Attributes) -> bytes:
    """Append the attributes that are not there; earlier additions win.

    The sender's bytes stay as they are, unknown fields too: in protobuf, appending
    elements to a repeated field is appending their bytes. Only a Resource with a
    doubled key is written anew, with the first of each: OTLP wants keys to be unique.
    """
    decoded = _decode(resource)
    first: dict[str, KeyValue] = {}
    for attribute in decoded.attributes:
        first.setdefault(attribute.key, attribute)
    if len(first) != len(decoded.attributes):
        kept = list(first.values())
        del decoded.attributes[:]
        decoded.attributes.extend(kept)
        resource = decoded.SerializeToString()
    present = set(first)
    added = Resource()
    for attributes in additions:
        for key, value in attributes.items():
            if key not in present:
                present.add(key)
                set_value(added.attributes.add(key=key).value, value)
    return resource + added.SerializeToString() if added.attributes else resource


def set_value(target: AnyValue, value: AttributeValue) -> None:
    """Write a Python value into an OTLP attribute value of the same type."""
    if isinstance(value, bool):
        target.bool_value = value
    elif isinstance(value, int):
        target.int_value = value
    elif isinstance(value, float):
        target.double_value = value
    elif isinstance(value, str):
        target.string_value = value
    else:
        for item in value:
            set_value(target.array_value.values.add(), item)
