"""A small HTTP/1.1 server on asyncio. httptools (llhttp, Node's parser) reads, this answers.

OTLP needs POST of a body and a status with a body, no more. The frameworks of asyncio take ten megabytes
and more for the rest, which every task would pay.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

import httptools

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    Handler = Callable[["Request"], Awaitable["Response"]]

_log = logging.getLogger("sidecar.http1")

# A request line with its headers is refused beyond so many bytes (431).
LARGEST_HEAD: Final = 64 * 1024
# From its first byte on, a request has to be in within this time, or its connection is cut.
READ_SECONDS: Final = 60.0
# A connection without a request is kept so long: longer than SDKs pause between two exports.
IDLE_SECONDS: Final = 300.0
# What a client still sends after it was refused is read and dropped for so long, so that it sees the answer.
_LINGER_SECONDS: Final = 2.0
_SWEEP_SECONDS: Final = 1.0
# Bytes of a body that wait for the handler; beyond it the client is slowed down.
_HIGH_WATER: Final = 256 * 1024


class ClientGoneError(Exception):
    """Raised to who reads a request's body when the rest of it will not come."""


@dataclass
class Response:
    """An answer.

    Attributes:
        status: of HTTP.
        body: its bytes.
        content_type: of the body.
        headers: more headers.
    """

    status: int
    body: bytes = b""
    content_type: str = "text/plain; charset=utf-8"
    headers: Mapping[str, str] = field(default_factory=dict)

    def encode(self, *, close: bool = False, body: bool = True) -> bytes:
        """Return the answer as it is sent; ``close`` tells the client that it is the connection's last."""
        lines = [
            f"HTTP/1.1 {self.status} {HTTPStatus(self.status).phrase}",
            f"Content-Type: {self.content_type}",
            f"Content-Length: {len(self.body)}",
            *(f"{name}: {value}" for name, value in self.headers.items()),
        ]
        if close:
            lines.append("Connection: close")
        head = "\r\n".join((*lines, "", "")).encode("latin-1")
        return head + self.body if body else head


class Request:
    """A request whose head is in; its body may still come.

    Attributes:
        method: ``POST``, …
        path: without the query.
        headers: by name in lower case; of a repeated one the last.
        complete: whether all of the body has come.
        keep_alive: whether the connection goes on after the answer.
    """

    def __init__(
        self, method: str, path: str, headers: dict[str, str], flow: _Flow, *, keep_alive: bool
    ) -> None:
        self.method = method
        self.path = path
        self.headers = headers
        self.keep_alive = keep_alive
        self.complete = False
        self._flow = flow
        self._parts: deque[bytes] = deque()
        self._waiting = 0
        self._more = asyncio.Event()
        self._gone = False
        self._dropped = False

    async def body(self) -> AsyncIterator[bytes]:
        """Give the body's bytes as they come.

        Raises:
            ClientGoneError: the connection ended first.
        """
        while True:
            while self._parts:
                part = self._parts.popleft()
                self._waiting -= len(part)
                if self._waiting <= _HIGH_WATER:
                    self._flow.resume()
                yield part
            if self._gone:
                raise ClientGoneError
            if self.complete:
                return
            self._more.clear()
            await self._more.wait()

    def feed(self, part: bytes) -> None:
        """Take a part of the body from the connection."""
        if self._dropped:
            return
        self._parts.append(part)
        self._waiting += len(part)
        if self._waiting > _HIGH_WATER:
            self._flow.pause()
        self._more.set()

    def end(self, *, gone: bool = False) -> None:
        """Note that the body is complete, or that the rest will not come."""
        self.complete = self.complete or not gone
        self._gone = not self.complete
        self._more.set()

    def drop_body(self) -> None:
        """Keep nothing of the body any more: it was answered without it."""
        self._dropped = True
        self._parts.clear()
        self._waiting = 0
        self._flow.resume()


