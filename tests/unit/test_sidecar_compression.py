"""Compressed bodies: read a piece at a time, never expanded beyond what is asked for, damage refused."""

from __future__ import annotations

import gzip
import itertools
import os
import subprocess
import sys
import tracemalloc
import zlib
from typing import TYPE_CHECKING

import pytest
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st

from sidecar import compression
from sidecar.compression import CompressionError, Decompressor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

COMPRESS: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "zstd": zstd.compress}
BOTH = pytest.mark.parametrize("encoding", ["gzip", "zstd"])
GIB = 1024**3


def opened(encoding: str) -> Decompressor:
    decompressor = compression.decompressor(encoding)
    assert decompressor is not None
    return decompressor


def decompress(encoding: str, chunks: Iterable[bytes]) -> bytes:
    decompressor = opened(encoding)
    pieces = [piece for chunk in chunks for piece in decompressor.feed(chunk)]
    decompressor.finish()
    assert all(0 < len(piece) <= compression.MAX_PIECE for piece in pieces)
    return b"".join(pieces)


def zeros(encoding: str, size: int) -> Iterator[bytes]:
    """A bomb: so many bytes of zeros, compressed as they are asked for."""
    mebibyte = bytes(1024 * 1024)
    if encoding == "gzip":
        gzipped = zlib.compressobj(wbits=31)
        yield from (gzipped.compress(mebibyte) for _ in range(size // len(mebibyte)))
        yield gzipped.flush()
    else:
        compressor = zstd.ZstdCompressor()
        yield from (compressor.compress(mebibyte) for _ in range(size // len(mebibyte)))
        yield compressor.flush()


@BOTH
@given(data=st.data())
def test_what_was_compressed_comes_out_however_it_is_cut(encoding: str, data: st.DataObject) -> None:
    bodies = data.draw(st.lists(st.binary(max_size=200), min_size=1, max_size=4))
    compressed = b"".join(COMPRESS[encoding](body) for body in bodies)
    size = data.draw(st.integers(1, len(compressed)))
    chunks = [compressed[start : start + size] for start in range(0, len(compressed), size)]
    assert decompress(encoding, chunks) == b"".join(bodies)


@BOTH
@pytest.mark.parametrize("size", [0, compression.MAX_PIECE, compression.MAX_PIECE + 1, 5_000_000])
def test_bodies_of_every_size_come_out(encoding: str, size: int) -> None:
    body = os.urandom(size // 2) + bytes(size - size // 2)
    assert decompress(encoding, [COMPRESS[encoding](body)]) == body


@BOTH
def test_a_bomb_is_expanded_no_further_than_it_is_read(encoding: str) -> None:
    """Reading 64 MiB of a bomb of 10 GiB costs the memory of a few pieces."""
    limit, size = 64 * 1024 * 1024, 0
    decompressor = opened(encoding)
    bomb = zeros(encoding, 10 * GIB)
    tracemalloc.start()
    try:
        for piece in itertools.chain.from_iterable(map(decompressor.feed, bomb)):
            size += len(piece)
            if size > limit:
                break
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert limit < size <= limit + compression.MAX_PIECE
    assert peak < 8 * 1024 * 1024


@BOTH
def test_a_bomb_in_one_chunk_is_made_a_piece_at_a_time(encoding: str) -> None:
    bomb = b"".join(zeros(encoding, GIB))
    pieces = opened(encoding).feed(bomb)
    tracemalloc.start()
    try:
        size = sum(len(piece) for piece in itertools.islice(pieces, 100))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size <= 100 * compression.MAX_PIECE
    assert peak < 4 * 1024 * 1024


@BOTH
def test_a_body_that_ends_too_early_is_refused(encoding: str) -> None:
    compressed = COMPRESS[encoding](os.urandom(1000))
    for end in (0, 1, 5, len(compressed) // 2, len(compressed) - 1):
        with pytest.raises(CompressionError, match=f"ends in the middle of its {encoding} stream"):
            decompress(encoding, [compressed[:end]])


@BOTH
@pytest.mark.parametrize("body", [b"plain", b"\0" * 100, zlib.compress(b"of the other kind")])
def test_a_body_that_is_not_what_it_says_is_refused(encoding: str, body: bytes) -> None:
    with pytest.raises(CompressionError, match=f"the body is not {encoding}"):
        decompress(encoding, [body])


@BOTH
def test_what_follows_the_end_of_a_stream_has_to_be_a_stream(encoding: str) -> None:
    with pytest.raises(CompressionError, match=f"the body is not {encoding}"):
        decompress(encoding, [COMPRESS[encoding](b"all of it") + b"and something else"])


@BOTH
@given(data=st.data())
def test_damaged_bodies_are_read_or_refused_and_nothing_else(encoding: str, data: st.DataObject) -> None:
    body = bytearray(COMPRESS[encoding](b"a span, and a span, and another span" * 10))
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    try:
        decompress(encoding, [bytes(body[: data.draw(st.integers(0, len(body)))])])
    except CompressionError:
        return


@BOTH
def test_a_body_of_endless_empty_streams_is_refused(encoding: str) -> None:
    with pytest.raises(CompressionError, match=f"more than 4096 {encoding} streams"):
        decompress(encoding, [COMPRESS[encoding](b"") * 5000])


def test_a_zstd_frame_that_refers_further_back_than_http_allows_is_refused() -> None:
    """RFC 9659: 8 MiB. A frame asks for the memory of its window before it holds a byte."""
    options: dict[int, int] = {zstd.CompressionParameter.window_log: 24}
    compressor = zstd.ZstdCompressor(options=options)
    body = compressor.compress(os.urandom(100)) + compressor.flush()
    with pytest.raises(CompressionError, match="the body is not zstd"):
        decompress("zstd", [body])


def test_a_zstd_frame_with_the_largest_window_of_http_is_read() -> None:
    options: dict[int, int] = {zstd.CompressionParameter.window_log: 23}
    compressor = zstd.ZstdCompressor(options=options)
    body = os.urandom(100)
    assert decompress("zstd", [compressor.compress(body) + compressor.flush()]) == body


def test_identity_needs_no_decompressor_and_other_encodings_have_none() -> None:
    assert compression.decompressor("identity") is None
    assert compression.ENCODINGS == ("identity", "gzip", "zstd")
    with pytest.raises(ValueError, match="Content-Encoding 'br' is none of identity, gzip, zstd"):
        compression.decompressor("br")


def test_zstd_is_not_imported_before_it_is_needed() -> None:
    program = "import sys; from sidecar import compression as c; c.decompressor('gzip'); print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout
    assert "sidecar.compression" in loaded
    assert "zstd" not in loaded
