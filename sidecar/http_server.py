"""Takes OTLP over HTTP: protobuf and JSON, plain or gzip."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from aiohttp import web
from grpc import StatusCode

from otel_prefect import semconv
from sidecar import access
from sidecar.forward import LONGEST_SECONDS
from sidecar.otlp import SIGNALS
from sidecar.refusal import RETRY_AFTER_SECONDS, Refusal, malformed, too_large

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from sidecar.intake import Intake
    from sidecar.otlp import Signal
    from sidecar.settings import Settings

PROTOBUF = "application/x-protobuf"
JSON = "application/json"
# How much is decompressed at a time, so that a bomb is stopped near the limit and not after it.
_CHUNK = 256 * 1024


def application(settings: Settings, intake: Intake) -> web.Application:
    """Return the application that takes requests.

    Args:
        settings: how large they may be, and from whom.
        intake: where they go.
    """
    app = web.Application()
    for signal in SIGNALS:
        app.router.add_post(signal.path, _handler(signal, settings, intake))
    return app


def _handler(
    signal: Signal, settings: Settings, intake: Intake
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def export(request: web.Request) -> web.StreamResponse:
        content_type = request.content_type
        try:
            access.check(request.headers.get(access.HEADER), settings.bearer_token)
            if content_type not in (PROTOBUF, JSON):
                raise Refusal(
                    StatusCode.INVALID_ARGUMENT,
                    f"Content-Type {content_type!r} is not taken: {PROTOBUF} or {JSON} is needed",
                    http_status=415,
                )
            with intake.room.hold() as take_room:
                body = await _read(request, settings.max_request_bytes, take_room)
                if content_type == PROTOBUF:
                    response = await intake.take(signal, "http", body, LONGEST_SECONDS)
                else:
                    response = await _take_json(signal, intake, body)
        except Refusal as refusal:
            return _refused(refusal, content_type)
        return web.Response(body=response, content_type=content_type)

    return export


async def _take_json(signal: Signal, intake: Intake, body: bytes) -> bytes:
    # Imported where it is needed: SDKs send protobuf, and this costs a megabyte.
    from sidecar import otlp_json  # noqa: PLC0415

    try:
        encoded = otlp_json.decode(signal, body)
    except otlp_json.JsonError as error:
        raise malformed(f"not an OTLP/JSON request of {signal.name}: {error}") from None
    response = await intake.take(signal, "http", encoded, LONGEST_SECONDS)
    return otlp_json.encode_response(signal, response)


async def _read(request: web.Request, limit: int, take_room: Callable[[int], None]) -> bytes:
    """Return the request's body, decompressed; never more of it than the limit is held.

    Raises:
        Refusal: it is too large, compressed in an unknown way or damaged, or there is no room for it.
    """
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("identity", "gzip"):
        raise Refusal(
            StatusCode.INVALID_ARGUMENT,
            f"Content-Encoding {encoding!r} is not taken: gzip or none is needed",
            http_status=415,
        )
    decompress = zlib.decompressobj(wbits=31) if encoding == "gzip" else None
    parts: list[bytes] = []
    size = 0

    def keep(part: bytes) -> None:
        nonlocal size
        size += len(part)
        if size > limit:
            raise too_large(limit, semconv.ENV_MAX_REQUEST_MIB.name)
        take_room(len(part))
        parts.append(part)

    try:
        async for chunk in request.content.iter_any():
            if decompress is None:
                keep(chunk)
                continue
            pending = chunk
            while pending and not decompress.eof:
                keep(decompress.decompress(pending, _CHUNK))
                pending = decompress.unconsumed_tail
        if decompress is not None:
            keep(decompress.flush())
            if not decompress.eof:
                raise malformed("Content-Encoding is gzip, but the body ends in the middle of it")
    except zlib.error as error:
        raise malformed(f"Content-Encoding is gzip, but the body is not: {error}") from None
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _refused(refusal: Refusal, content_type: str) -> web.Response:
    status = refusal.status()
    if content_type == JSON:
        from sidecar import otlp_json  # noqa: PLC0415 - as above

        body = otlp_json.encode_status(status)
    else:
        content_type, body = PROTOBUF, status.SerializeToString()
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)} if refusal.retry else {}
    return web.Response(status=refusal.http_status, body=body, content_type=content_type, headers=headers)
