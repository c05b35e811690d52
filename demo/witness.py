"""What the Collector took, record by record: the list against which every destination is checked.

``witness.yaml`` adds a file exporter to the demo's Collector, on the same receiver as all
destinations. What is in its files was acknowledged to the senders; what is in a destination
but not in them, or the other way round, can be named.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from demo.paths import ROOT
from otel_prefect import semconv

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONFIG: Final = ROOT / "demo" / "witness.yaml"
FOLDER_VARIABLE: Final = "DEMO_WITNESS_FOLDER"


@dataclass(frozen=True, order=True)
class LogKey:
    """What a log record is known by at every destination.

    Attributes:
        service: ``service.name`` of the process that wrote it.
        message: its text.
        span_id: of the span it was written in; empty where there was none.
    """

    service: str
    message: str
    span_id: str

    def __str__(self) -> str:
        return f"{self.service}: {self.message!r}" + (f" in span {self.span_id}" if self.span_id else "")


@dataclass
class Witness:
    """What the Collector took.

    Attributes:
        spans: span id → service, for spans that have ended; those in progress are news of the same span.
        in_progress: how many times a span was told of while it ran.
        repeated: how many spans came more than once.
        logs: log records and how many times each came.
    """

    spans: dict[str, str] = field(default_factory=dict)
    in_progress: int = 0
    repeated: int = 0
    logs: Counter[LogKey] = field(default_factory=Counter)

    @property
    def spans_through_sidecar(self) -> int:
        """How many span records the sidecar must have accepted, counting news and repetitions."""
        return len(self.spans) + self.in_progress + self.repeated


def read(folder: Path) -> Witness:
    """Read the files that ``witness.yaml`` has the Collector write.

    Args:
        folder: the one that ``DEMO_WITNESS_FOLDER`` named.
    """
    witness = Witness()
    for resource, _, span in _records(folder / "traces.jsonl", "Spans", "spans"):
        _take_span(witness, resource, span)
    for resource, _, record in _records(folder / "logs.jsonl", "Logs", "logRecords"):
        key = LogKey(
            str(resource.get(semconv.SERVICE_NAME, "")),
            text_of(record.get("body", {})),
            record.get("spanId", ""),
        )
        witness.logs[key] += 1
    return witness


def _take_span(witness: Witness, resource: dict[str, Any], span: dict[str, Any]) -> None:
    attributes = attributes_of(span)
    if attributes.get(semconv.XRAY_IN_PROGRESS) is True:
        witness.in_progress += 1
        return
    if span["spanId"] in witness.spans:
        witness.repeated += 1
        return
    witness.spans[span["spanId"]] = str(resource.get(semconv.SERVICE_NAME, ""))


def _records(
    path: Path, signal: str, records: str
) -> Iterator[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]]:
    """Yield resource attributes, scope and record of each record in a file of OTLP JSON lines."""
    if not path.exists():
        return
    for line in path.read_text().splitlines():
        for of_resource in json.loads(line).get(f"resource{signal}", []):
            resource = attributes_of(of_resource.get("resource", {}))
            for of_scope in of_resource.get(f"scope{signal}", []):
                for record in of_scope.get(records, []):
                    yield resource, of_scope.get("scope", {}), record


def attributes_of(holder: dict[str, Any]) -> dict[str, Any]:
    """Return the attributes of an OTLP JSON object as a dict."""
    return {pair["key"]: value_of(pair.get("value", {})) for pair in holder.get("attributes", [])}


def value_of(value: dict[str, Any]) -> Any:
    """Return an OTLP JSON ``AnyValue`` as Python's own type."""
    for kind, content in value.items():
        if kind == "intValue":
            return int(content)
        if kind == "arrayValue":
            return [value_of(item) for item in content.get("values", [])]
        if kind == "kvlistValue":
            return {pair["key"]: value_of(pair.get("value", {})) for pair in content.get("values", [])}
        return content
    return None


def text_of(body: dict[str, Any]) -> str:
    """Return a log body as the text that destinations show: a string as it is, all else as JSON."""
    value = value_of(body)
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
