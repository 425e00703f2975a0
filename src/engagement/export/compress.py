"""This module compresses a stream of bytes, the same bytes for the same input."""

from collections.abc import Callable, Iterable, Iterator

import zstandard
from isal import isal_zlib

from engagement.model.exports import Compression

GZIP_LEVEL = 1
ZSTD_LEVEL = 1
_GZIP_WINDOW_BITS = 31
"""A gzip header with no file name and no time, so that equal input gives equal bytes."""


def compress(
    chunks: Iterable[bytes | memoryview], compression: Compression
) -> Iterator[bytes | memoryview]:
    """The chunks, compressed as one gzip member or one zstd frame, or as they are."""
    return _COMPRESSORS[compression](chunks)


def _plain(chunks: Iterable[bytes | memoryview]) -> Iterator[bytes | memoryview]:
    yield from chunks


def _gzip(chunks: Iterable[bytes | memoryview]) -> Iterator[bytes | memoryview]:
    compressor = isal_zlib.compressobj(GZIP_LEVEL, isal_zlib.DEFLATED, _GZIP_WINDOW_BITS)
    for chunk in chunks:
        if out := compressor.compress(chunk):
            yield out
    yield compressor.flush()


def _zstd(chunks: Iterable[bytes | memoryview]) -> Iterator[bytes | memoryview]:
    compressor = zstandard.ZstdCompressor(level=ZSTD_LEVEL, write_content_size=False).compressobj()
    for chunk in chunks:
        if out := compressor.compress(chunk):
            yield out
    yield compressor.flush()


_COMPRESSORS: dict[
    Compression, Callable[[Iterable[bytes | memoryview]], Iterator[bytes | memoryview]]
] = {
    Compression.NONE: _plain,
    Compression.GZIP: _gzip,
    Compression.ZSTD: _zstd,
}