class _Flow:
    """Stops and goes on reading from a connection."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._paused = False

    def pause(self) -> None:
        if not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        if self._paused:
            self._paused = False
            self._transport.resume_reading()


class Server:
    """Serves a listening socket until it is closed.

    Args:
        routes: the handler by method and path. What it raises is logged and answered with 500.
    """

    def __init__(self, routes: Mapping[tuple[str, str], Handler]) -> None:
        self._routes = routes
        self._connections: set[_Connection] = set()
        self._server: asyncio.Server | None = None
        self._sweeping: asyncio.TimerHandle | None = None

    async def start(self, listener: socket.socket) -> None:
        """Take connections from a socket that is bound."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Connection(self._answer, self._connections), sock=listener
        )
        self._sweep()

    async def close(self, seconds: float) -> None:
        """Take no more connections; let what is under way end, within ``seconds``."""
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            connection.end_when_idle()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while self._connections and loop.time() < deadline:
            await asyncio.sleep(0.01)
        for connection in list(self._connections):
            connection.abort()
        if self._sweeping is not None:
            self._sweeping.cancel()

    def _sweep(self) -> None:
        """Cut what is overdue: one timer for all, since a request's own would cost at each of them."""
        loop = asyncio.get_running_loop()
        for connection in list(self._connections):
            connection.cut_if_due(loop.time())
        self._sweeping = loop.call_later(_SWEEP_SECONDS, self._sweep)

    async def _answer(self, request: Request) -> Response:
        handler = self._routes.get((request.method, request.path))
        if handler is None:
            return self._no_handler(request)
        try:
            return await handler(request)
        except ClientGoneError:
            raise
        except Exception:
            _log.exception("a request of %s failed", request.path)
            return Response(500, b"the sidecar failed; its log says how\n")

    def _no_handler(self, request: Request) -> Response:
        allowed = sorted(method for method, path in self._routes if path == request.path)
        if not allowed:
            return Response(404, b"there is nothing here\n")
        needed = f"{' or '.join(allowed)} is needed\n".encode()
        return Response(405, needed, headers={"Allow": ", ".join(allowed)})


