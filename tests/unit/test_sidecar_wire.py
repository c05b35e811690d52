"""The wire walker: other bytes in the place of a Resource, all else untouched, nonsense refused."""

from __future__ import annotations

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from sidecar import wire
from sidecar.otlp import LOGS, METRICS, TRACES

MARK = Resource(dropped_attributes_count=7).SerializeToString()


def replace_by_mark(_: bytes) -> bytes:
    return MARK


def request(
    resources: int = 1, scopes: int = 1, spans: int = 3, name_length: int = 8
) -> ExportTraceServiceRequest:
    message = ExportTraceServiceRequest()
    for r in range(resources):
        of_resource = message.resource_spans.add(schema_url=f"https://schema/{r}")
        of_resource.resource.attributes.add(key="service.name").value.string_value = f"service-{r}"
        for s in range(scopes):
            of_scope = of_resource.scope_spans.add()
            of_scope.scope.name = f"scope-{s}"
            for n in range(spans):
                of_scope.spans.add(trace_id=bytes([n]) * 16, span_id=bytes([n]) * 8, name="x" * name_length)
    return message


def test_every_resource_is_replaced_and_nothing_else_changes() -> None:
    message = request(resources=3, scopes=2)
    spliced = wire.splice(message.SerializeToString(), TRACES.frames, replace_by_mark)
    for of_resource in message.resource_spans:
        of_resource.resource.CopyFrom(Resource.FromString(MARK))
    assert ExportTraceServiceRequest.FromString(spliced.body) == message


def test_the_resource_is_handed_over_as_it_was_sent() -> None:
    seen: list[bytes] = []

    def replace(resource: bytes) -> bytes:
        seen.append(resource)
        return resource

    message = request(resources=2)
    body = message.SerializeToString()
    spliced = wire.splice(body, TRACES.frames, replace)
    assert seen == [of_resource.resource.SerializeToString() for of_resource in message.resource_spans]
    assert spliced.body is body


def test_a_resource_is_added_where_there_is_none() -> None:
    message = ExportTraceServiceRequest()
    message.resource_spans.add().scope_spans.add().spans.add(name="lonely")
    spliced = wire.splice(message.SerializeToString(), TRACES.frames, replace_by_mark)
    decoded = ExportTraceServiceRequest.FromString(spliced.body)
    assert decoded.resource_spans[0].resource.dropped_attributes_count == 7
    assert decoded.resource_spans[0].scope_spans[0].spans[0].name == "lonely"


def test_a_resource_that_comes_after_the_records_or_in_parts_is_one_resource() -> None:
    one = Resource()
    one.attributes.add(key="a").value.int_value = 1
    other = Resource()
    other.attributes.add(key="b").value.int_value = 2
    scope = request().resource_spans[0].scope_spans[0].SerializeToString()
    inner = b"".join(
        tag + wire.encode_varint(len(part)) + part
        for tag, part in (
            (b"\x0a", one.SerializeToString()),
            (b"\x12", scope),
            (b"\x0a", other.SerializeToString()),
        )
    )
    body = b"\x0a" + wire.encode_varint(len(inner)) + inner
    seen: list[bytes] = []

    def replace(resource: bytes) -> bytes:
        seen.append(resource)
        return MARK

    spliced = wire.splice(body, TRACES.frames, replace)
    assert [a.key for a in Resource.FromString(seen[0]).attributes] == ["a", "b"]
    decoded = ExportTraceServiceRequest.FromString(spliced.body)
    assert decoded.resource_spans[0].resource == Resource.FromString(MARK)
    assert decoded.resource_spans[0].scope_spans[0].SerializeToString() == scope


@pytest.mark.parametrize("name_length", [0, 60, 127, 128, 300, 16_383, 16_384, 70_000])
def test_records_of_every_length_are_counted(name_length: int) -> None:
    body = request(resources=2, scopes=3, spans=4, name_length=name_length).SerializeToString()
    assert wire.splice(body, TRACES.frames, replace_by_mark).records == 24


def test_records_are_counted_whose_tag_is_longer_than_it_has_to_be() -> None:
    spliced = wire.splice(b"\x0a\x07\x12\x05\x12\x00\x92\x00\x00", TRACES.frames, replace_by_mark)
    decoded = ExportTraceServiceRequest.FromString(spliced.body)
    assert len(decoded.resource_spans[0].scope_spans[0].spans) == spliced.records == 2


def test_log_records_and_metrics_are_counted_alike() -> None:
    logs = ExportLogsServiceRequest()
    logs.resource_logs.add().scope_logs.add().log_records.add(severity_text="INFO")
    metrics = ExportMetricsServiceRequest()
    metrics.resource_metrics.add().scope_metrics.add().metrics.add(name="rows")
    assert wire.splice(logs.SerializeToString(), LOGS.frames, replace_by_mark).records == 1
    assert wire.splice(metrics.SerializeToString(), METRICS.frames, replace_by_mark).records == 1


