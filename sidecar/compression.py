"""Decompresses request bodies a piece at a time, so that a bomb is never expanded further than it is read.

gzip is what OTLP has every server take (https://opentelemetry.io/docs/specs/otlp/#otlphttp-request); zstd
is what the Collector can send. Both may be several streams one after the other (RFC 1952, 2.2; RFC 8878,
3.1), and are read so.

    decompressor = compression.decompressor(encoding)   # None: the body is as it is
    async for chunk in content:
        for piece in decompressor.feed(chunk):
            keep(piece)                                 # may raise: what was not asked for is never made
    decompressor.finish()

Only the output is bounded here. A caller has to bound the input too: a stream can go on for ever and hold
nothing.
"""

from __future__ import annotations

import sys
import zlib
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

IDENTITY: Final = "identity"
# What Content-Encoding may say, in lower case.
ENCODINGS: Final[tuple[str, ...]] = (IDENTITY, "gzip", "zstd")
# No piece is longer, in bytes.
MAX_PIECE: Final = 256 * 1024
# How far back a zstd stream may refer, as a power of two: 8 MiB. RFC 9659 has no one send more over HTTP,
# and a frame of a few bytes could ask for 2 GiB.
_ZSTD_WINDOW_LOG: Final = 23
# How much of a body is looked at together. What follows the end of a stream is copied, so with streams of
# a few bytes more would cost quadratic time.
_BLOCK: Final = 4096
# Streams in one body. Encoders make one, parallel ones one each 100 KiB or so; an empty one costs 2 µs.
_MAX_STREAMS: Final = 4096


class CompressionError(ValueError):
    """Raised when a body is not what its encoding says, or ends too early; the text names the encoding."""


class _Stream(Protocol):
    """One stream of a body: a member of gzip, a frame of zstd."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class Decompressor:
    """Decompresses one body.

    Args:
        encoding: its name, for errors.
        open_stream: gives what reads one stream.
        damaged: the exception by which that says that the bytes are none.
    """

    def __init__(self, encoding: str, open_stream: Callable[[], _Stream], damaged: type[Exception]) -> None:
        self._encoding = encoding
        self._open_stream = open_stream
        self._damaged = damaged
        self._stream: _Stream | None = None
        self._streams = 0

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Give what the next part of the body holds.

        Args:
            chunk: bytes of the body, as many as came.

        Yields:
            Pieces of 1 to ``MAX_PIECE`` bytes, each made when it is asked for. All must be taken before the
            next chunk is fed.

        Raises:
            CompressionError: the body is damaged.
        """
        for start in range(0, len(chunk), _BLOCK):
            yield from self._feed(chunk[start : start + _BLOCK])

    def _feed(self, pending: bytes) -> Iterator[bytes]:
        while pending or self._stream is not None:
            stream = self._stream or self._open()
            try:
                piece = stream.decompress(pending, MAX_PIECE)
            except self._damaged as error:
                raise CompressionError(f"the body is not {self._encoding}: {error}") from None
            if piece:
                yield piece
            if stream.eof:
                pending = stream.unused_data
                self._stream = None
            elif len(piece) < MAX_PIECE:
                return  # it needs more than it has
            else:
                pending = b""

    def _open(self) -> _Stream:
        self._streams += 1
        if self._streams > _MAX_STREAMS:
            raise CompressionError(f"the body has more than {_MAX_STREAMS} {self._encoding} streams")
        self._stream = self._open_stream()
        return self._stream

    def finish(self) -> None:
        """Say that the whole body was fed.

        Raises:
            CompressionError: there was nothing, or it ends in the middle.
        """
        if self._stream is not None or not self._streams:
            raise CompressionError(f"the body ends in the middle of its {self._encoding} stream")


def decompressor(encoding: str) -> Decompressor | None:
    """Return what decompresses a body of this encoding; None for ``identity``.

    Raises:
        ValueError: the encoding is none of ``ENCODINGS``.
    """
    if encoding == IDENTITY:
        return None
    if encoding == "gzip":
        return Decompressor(encoding, _GzipMember, zlib.error)
    if encoding == "zstd":
        return _zstd()
    raise ValueError(f"Content-Encoding {encoding!r} is none of {', '.join(ENCODINGS)}")


class _GzipMember:
    """One gzip stream. ``zlib`` hands unread input back; this keeps it, as the other libraries do."""

    def __init__(self) -> None:
        self._decompress = zlib.decompressobj(wbits=31)

    @property
    def eof(self) -> bool:
        return self._decompress.eof

    @property
    def unused_data(self) -> bytes:
        return self._decompress.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._decompress.decompress(self._decompress.unconsumed_tail + data, max_length)


def _zstd() -> Decompressor:
    # Imported where it is needed: SDKs send gzip.
    if sys.version_info >= (3, 14):
        from compression import zstd  # noqa: PLC0415
    else:
        from backports import zstd  # noqa: PLC0415

    options: dict[int, int] = {zstd.DecompressionParameter.window_log_max: _ZSTD_WINDOW_LOG}
    return Decompressor("zstd", lambda: zstd.ZstdDecompressor(options=options), zstd.ZstdError)
