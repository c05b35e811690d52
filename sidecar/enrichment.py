"""Adds to a Resource what the sidecar knows and the sender did not say.

A process sends the same Resource bytes in each of its requests, so the result is
kept by those bytes, together with the facts it was made from: it is made anew when
one of these is replaced (the facts are immutable, so identity tells).
"""

from __future__ import annotations

import contextlib
import operator
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from google.protobuf.message import DecodeError
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from otel_prefect import ids, semconv
from sidecar.attributes import set_value

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable
    from uuid import UUID

    from opentelemetry.proto.common.v1.common_pb2 import KeyValue

    from sidecar.attributes import Attributes, AttributeValue

# Distinct Resources kept: a process has one, and a task few processes. Beyond that the oldest goes.
CACHE_SIZE = 512


def _nothing(_: str) -> None:
    return None


class Enricher:
    """Completes the Resources of everything that passes.

    Args:
        task: facts on this task: static attributes and what ECS says. Replaced as a whole when known.
        run_facts: gives what is known now of a flow run (a new object when that changes), or None, and
            sees to it that more is known later. Never blocks.
        container_facts: gives the same of a container, by the id that a sender says it runs in.
        overwrite: attributes of which the sidecar's value wins over the sender's.
    """

    def __init__(
        self,
        task: Attributes,
        run_facts: Callable[[UUID], Attributes | None],
        container_facts: Callable[[str], Attributes | None] = _nothing,
        overwrite: Collection[str] = (),
    ) -> None:
        self.task: Attributes = task
        self._run_facts = run_facts
        self._container_facts = container_facts
        self._overwrite = frozenset(overwrite)
        self._cache: OrderedDict[bytes, _Entry] = OrderedDict()

    def enrich(self, resource: bytes) -> bytes:
        """Return the Resource with what it lacks.

        Args:
            resource: an encoded ``Resource``; its own attributes are never changed.

        Raises:
            ValueError: the bytes are no ``Resource``.
        """
        entry = self._entry(resource)
        run = None if entry.run_id is None else self._run_facts(entry.run_id)
        container = None if entry.container_id is None else self._container_facts(entry.container_id)
        facts = (self.task, container, run)
        if entry.enriched is None or not all(map(operator.is_, facts, entry.facts)):
            entry.facts = facts
            entry.enriched = self._add(resource, [of for of in facts if of])
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
            entry = self._cache[resource] = _entry_of(_decode(resource))
            if len(self._cache) > CACHE_SIZE:
                self._cache.popitem(last=False)
        else:
            self._cache.move_to_end(resource)
        return entry

    def _add(self, resource: bytes, additions: Iterable[Attributes]) -> bytes:
        """Append the attributes that are not there; earlier additions win.

        The sender's bytes stay as they are, unknown fields too: in protobuf, appending
        elements to a repeated field is appending their bytes. Only a Resource with a
        doubled key, or with one that is to be overwritten, is written anew: OTLP wants
        keys to be unique, and of a doubled one the first stays.
        """
        wanted: dict[str, AttributeValue] = {}
        for attributes in additions:
            for key, value in attributes.items():
                wanted.setdefault(key, value)
        decoded = _decode(resource)
        overwritten = self._overwrite & wanted.keys()
        kept: dict[str, KeyValue] = {}
        for attribute in decoded.attributes:
            if attribute.key not in overwritten:
                kept.setdefault(attribute.key, attribute)
        if len(kept) != len(decoded.attributes):
            attributes_kept = list(kept.values())
            del decoded.attributes[:]
            decoded.attributes.extend(attributes_kept)
            resource = decoded.SerializeToString()
        added = Resource()
        for key, value in wanted.items():
            if key not in kept:
                set_value(added.attributes.add(key=key).value, value)
        return resource + added.SerializeToString() if added.attributes else resource


@dataclass
class _Entry:
    """What a Resource says of its sender, and the Resource as it was completed with these facts."""

    written_run: str | None = None
    run_id: UUID | None = None
    container_id: str | None = None
    facts: tuple[Attributes | None, ...] = (None, None, None)
    enriched: bytes | None = None


def _decode(resource: bytes) -> Resource:
    try:
        return Resource.FromString(resource)
    except DecodeError as error:
        raise ValueError(f"not a Resource: {error}") from None


def _entry_of(resource: Resource) -> _Entry:
    """Read which run and container a sender says it is of."""
    entry = _Entry()
    for attribute in resource.attributes:
        if attribute.key == semconv.FLOW_RUN_ID and entry.written_run is None:
            entry.written_run = attribute.value.string_value
            with contextlib.suppress(ValueError):  # what the sender said is passed on as it is
                entry.run_id = ids.parse_flow_run_id(entry.written_run)
        elif attribute.key == semconv.CONTAINER_ID and entry.container_id is None:
            entry.container_id = attribute.value.string_value
    return entry
