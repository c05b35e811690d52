"""The sidecar's HTTP server, spoken to over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sidecar import http1
from sidecar.http1 import Request, Response, Server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

GET = b"GET /there HTTP/1.1\r\nHost: x\r\n\r\n"


class Running:
    """A server with a route that echoes, and one that answers before it has read the body."""

    def __init__(self) -> None:
        self.port = 0
        self.gone = 0
        self.server = Server(
            {
                ("GET", "/there"): self.there,
                ("POST", "/echo"): self.echo,
                ("POST", "/refuse"): self.refuse,
                ("POST", "/fail"): self.fail,
                ("POST", "/slow"): self.slow,
            }
        )

    async def there(self, _: Request) -> Response:
        return Response(200, b"yes")

    async def echo(self, request: Request) -> Response:
        try:
            parts = [part async for part in request.body()]
        except http1.ClientGoneError:
            self.gone += 1
            raise
        return Response(200, b"".join(parts), request.headers.get("content-type", ""))

    async def refuse(self, _: Request) -> Response:
        return Response(413, b"too large")

    async def fail(self, _: Request) -> Response:
        raise RuntimeError("broken on purpose")

    async def slow(self, _: Request) -> Response:
        await asyncio.sleep(0.3)
        return Response(200, b"late")


@contextlib.asynccontextmanager
async def serving() -> AsyncIterator[Running]:
    running = Running()
    listener = socket.create_server(("127.0.0.1", 0))
    running.port = listener.getsockname()[1]
    await running.server.start(listener)
    try:
        yield running
    finally:
        await running.server.close(1)


async def talk(port: int, *sent: bytes, read: int = -1, half_close: bool = False) -> bytes:
    """Send, and return what comes until the server ends the connection, or so many bytes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with contextlib.suppress(ConnectionError):
        for part in sent:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0)
    if half_close:
        writer.write_eof()
    try:
        return await asyncio.wait_for(reader.read() if read < 0 else reader.readexactly(read), 5)
    finally:
        writer.close()


def post(path: bytes, body: bytes, *headers: bytes) -> bytes:
    lines = [b"POST " + path + b" HTTP/1.1", b"Content-Length: %d" % len(body), *headers, b"", body]
    return b"\r\n".join(lines)


CLOSE = b"Connection: close"


async def test_a_body_in_one_piece_or_many_arrives_whole() -> None:
    body = bytes(range(256)) * 4000
    async with serving() as running:
        at_once = await talk(running.port, post(b"/echo", body, CLOSE, b"Content-Type: a/b"))
        whole = post(b"/echo", body, CLOSE, b"Content-Type: a/b")
        in_pieces = await talk(running.port, *(whole[i : i + 7001] for i in range(0, len(whole), 7001)))
    assert at_once == in_pieces
    head, _, echoed = at_once.partition(b"\r\n\r\n")
    assert echoed == body
    assert head.split(b"\r\n") == [
        b"HTTP/1.1 200 OK",
        b"Content-Type: a/b",
        b"Content-Length: %d" % len(body),
        CLOSE,
    ]


async def test_a_chunked_body_arrives_whole() -> None:
    request = b"POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    async with serving() as running:
        answer = await talk(running.port, request, b"3\r\nabc\r\n", b"2;x=y\r\nde\r\n", b"0\r\n\r\n")
    assert answer.endswith(b"\r\n\r\nabcde")


async def test_a_connection_serves_many_requests_also_when_they_are_sent_without_waiting() -> None:
    async with serving() as running:
        answers = await talk(
            running.port, GET * 500 + GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        )
    assert answers.count(b"HTTP/1.1 200 OK") == 501
    assert answers.count(b"Connection: close") == 1


async def test_a_client_that_asks_whether_to_go_on_is_told_to() -> None:
    head, body = post(b"/echo", b"12345", CLOSE, b"Expect: 100-continue").split(b"\r\n\r\n")
    async with serving() as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(head + b"\r\n\r\n")
        assert await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5) == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(body)
        assert (await asyncio.wait_for(reader.read(), 5)).endswith(b"\r\n\r\n12345")
        writer.close()


