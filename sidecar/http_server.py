"""Takes OTLP over HTTP: protobuf and JSON, plain or compressed."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from grpc import StatusCode

from otel_prefect import semconv
from sidecar import access, compression
from sidecar.forward import LONGEST_SECONDS
from sidecar.http1 import Response
from sidecar.otlp import SIGNALS
from sidecar.refusal import RETRY_AFTER_SECONDS, Refusal, malformed, too_large

if TYPE_CHECKING:
    from collections.abc import Callable

    from sidecar.http1 import Handler, Request
    from sidecar.intake import Intake
    from sidecar.otlp import Signal
    from sidecar.settings import Settings

PROTOBUF = "application/x-protobuf"
JSON = "application/json"
# JSON is decoded to Python's own objects: that takes some twelve times its size in memory, and a second of
# the event loop for so much. Who sends more has protobuf.
LARGEST_JSON = 4 * 1024 * 1024
_JSON_ROOM = 12
_VARIABLE = semconv.ENV_MAX_REQUEST_MIB.name


def routes(settings: Settings, intake: Intake) -> dict[tuple[str, str], Handler]:
    """Return the handlers by method and path.

    Args:
        settings: how large requests may be, and from whom.
        intake: where they go.
    """
    return {("POST", signal.path): _handler(signal, settings, intake) for signal in SIGNALS}


def _handler(signal: Signal, settings: Settings, intake: Intake) -> Handler:
    async def export(request: Request) -> Response:
        content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        try:
            access.check(request.headers.get(access.HEADER), settings.bearer_token)
            if content_type not in (PROTOBUF, JSON):
                raise _not_taken("Content-Type", content_type, f"{PROTOBUF} or {JSON}")
            with intake.room.hold() as take_room:
                if content_type == PROTOBUF:
                    limit = _Limit(settings.max_request_bytes, f"{_VARIABLE} raises the limit")
                    body = await _read(request, limit, take_room)
                    response = await intake.take(signal, "http", body, LONGEST_SECONDS)
                else:
                    limit = _Limit(min(LARGEST_JSON, settings.max_request_bytes), f"{PROTOBUF} takes more")
                    body = await _read(request, limit, take_room)
                    take_room((_JSON_ROOM - 1) * len(body))
                    response = await _take_json(signal, intake, body)
        except Refusal as refusal:
            return _refused(refusal, content_type)
        return Response(200, response, content_type)

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


class _Limit(NamedTuple):
    """The bytes that a body may have after decompression, and what to do where it has more."""

    size: int
    way_out: str


async def _read(request: Request, limit: _Limit, take_room: Callable[[int], None]) -> bytes:
    """Return the request's body, decompressed; never more of it than the limit is held.

    Raises:
        Refusal: it is too large, compressed in an unknown way or damaged, or there is no room for it.
        ClientGoneError: the client went away.
    """
    encoding = request.headers.get("content-encoding", compression.IDENTITY).strip().lower()
    if encoding not in compression.ENCODINGS:
        raise _not_taken("Content-Encoding", encoding, " or ".join(compression.ENCODINGS))
    decompressor = compression.decompressor(encoding)
    parts: list[bytes] = []
    size = received = 0

    def keep(part: bytes) -> None:
        nonlocal size
        size += len(part)
        if size > limit.size:
            raise too_large(*limit)
        take_room(len(part))
        parts.append(part)

    try:
        async for chunk in request.body():
            received += len(chunk)
            if received > limit.size:
                raise too_large(*limit)
            if decompressor is None:
                keep(chunk)
            else:
                for piece in decompressor.feed(chunk):
                    keep(piece)
        if decompressor is not None:
            decompressor.finish()
    except compression.CompressionError as error:
        raise malformed(f"Content-Encoding: {error}") from None
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _not_taken(header: str, value: str, needed: str) -> Refusal:
    return Refusal(
        StatusCode.INVALID_ARGUMENT, f"{header} {value!r} is not taken: {needed} is needed", http_status=415
    )


def _refused(refusal: Refusal, content_type: str) -> Response:
    status = refusal.status()
    if content_type == JSON:
        from sidecar import otlp_json  # noqa: PLC0415 - as above

        body = otlp_json.encode_status(status)
    else:
        content_type, body = PROTOBUF, status.SerializeToString()
    headers = {"Retry-After": str(RETRY_AFTER_SECONDS)} if refusal.retry else {}
    return Response(refusal.http_status, body, content_type, headers)
