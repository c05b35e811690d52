"""What the SDKs of four languages send leaves the sidecar as it came, but for what is added to Resources."""

from __future__ import annotations

import os
import subprocess
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from tests.encoders import programs
from tests.encoders.recorder import Sent, recording
from tests.support import otlp_sink, sidecar
from tests.support.otlp_sink import attributes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.message import Message

REQUESTS: dict[str, type[Message]] = {
    "traces": ExportTraceServiceRequest,
    "logs": ExportLogsServiceRequest,
    "metrics": ExportMetricsServiceRequest,
}
SIGNALS = {
    **{f"/v1/{signal}": signal for signal in REQUESTS},
    "/opentelemetry.proto.collector.trace.v1.TraceService/Export": "traces",
    "/opentelemetry.proto.collector.logs.v1.LogsService/Export": "logs",
    "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export": "metrics",
}
ADDED = {"team": "data", "stage": "test"}
JSON = "application/json"


class Exchange(NamedTuple):
    """What one program sent, and what of it arrived behind the sidecar, by signal."""

    sent: dict[str, list[Sent]]
    arrived: dict[str, list[bytes]]


@pytest.fixture(scope="module")
def far_end() -> Iterator[otlp_sink.OtlpSink]:
    yield from otlp_sink.serve()


@pytest.fixture(scope="module")
def running(
    tmp_path_factory: pytest.TempPathFactory, far_end: otlp_sink.OtlpSink
) -> Iterator[sidecar.RunningSidecar]:
    variables = {
        "OTEL_PREFECT_COLLECTOR": f"127.0.0.1:{far_end.grpc_port}",
        "OTEL_PREFECT_ATTRIBUTES": ",".join(f"{key}={value}" for key, value in ADDED.items()),
    }
    with sidecar.running(tmp_path_factory.mktemp("sidecar"), **variables) as started:
        yield started


@pytest.fixture(scope="module", params=programs.LANGUAGES)
def exchange(
    request: pytest.FixtureRequest, running: sidecar.RunningSidecar, far_end: otlp_sink.OtlpSink
) -> Exchange:
    """Run the program of one language against the sidecar. A tool that is missing fails, and says which."""
    language = request.param
    command = programs.command(language)
    with recording(running.grpc_port) as by_grpc, recording(running.http_port) as by_http:
        environ = {**os.environ, "ENCODER_GRPC": by_grpc.address, "ENCODER_HTTP": by_http.address}
        done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        requests = [*by_grpc.requests(), *by_http.requests()]
    name = f"encoder-{language}".encode()
    return Exchange(
        {signal: [sent for sent in requests if SIGNALS[sent.path] == signal] for signal in REQUESTS},
        # The sink gets the sidecar's own metrics too.
        {signal: [body for body in far_end.raw[signal] if name in body] for signal in REQUESTS},
    )


# --- a reader of protobuf's frames that shares nothing with the sidecar's --------------------------------


def read_varint(body: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = body[position]
        value |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if byte < 0x80:
            return value, position


def length_delimited(body: bytes) -> list[tuple[int, bytes, bytes]]:
    """Return number, value and all bytes of each field; none is of another kind here."""
    found = []
    position = 0
    while position < len(body):
        start = position
        tag, position = read_varint(body, position)
        assert tag & 7 == 2, f"wire type {tag & 7}"
        size, position = read_varint(body, position)
        position += size
        found.append((tag >> 3, body[position - size : position], body[start:position]))
    assert position == len(body)
    return found


class Parts(NamedTuple):
    """A request: its Resources, and the bytes around each, in order."""

    resources: tuple[bytes, ...]
    others: tuple[tuple[bytes, ...], ...]


def take_apart(body: bytes) -> Parts:
    resources, others = [], []
    for number, resource_x, _ in length_delimited(body):
        assert number == 1
        fields = length_delimited(resource_x)
        resources += [value for number, value, _ in fields if number == 1]
        others.append(tuple(whole for number, _, whole in fields if number != 1))
    assert len(resources) == len(others), "one Resource each"
    return Parts(tuple(resources), tuple(others))


def in_protobuf(sent: list[Sent]) -> list[bytes]:
    return [request.body for request in sent if request.content_type != JSON]


# --- the tests ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("signal", REQUESTS)
def test_every_transport_and_compression_was_sent(exchange: Exchange, signal: str) -> None:
    """Without this the others would hold for a program that sends next to nothing."""
    sent = exchange.sent[signal]
    kinds = {(kind.content_type, kind.encoding) for kind in sent}
    expected = {
        (content_type, encoding)
        for content_type in ("application/grpc", "application/x-protobuf")
        for encoding in ("identity", "gzip")
    }
    assert kinds - {(JSON, "identity"), (JSON, "gzip")} == expected
    assert len(exchange.arrived[signal]) == len(sent) == len(kinds)


@pytest.mark.parametrize("signal", REQUESTS)
def test_all_but_the_resources_leaves_byte_for_byte(exchange: Exchange, signal: str) -> None:
    sent = Counter(take_apart(body).others for body in in_protobuf(exchange.sent[signal]))
    arrived = Counter(take_apart(body).others for body in exchange.arrived[signal])
    assert sent - arrived == Counter()


@pytest.mark.parametrize("signal", REQUESTS)
def test_what_is_added_to_a_resource_follows_its_senders_bytes(exchange: Exchange, signal: str) -> None:
    sent = [take_apart(body).resources for body in in_protobuf(exchange.sent[signal])]
    arrived = [take_apart(body).resources for body in exchange.arrived[signal]]
    (of_sender,) = {resource for resources in sent for resource in resources}
    kept = [resources for resources in arrived if all(r.startswith(of_sender) for r in resources)]
    assert len(kept) >= len(sent)


@pytest.mark.parametrize("signal", REQUESTS)
def test_a_resource_has_all_that_its_sender_said_and_what_is_added(exchange: Exchange, signal: str) -> None:
    (of_sender,) = {r for body in in_protobuf(exchange.sent[signal]) for r in take_apart(body).resources}
    for body in exchange.arrived[signal]:
        for resource in take_apart(body).resources:
            # attributes() refuses a key that is there twice.
            decoded = attributes(Resource.FromString(resource).attributes)
            assert decoded == {**attributes(Resource.FromString(of_sender).attributes), **ADDED}


@pytest.mark.parametrize("signal", REQUESTS)
def test_json_becomes_what_the_same_sdk_sends_in_protobuf(exchange: Exchange, signal: str) -> None:
    """JavaScript's SDK sends one batch both ways; elsewhere this holds for protobuf alone."""
    arrived = [REQUESTS[signal].FromString(body) for body in exchange.arrived[signal]]
    assert arrived.count(arrived[0]) == len(arrived) == len(exchange.sent[signal])
