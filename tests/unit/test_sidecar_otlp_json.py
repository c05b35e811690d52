"""OTLP's JSON form is translated to the same bytes that an SDK would have sent."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from sidecar import otlp_json
from sidecar.otlp import LOGS, METRICS, TRACES

SPAN = {
    "traceId": "5B8EFFF798038103D269B633813FC60C",
    "spanId": "eee19b7ec3c1b174",
    "parentSpanId": "eee19b7ec3c1b173",
    "name": "load",
    "kind": 2,
    "startTimeUnixNano": "1544712660000000000",
    "endTimeUnixNano": 1544712661000000000,
    "attributes": [
        {"key": "rows", "value": {"intValue": "10000"}},
        {"key": "traceId", "value": {"stringValue": "not hex, and a user's own"}},
        {"key": "blob", "value": {"bytesValue": "AQI="}},
    ],
    "links": [{"traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b175"}],
    "status": {"code": "STATUS_CODE_ERROR"},
    "fieldOfTheFuture": {"a": 1},
}


def request(*spans: dict[str, Any]) -> bytes:
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": list(spans)}]}]}).encode()


def test_ids_are_hex_and_numbers_may_be_strings_and_enums_may_be_names() -> None:
    decoded = ExportTraceServiceRequest.FromString(otlp_json.decode(TRACES, request(SPAN)))
    span = decoded.resource_spans[0].scope_spans[0].spans[0]
    assert span.trace_id.hex() == "5b8efff798038103d269b633813fc60c"
    assert span.span_id.hex() == "eee19b7ec3c1b174"
    assert span.parent_span_id.hex() == "eee19b7ec3c1b173"
    assert span.links[0].span_id.hex() == "eee19b7ec3c1b175"
    assert (span.start_time_unix_nano, span.end_time_unix_nano) == (1544712660000000000, 1544712661000000000)
    assert span.kind == 2
    assert span.status.code == 2
    assert span.attributes[0].value.int_value == 10000
    assert span.attributes[1].value.string_value == "not hex, and a user's own"
    assert span.attributes[2].value.bytes_value == b"\x01\x02"


@pytest.mark.parametrize("signal", [TRACES, LOGS, METRICS])
def test_an_empty_object_is_an_empty_request(signal: Any) -> None:
    assert otlp_json.decode(signal, b"{}") == b""


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"", "Expecting value"),
        (b"[]", "a JSON object is expected"),
        (b'{"resourceSpans": 3}', "resourceSpans"),
        (
            b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "xyz"}]}]}]}',
            "traceId: 'xyz' is not hex",
        ),
        (b'{"resourceSpans": NaN}', "NaN is not JSON"),
        (b"\xff\xfe", "utf"),
        (b'{"a":' * 20_000, "recursion"),
        (b'{"\\ud800": 1}', "surrogates not allowed"),
        (b'{"resourceSpans": [{"schemaUrl": "\\uDC00"}]}', "surrogates not allowed"),
    ],
)
def test_what_is_no_otlp_json_is_refused_with_the_reason(body: bytes, problem: str) -> None:
    with pytest.raises(otlp_json.JsonError) as error:
        otlp_json.decode(TRACES, body)
    assert problem in str(error.value)


@given(st.binary(max_size=120))
def test_any_bytes_are_translated_or_refused_and_never_crash(body: bytes) -> None:
    try:
        otlp_json.decode(TRACES, body)
    except otlp_json.JsonError:
        return


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "resourceSpans",
                        "scopeSpans",
                        "spans",
                        "traceId",
                        "kind",
                        "attributes",
                        "key",
                        "value",
                        "x",
                    ]
                ),
                inner,
                max_size=4,
            )
        ),
    )
)
def test_any_json_is_translated_or_refused_and_never_crashes(document: Any) -> None:
    try:
        otlp_json.decode(TRACES, json.dumps(document).encode())
    except otlp_json.JsonError:
        return


def test_a_log_record_survives_the_way_through_json() -> None:
    sent = ExportLogsServiceRequest()
    record = sent.resource_logs.add().scope_logs.add().log_records.add(time_unix_nano=1, severity_number=9)
    record.body.string_value = "grüße"
    record.trace_id, record.span_id = b"\x01" * 16, b"\x02" * 8
    document = json.loads(json_format.MessageToJson(sent))
    of_record = document["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0]
    of_record["traceId"], of_record["spanId"] = "01" * 16, "02" * 8
    decoded = ExportLogsServiceRequest.FromString(otlp_json.decode(LOGS, json.dumps(document).encode()))
    assert decoded == sent
