"""A message of gRPC that is small and would be large: gRPC itself stops it, before it is expanded."""

from __future__ import annotations

import gzip
import socket
from typing import TYPE_CHECKING

import hpack
from hyperframe.frame import DataFrame, Frame, HeadersFrame, SettingsFrame

from tests.support import otlp_sink, sidecar

if TYPE_CHECKING:
    from pathlib import Path

TRACES = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
RESOURCE_EXHAUSTED = "8"
MIB = 1024 * 1024


def test_a_gzip_bomb_over_grpc_is_refused_and_never_expanded(tmp_path: Path) -> None:
    bomb = gzip.compress(bytes(60 * MIB))
    with otlp_sink.serving() as sink:
        variables = {
            "OTEL_PREFECT_COLLECTOR": f"127.0.0.1:{sink.grpc_port}",
            "OTEL_PREFECT_MAX_REQUEST_MIB": "2",
        }
        with sidecar.running(tmp_path, **variables) as running:
            # A first call, so that what gRPC allocates once is not taken for the bomb's.
            assert send(running.grpc_port, gzip.compress(b"")) == {"grpc-status": "0"}
            before = peak_rss(running.process.pid)
            refused = send(running.grpc_port, bomb)
            assert refused["grpc-status"] == RESOURCE_EXHAUSTED
            assert "larger than max" in refused["grpc-message"]
            assert peak_rss(running.process.pid) - before < 16 * MIB


def peak_rss(pid: int) -> int:
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))


def send(port: int, message: bytes) -> dict[str, str]:
    """Send one message that is compressed already, which no gRPC client does; return how the call ended."""
    framed = b"\x01" + len(message).to_bytes(4, "big") + message
    assert len(framed) < 65_535, "more would have to wait for the server's window"
    headers = HeadersFrame(1, hpack.Encoder().encode(HEADERS), flags=["END_HEADERS"])
    data = [DataFrame(1, framed[start : start + 16_384]) for start in range(0, len(framed), 16_384)]
    data[-1].flags.add("END_STREAM")
    frames = [SettingsFrame(0), headers, *data]
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"".join(f.serialize() for f in frames))
        return answer(connection)


HEADERS = [
    *((":method", "POST"), (":scheme", "http"), (":path", TRACES), (":authority", "localhost")),
    *(("te", "trailers"), ("content-type", "application/grpc"), ("grpc-encoding", "gzip")),
]


def answer(connection: socket.socket) -> dict[str, str]:
    decoder = hpack.Decoder()
    with connection.makefile("rb") as reader:
        while True:
            frame, length = Frame.parse_frame_header(memoryview(reader.read(9)))
            frame.parse_body(memoryview(reader.read(length)))
            if isinstance(frame, HeadersFrame):
                fields = {str(key): str(value) for key, value in decoder.decode(frame.data)}
                if "grpc-status" in fields:
                    return {key: fields[key] for key in ("grpc-status", "grpc-message") if fields.get(key)}
