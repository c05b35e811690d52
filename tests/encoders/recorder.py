"""A proxy that keeps the bytes that clients send, and the requests within them.

Bytes are passed on as they come, so compression, framing and chunks reach the server as the SDK made them.
"""

from __future__ import annotations

import contextlib
import gzip
import http.client
import io
import socket
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import hpack
from hyperframe.frame import ContinuationFrame, DataFrame, Frame, HeadersFrame

if TYPE_CHECKING:
    from collections.abc import Iterator
    from email.message import Message

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


@dataclass(frozen=True)
class Sent:
    """One request of a client.

    Attributes:
        path: of the URL or the gRPC method.
        content_type: what the client said it is.
        encoding: how it was compressed: ``gzip`` or ``identity``.
        body: the message, decompressed.
    """

    path: str
    content_type: str
    encoding: str
    body: bytes


class Recorder:
    """A proxy that runs.

    Attributes:
        address: where clients connect, as ``host:port``.
    """

    def __init__(self, listener: socket.socket, target_port: int) -> None:
        self.address = f"127.0.0.1:{listener.getsockname()[1]}"
        self._listener = listener
        self._target_port = target_port
        self._recorded: list[bytearray] = []

    def requests(self) -> list[Sent]:
        """Return all requests so far, HTTP/1.1 and gRPC."""
        found: list[Sent] = []
        for recorded in self._recorded:
            stream = bytes(recorded)
            found += _grpc_requests(stream) if stream.startswith(_PREFACE) else _http_requests(stream)
        return found

    def serve(self) -> None:
        """Take connections until the listener is closed."""
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._target_port))
            recorded = bytearray()
            self._recorded.append(recorded)
            threading.Thread(target=_pump, args=(client, server, recorded), daemon=True).start()
            threading.Thread(target=_pump, args=(server, client, None), daemon=True).start()


@contextlib.contextmanager
def recording(target_port: int) -> Iterator[Recorder]:
    """Run a proxy before a server on loopback while the block runs."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        recorder = Recorder(listener, target_port)
        threading.Thread(target=recorder.serve, daemon=True).start()
        yield recorder
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)  # wakes accept()


def _pump(source: socket.socket, target: socket.socket, recorded: bytearray | None) -> None:
    with contextlib.suppress(OSError):
        while chunk := source.recv(65536):
            if recorded is not None:
                recorded += chunk  # before the server has it: its answer comes after
            target.sendall(chunk)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def _http_requests(stream: bytes) -> Iterator[Sent]:
    reader = io.BytesIO(stream)
    while line := reader.readline():
        method, path, _ = line.decode().split(" ")
        assert method == "POST"
        headers = http.client.parse_headers(reader)
        body = read_body(reader, headers)
        encoding = headers.get("Content-Encoding", "identity")
        if encoding == "gzip":
            body = gzip.decompress(body)
        yield Sent(path, headers["Content-Type"].partition(";")[0], encoding, body)


def read_body(reader: io.BufferedIOBase, headers: Message) -> bytes:
    """Return the body of an HTTP/1.1 request whose headers were read."""
    if headers.get("Transfer-Encoding") == "chunked":
        return b"".join(_chunks(reader))
    return reader.read(int(headers["Content-Length"]))


def _chunks(reader: io.BufferedIOBase) -> Iterator[bytes]:
    while size := int(reader.readline().partition(b";")[0], 16):
        yield reader.read(size)
        assert reader.readline() == b"\r\n"
    while reader.readline() != b"\r\n":
        continue


def _grpc_requests(stream: bytes) -> Iterator[Sent]:
    """Yield the unary calls of an HTTP/2 connection: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md."""
    decoder = hpack.Decoder()
    blocks: dict[int, bytes] = {}
    headers: dict[int, dict[str, str]] = {}
    bodies: dict[int, bytes] = {}
    for frame in _frames(stream):
        number = frame.stream_id
        if isinstance(frame, HeadersFrame | ContinuationFrame):
            blocks[number] = blocks.get(number, b"") + frame.data
            if "END_HEADERS" in frame.flags:
                headers[number] = {str(k): str(v) for k, v in decoder.decode(blocks.pop(number))}
        elif isinstance(frame, DataFrame):
            bodies[number] = bodies.get(number, b"") + frame.data
    for number, framed in sorted(bodies.items()):
        compressed, size = framed[0], int.from_bytes(framed[1:5], "big")
        message = framed[5:]
        assert len(message) == size, "one message a call"
        of_call = headers[number]
        encoding = of_call.get("grpc-encoding", "identity") if compressed else "identity"
        body = gzip.decompress(message) if encoding == "gzip" else message
        yield Sent(of_call[":path"], of_call["content-type"], encoding, body)


def _frames(stream: bytes) -> Iterator[Frame]:
    position = len(_PREFACE)
    while position < len(stream):
        frame, length = Frame.parse_frame_header(memoryview(stream[position : position + 9]))
        position += 9
        frame.parse_body(memoryview(stream[position : position + length]))
        position += length
        yield frame