async def test_an_offer_of_http_2_is_not_taken_and_the_request_answered() -> None:
    offer = (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQAAP__")
    async with serving() as running:
        answers = await talk(running.port, post(b"/echo", b"abc", *offer) + post(b"/echo", b"def", CLOSE))
    assert answers.count(b"HTTP/1.1 200 OK") == 2
    assert answers.index(b"abc") < answers.index(b"def")


async def test_who_is_refused_while_still_sending_gets_the_answer_and_not_a_reset() -> None:
    async with serving() as running:
        answer = await talk(running.port, post(b"/refuse", bytes(4 << 20)))
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert answer.endswith(b"too large")


async def test_an_unknown_path_a_wrong_method_and_a_failure_are_told_apart() -> None:
    async with serving() as running:
        answers = [
            await talk(running.port, post(path, b"", CLOSE)) for path in (b"/nowhere", b"/there", b"/fail")
        ]
    assert [answer.split(b"\r\n")[0] for answer in answers] == [
        b"HTTP/1.1 404 Not Found",
        b"HTTP/1.1 405 Method Not Allowed",
        b"HTTP/1.1 500 Internal Server Error",
    ]
    assert b"Allow: GET" in answers[1]
    assert b"broken on purpose" not in answers[2]


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"400"),
        (b"CONNECT x:1 HTTP/1.1\r\n\r\n", b"400"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"400"),
        (b"POST /echo HTTP/1.1\r\nContent-Length: x\r\n\r\n", b"400"),
        (b"POST /echo HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", b"400"),
        (b"GET /there HTTP/1.1\r\nA: " + bytes([65]) * (http1.LARGEST_HEAD + 300_000), b"431"),
        (b"GET /" + bytes([65]) * (http1.LARGEST_HEAD + 300_000), b"431"),
    ],
)
async def test_what_is_no_request_is_refused_and_the_connection_ended(sent: bytes, status: bytes) -> None:
    async with serving() as running:
        answer = await talk(running.port, sent)
        assert answer.split(b" ")[1] == status
        assert (await talk(running.port, GET, read=12)) == b"HTTP/1.1 200"


async def test_a_client_that_goes_away_in_the_middle_of_a_body_leaves_nothing_behind() -> None:
    async with serving() as running:
        assert await talk(running.port, post(b"/echo", bytes(1000))[:-10], half_close=True) == b""
        assert running.gone == 1
        assert not running.server._connections


async def test_a_body_that_nobody_reads_does_not_fill_the_memory() -> None:
    async with serving() as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(post(b"/slow", bytes(64 << 20)))
        await asyncio.sleep(0.1)
        (connection,) = running.server._connections
        assert connection._reading is not None
        assert connection._reading._waiting < 4 * http1._HIGH_WATER
        assert (await asyncio.wait_for(reader.read(), 5)).endswith(b"late")
        writer.close()


async def test_closing_lets_what_is_in_work_end_and_ends_idle_connections() -> None:
    async with serving() as running:
        idle = asyncio.create_task(talk(running.port))
        busy = asyncio.create_task(talk(running.port, post(b"/slow", b"")))
        await asyncio.sleep(0.1)
        await running.server.close(2)
        assert await idle == b""
        assert (await busy).endswith(b"late")


async def test_a_client_that_sends_too_slowly_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http1, "READ_SECONDS", 0.05)
    monkeypatch.setattr(http1, "_SWEEP_SECONDS", 0.02)
    async with serving() as running:
        assert await talk(running.port, post(b"/echo", b"abc")[:-1]) == b""
        assert running.gone == 1


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.one_of(st.binary(max_size=60), st.sampled_from([GET, post(b"/echo", b"abc"), b"\r\n"])), max_size=6
    )
)
def test_whatever_is_sent_the_server_goes_on_serving(sent: list[bytes]) -> None:
    async def attack() -> None:
        async with serving() as running:
            with contextlib.suppress(OSError):
                await talk(running.port, *sent, half_close=True)
            assert await talk(running.port, GET, read=12) == b"HTTP/1.1 200"

    asyncio.run(attack())
