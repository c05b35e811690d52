"""What has to hold for any bytes. Each check raises where it does not; protobuf itself is the reference."""

from __future__ import annotations

import gzip
import json
import re
from base64 import b64decode
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

from backports import zstd
from google.protobuf import json_format
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from otel_prefect import ids, semconv
from sidecar import compression, otlp_json, regroup, wire
from sidecar.enrichment import Enricher
from sidecar.otlp import LOGS, METRICS, TRACES, Signal

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.proto.resource.v1.resource_pb2 import Resource

SIGNALS: Final = (TRACES, LOGS, METRICS)
ENCODINGS: Final = ("gzip", "zstd")
# Real ones: `service.name` is a key that senders use too.
ADDED: Final = {"service.name": "added", "team": "data"}
_REQUESTS: Final[dict[Signal, Any]] = {
    TRACES: ExportTraceServiceRequest,
    LOGS: ExportLogsServiceRequest,
    METRICS: ExportMetricsServiceRequest,
}
_MESSAGE: Final = re.compile(r"at byte (\d+), field [a-z_]+(\.[a-z_]+)?: .+", re.DOTALL)
# What the walker refuses though Python's protobuf reads it. A known field of another wire type is unknown to
# protobuf, but an error to the Collector; the rest is beyond what any encoder writes.
_STRICTER: Final = re.compile(
    r"wire type \d where a message is expected|groups are nested too deep|more than 64 bits"
    r"|there are more than|comes in more than"
)
_MAX_OUTPUT: Final = 4 * 1024 * 1024


def check_wire(signal: Signal, body: bytes) -> None:
    """A request is refused with byte and field, or it leaves as protobuf reads it but for its Resources.

    What protobuf reads is not refused, with the exceptions of ``_STRICTER``; what it does not read does not
    become something that it reads.
    """
    _check(signal, body, None, _with_resources)


def check_regroup(signal: Signal, body: bytes) -> None:
    """As ``check_wire``, and each record is under a Resource of the run that it names, in order."""
    enricher = Enricher(ADDED, lambda _: None)

    def divide(source: bytes, of_resource: wire.ResourceX) -> list[bytes]:
        return regroup.divide(signal, source, of_resource, enricher.run_of(of_resource.resource))

    _check(signal, body, divide, _by_run)


def _check(
    signal: Signal,
    body: bytes,
    divide: Callable[[bytes, wire.ResourceX], list[bytes]] | None,
    reference: Callable[[Signal, Any], Any],
) -> None:
    read = parse(signal, body)
    enricher = Enricher(ADDED, lambda _: None)
    try:
        spliced = wire.splice(body, signal.frames, enricher.enrich, divide)
    except wire.MalformedError as error:
        _check_refusal(str(error), body, read)
        return
    left = parse(signal, spliced.body)
    assert (left is None) == (read is None), f"read {read is not None}, but left {left is not None}"
    if read is None:
        return
    assert spliced.records == len(records(signal, read)) == len(records(signal, left))
    expected = reference(signal, read)
    if divide is not None and _encode(read) != body:
        # A key may be encoded so that regrouping does not find it; no encoder does so.
        assert _count(signal, read) == _count(signal, left)
        return
    assert _encode(left) == _encode(expected)


def _check_refusal(text: str, body: bytes, read: Any) -> None:
    said = _MESSAGE.fullmatch(text)
    assert said is not None, text
    assert int(said[1]) <= len(body), text
    assert read is None or _STRICTER.search(text), f"protobuf reads it: {text}"


def parse(signal: Signal, body: bytes) -> Any:
    """Return a request as protobuf reads it; None where it does not."""
    try:
        return _REQUESTS[signal].FromString(body)
    except DecodeError:
        return None


def _encode(message: Any) -> bytes:
    # Not ==, for which NaN is not NaN.
    return bytes(message.SerializeToString(deterministic=True))


def _of(level: str, signal: Signal, message: Any) -> Any:
    return getattr(message, getattr(signal.frames, level))


def records(signal: Signal, request: Any) -> list[Any]:
    """Return the spans, log records or metrics of a request, in order."""
    return [
        record
        for of_resource in _of("resources", signal, request)
        for of_scope in _of("scopes", signal, of_resource)
        for record in _of("records", signal, of_scope)
    ]


def _count(signal: Signal, request: Any) -> Counter[bytes]:
    return Counter(map(_encode, records(signal, request)))


def _with_resources(signal: Signal, read: Any) -> Any:
    """Return a request with what is added to its Resources, by way of protobuf."""
    expected = type(read)()
    expected.CopyFrom(read)
    for of_resource in _of("resources", signal, expected):
        _complete(of_resource.resource)
    return expected