def test_an_empty_request_stays_empty() -> None:
    assert wire.splice(b"", TRACES.frames, replace_by_mark) == wire.Spliced(b"", 0)


def test_unknown_fields_of_every_wire_type_are_kept_byte_for_byte() -> None:
    unknown = (
        b"\xf8\x01\x96\x01"  # field 31, varint
        b"\xf9\x01" + b"12345678"  # field 31, 64 bits
        b"\xfa\x01\x03abc"  # field 31, length-delimited
        b"\xfb\x01\x08\x01\x13\x0d1234\x14\xfc\x01"  # field 31, a group with a group in it
        b"\xfd\x01" + b"1234"  # field 31, 32 bits
    )
    of_resource = request().resource_spans[0].SerializeToString() + unknown
    body = unknown + b"\x0a" + wire.encode_varint(len(of_resource)) + of_resource + unknown
    spliced = wire.splice(body, TRACES.frames, replace_by_mark).body
    assert spliced.startswith(unknown)
    assert spliced.endswith(unknown + unknown)
    assert spliced.count(unknown) == 3


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"\x0a", "at byte 0, field resource_spans: it ends in the middle of a number"),
        (b"\x0a\x05ab", "at byte 0, field resource_spans: field number 1 is longer than what holds it"),
        (b"\x08\x01", "at byte 0, field resource_spans: wire type 0 where a message is expected"),
        (b"\x00\x01", "at byte 0, field resource_spans: field number 0 is not valid"),
        (b"\x0e", "at byte 0, field resource_spans: wire type 6 is not valid here"),
        (b"\x0c", "at byte 0, field resource_spans: wire type 4 is not valid here"),
        (b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "a number has more than 64 bits"),
        (b"\x0a" + b"\xff" * 12, "a number has more than ten bytes"),
        (b"\x0a\x02\x08\x01", "at byte 2, field resource_spans.resource: wire type 0 where a message"),
        (b"\x0a\x02\x10\x01", "at byte 2, field resource_spans.scope_spans: wire type 0 where a message"),
        (b"\x0a\x04\x12\x02\x12\x09", "at byte 4, field scope_spans: field number 2 is longer than what"),
        (b"\x0a\x06\x12\x04\x12\x00\x12\x09", "at byte 6, field scope_spans: field number 2 is longer than"),
        (b"\x0a\x03\x12\x01\x12", "at byte 4, field scope_spans: it ends in the middle of a number"),
        (b"\x0a\x06\x12\x04\x12\x00\x10\x01", "at byte 6, field scope_spans.spans: wire type 0 where a"),
        (b"\x0a\x12" + b"\x0a\x00" * 9, "at byte 18, field resource_spans.resource: it comes in more than 8"),
        (b"\x0a\x05\x0a\x01\x0a\x0a\x00", "at byte 4, field resource_spans.resource: it ends in the middle"),
        (b"\x0a\x00" * 65_537, "at byte 131072, field resource_spans: there are more than 65536"),
        (b"\x0b" * 80, "groups are nested too deep"),
        (b"\x0b\x14", "a group ends that was not open"),
    ],
)
def test_what_is_malformed_is_refused_with_byte_and_field(body: bytes, message: str) -> None:
    with pytest.raises(wire.MalformedError) as refused:
        wire.splice(body, TRACES.frames, replace_by_mark)
    assert message in str(refused.value)


@settings(max_examples=500)
@given(st.binary(max_size=200))
def test_any_bytes_are_spliced_or_refused_and_never_crash(body: bytes) -> None:
    try:
        spliced = wire.splice(body, TRACES.frames, replace_by_mark)
    except wire.MalformedError:
        return
    assert isinstance(spliced.body, bytes)


@settings(max_examples=300)
@given(st.integers(0, 2), st.integers(0, 2), st.integers(0, 3), st.data())
def test_a_damaged_request_never_becomes_a_different_valid_one(
    resources: int, scopes: int, spans: int, data: st.DataObject
) -> None:
    """What protobuf itself still reads after the damage, it reads from the spliced bytes too."""
    body = bytearray(request(resources, scopes, spans).SerializeToString())
    if body:
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    try:
        expected = ExportTraceServiceRequest.FromString(bytes(body))
    except DecodeError:
        expected = None
    try:
        spliced = wire.splice(bytes(body), TRACES.frames, replace_by_mark)
    except wire.MalformedError:
        return
    if expected is not None:
        for of_resource in expected.resource_spans:
            of_resource.resource.CopyFrom(Resource.FromString(MARK))
        assert ExportTraceServiceRequest.FromString(spliced.body) == expected
        counted = sum(len(s.spans) for r in expected.resource_spans for s in r.scope_spans)
        assert spliced.records == counted


@given(st.integers(0, 2**64 - 1))
def test_a_varint_is_read_as_it_was_written(value: int) -> None:
    encoded = wire.encode_varint(value)
    assert wire._read_varint(encoded, 0, len(encoded)) == (value, len(encoded))
