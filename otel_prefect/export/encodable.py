"""Spans whose text UTF-8 cannot hold are made such that it can: one of them would cost its whole batch.

Python reads file names that are no UTF-8 as text with lone surrogates, which a protobuf message refuses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter
from opentelemetry.trace import Status

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from opentelemetry.sdk.trace.export import SpanExportResult


class EncodableSpans(SpanExporter):
    """Sends spans through another exporter, with ``?`` for what it could not encode."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send spans, changed where they have to be."""
        return self._exporter.export([span if _is_fine(span) else _repaired(span) for span in spans])

    def shutdown(self) -> None:
        """Shut the other exporter down."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Flush the other exporter."""
        return self._exporter.force_flush(timeout_millis)


def _is_fine(span: ReadableSpan) -> bool:
    return (
        _fits(span.name)
        and _fits(span.status.description)
        and _fits(span.attributes)
        and all(_fits(event.name) and _fits(event.attributes) for event in span.events)
    )


def _fits(value: Any) -> bool:
    if isinstance(value, str):
        return value.isascii() or value.encode("utf-8", "replace").decode() == value
    if isinstance(value, tuple | list):
        return all(_fits(each) for each in value)
    # A span's attributes are a mapping, and so may a value of one be.
    return not hasattr(value, "items") or all(_fits(key) and _fits(each) for key, each in value.items())


def _repaired(span: ReadableSpan) -> ReadableSpan:
    return ReadableSpan(
        name=_text(span.name),
        context=span.get_span_context(),
        parent=span.parent,
        resource=span.resource,
        attributes=_value(span.attributes or {}),
        events=[
            Event(_text(event.name), _value(event.attributes or {}), event.timestamp) for event in span.events
        ],
        links=span.links,
        kind=span.kind,
        status=Status(span.status.status_code, _value(span.status.description)),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def _value(value: Any) -> Any:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, tuple | list):
        return [_value(each) for each in value]
    if hasattr(value, "items"):
        pairs: Mapping[str, Any] = value
        return {_text(key): _value(each) for key, each in pairs.items()}
    return value


def _text(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