def _complete(resource: Resource) -> None:
    resource.SetInParent()
    attributes: dict[str, Any] = {}
    for attribute in resource.attributes:
        attributes.setdefault(attribute.key, attribute)
    kept = list(attributes.values())
    del resource.attributes[:]
    resource.attributes.extend(kept)
    for key, value in ADDED.items():
        if key not in attributes:
            resource.attributes.add(key=key).value.string_value = value


def _by_run(signal: Signal, read: Any) -> Any:
    """Return a request with a Resource for each run, by way of protobuf."""
    expected = type(read)()
    expected.CopyFrom(read)
    del _of("resources", signal, expected)[:]
    for of_resource in _of("resources", signal, read):
        named = (a for a in of_resource.resource.attributes if a.key == semconv.FLOW_RUN_ID)
        own = next((attribute.value.string_value for attribute in named), None)
        runs = dict.fromkeys(
            _run_of(record, own, signal)
            for of_scope in _of("scopes", signal, of_resource)
            for record in _of("records", signal, of_scope)
        )
        for run in sorted(runs, key=lambda run: run is not None) if set(runs) - {None} else [None]:
            of_run = _of("resources", signal, expected).add()
            of_run.CopyFrom(of_resource)
            if set(runs) - {None}:
                _keep_only(signal, of_run, run, own)
            _complete(of_run.resource)
    return expected


def _run_of(record: Any, own: str | None, signal: Signal) -> str | None:
    if signal is METRICS:
        return None
    for attribute in record.attributes:
        if attribute.key == semconv.RECORD_FLOW_RUN_ID:
            written: str = attribute.value.string_value
            try:
                ids.parse_flow_run_id(written)
            except ValueError:
                return None
            return None if written == own else written
    return None


def _keep_only(signal: Signal, of_run: Any, run: str | None, own: str | None) -> None:
    scopes = _of("scopes", signal, of_run)
    for of_scope in scopes:
        records = _of("records", signal, of_scope)
        kept = [record for record in records if _run_of(record, own, signal) == run]
        del records[:]
        records.extend(kept)
    kept = [of_scope for of_scope in scopes if _of("records", signal, of_scope)]
    del scopes[:]
    scopes.extend(kept)
    if run is not None:
        attributes = of_run.resource.attributes
        kept = [attribute for attribute in attributes if attribute.key not in regroup._OF_THE_RUN]
        del attributes[:]
        attributes.extend(kept)
        attributes.add(key=semconv.FLOW_RUN_ID).value.string_value = run


def check_json(signal: Signal, body: bytes) -> None:
    """A request in JSON is refused with a reason, or becomes one that reads the same when written again."""
    try:
        decoded = otlp_json.decode(signal, body)
    except otlp_json.JsonError:
        return
    message = parse(signal, decoded)
    assert message is not None
    document = json_format.MessageToDict(message)
    _base64_to_hex(document)
    assert otlp_json.decode(signal, json.dumps(document).encode()) == decoded


def _base64_to_hex(node: Any) -> None:
    for value in node if isinstance(node, list) else node.values():
        if isinstance(value, list | dict):
            _base64_to_hex(value)
    if isinstance(node, dict):
        for key in node.keys() & {"traceId", "spanId", "parentSpanId"}:
            node[key] = b64decode(node[key]).hex()


def check_compression(encoding: str, body: bytes) -> None:
    """A body is refused, or comes out in pieces as the usual library has it at once, however it is cut."""
    decompressor = compression.decompressor(encoding)
    assert decompressor is not None
    size = 1 + sum(body[:2])
    pieces: list[bytes] = []
    held = 0
    try:
        for start in range(0, len(body), size):
            for piece in decompressor.feed(body[start : start + size]):
                assert 0 < len(piece) <= compression.MAX_PIECE
                pieces.append(piece)
                held += len(piece)
                if held > _MAX_OUTPUT:
                    return
        decompressor.finish()
    except compression.CompressionError:
        return
    whole: Callable[[bytes], bytes] = gzip.decompress if encoding == "gzip" else zstd.decompress
    assert whole(body) == b"".join(pieces)


CHECKS: Final[dict[str, Callable[[int, bytes], None]]] = {
    "wire": lambda choice, body: check_wire(SIGNALS[choice % 3], body),
    "regroup": lambda choice, body: check_regroup(SIGNALS[choice % 3], body),
    "json": lambda choice, body: check_json(SIGNALS[choice % 3], body),
    "compression": lambda choice, body: check_compression(ENCODINGS[choice % 2], body),
}