class _Connection(asyncio.Protocol):
    """One connection: reads requests, has them answered one after the other."""

    _transport: asyncio.Transport
    _flow: _Flow

    def __init__(self, answer: Handler, connections: set[_Connection]) -> None:
        self._answer = answer
        self._connections = connections
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._method = ""
        self._url = b""
        self._upgrading = False
        self._headers: dict[str, str] = {}
        self._head_size = 0
        self._in_head = False
        self._reading: Request | None = None  # its body is coming in
        self._pending: deque[Request] = deque()  # not answered yet; the first is in work
        self._answering: asyncio.Task[None] | None = None
        self._ending = False  # no further request is taken
        self._deaf = False  # what comes is not even parsed
        self._due: float | None = None  # when it is cut (the loop's clock); None while an answer is made

    # --- what the event loop calls ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - a TCP server's is
        self._transport = transport
        self._flow = _Flow(transport)
        self._connections.add(self)
        self._due = self._loop.time() + IDLE_SECONDS

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the signature is asyncio's
        self._connections.discard(self)
        self._ending = True
        if self._reading is not None:
            self._reading.end(gone=True)

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        rest = data
        try:
            while rest:
                rest = self._feed(rest)
        except httptools.HttpParserError as error:
            self._refuse(400, f"not a request of HTTP/1.1: {error}")
            return
        if self._in_head:
            self._head_size += len(data)
            if self._head_size > LARGEST_HEAD:
                self._refuse(431, f"request line and headers are larger than {LARGEST_HEAD} bytes")
        elif len(self._pending) > 1:
            self._flow.pause()  # who does not wait for answers waits for room

    def _feed(self, data: bytes) -> bytes:
        """Parse; return what is to be parsed again after an offer to upgrade."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            # Java's client offers HTTP/2, which is not taken (RFC 9110, 7.8: then the request is one of
            # HTTP/1.1). llhttp parses no further in such a request, so it gets it without the offer.
            if self._method == "CONNECT":
                raise httptools.HttpParserError("CONNECT is for proxies") from None
            self._parser = httptools.HttpRequestParser(self)
            return self._head_without_offer() + data[upgrade.args[0] :]
        return b""

    def _head_without_offer(self) -> bytes:
        kept = (
            f"{name}: {value}"
            for name, value in self._headers.items()
            if name not in ("connection", "upgrade", "http2-settings")
        )
        line = f"{self._method} {self._url.decode('latin-1')} HTTP/1.1"
        return "\r\n".join((line, *kept, "", "")).encode("latin-1")

    # --- what the parser calls ---

    def on_message_begin(self) -> None:
        self._url, self._headers = b"", {}
        self._head_size, self._in_head = 0, True
        self._due = self._loop.time() + READ_SECONDS

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._method = self._parser.get_method().decode("latin-1")
        self._upgrading = self._parser.should_upgrade()
        if self._ending or self._upgrading:
            return
        path = self._url.partition(b"?")[0].decode("latin-1")
        keep_alive = self._parser.should_keep_alive()
        self._reading = Request(self._method, path, self._headers, self._flow, keep_alive=keep_alive)
        self._pending.append(self._reading)
        if self._headers.get("expect", "").lower() == "100-continue":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if self._answering is None:
            self._answering = self._loop.create_task(self._answer_all())

    def on_body(self, body: bytes) -> None:
        if self._reading is not None:
            self._reading.feed(body)

    def on_message_complete(self) -> None:
        if self._upgrading:
            return
        if self._reading is not None:
            self._reading.end()
            self._reading = None
        self._due = None
        if self._ending and self._answering is None:
            self._transport.close()

    # --- answering ---

    async def _answer_all(self) -> None:
        try:
            while self._pending and not self._ending:
                await self._answer_one(self._pending[0])
                self._pending.popleft()
        except ClientGoneError:
            self._transport.abort()
        self._answering = None
        if self._ending and self._reading is not None:
            self._linger()
        elif self._ending:
            self._transport.close()
        elif self._reading is None:
            self._due = self._loop.time() + IDLE_SECONDS
        self._flow.resume()

    async def _answer_one(self, request: Request) -> None:
        response = await self._answer(request)
        if self._transport.is_closing():
            return
        # A body that was not waited for stands before the next request.
        last = not request.complete or not request.keep_alive
        self._transport.write(response.encode(close=last, body=request.method != "HEAD"))
        if last:
            self._ending = True
            request.drop_body()

    def _refuse(self, status: int, message: str) -> None:
        """Answer what cannot be read, and end the connection."""
        if self._reading is not None:
            self._reading.end(gone=True)
            self._reading = None
        if self._answering is not None:
            self._transport.abort()
            return
        self._transport.write(Response(status, message.encode() + b"\n").encode(close=True))
        self._linger(deaf=True)

    # --- ending ---

    def end_when_idle(self) -> None:
        """Answer what is in work, and end."""
        if self._answering is None:
            self._transport.close()
        for request in self._pending:
            request.keep_alive = False

    def cut_if_due(self, now: float) -> None:
        """End a connection that has been idle or slow for too long."""
        if self._due is not None and now >= self._due:
            self._transport.abort()

    def abort(self) -> None:
        """End now."""
        self._transport.abort()

    def _linger(self, *, deaf: bool = False) -> None:
        """End once the client has its answer: what it still sends is read for a while and dropped.

        Closing with unread bytes would reset the connection, and the answer be lost with it.
        """
        self._ending, self._deaf = True, deaf
        with contextlib.suppress(OSError):  # the client is gone already
            self._transport.write_eof()
        self._due = self._loop.time() + _LINGER_SECONDS
