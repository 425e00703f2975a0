"""Expands gzip and zstd data piece by piece, so that no piece becomes much."""

from collections.abc import Callable, Iterator
from typing import Any

import zstandard
from isal import isal_zlib

from engagement.model.compression import GZIP_WINDOW_BITS
from engagement.model.exports import Compression

MAGIC_BYTES = 4
"""Bytes that are needed to tell what data is compressed with."""
GZIP_STEP_BYTES = 8 * 1024
"""Compressed bytes that are expanded at once; each may become a thousand."""
ZSTD_STEP_BYTES = 128
"""Compressed bytes that are expanded at once; each may become 32 thousand."""

_GZIP_MAGIC = b"\x1f\x8b"
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_ZSTD_SKIPPABLE_MAGICS = tuple(bytes((first, 0x2A, 0x4D, 0x18)) for first in range(0x50, 0x60))
_ERRORS: tuple[Any, ...] = (isal_zlib.error, zstandard.ZstdError)


class BrokenDataError(Exception):
    """Compressed data is damaged or ends too early."""


def compression_of(head: bytes) -> Compression:
    """What data is compressed with, told by its first bytes."""
    if head.startswith(_GZIP_MAGIC):
        return Compression.GZIP
    if head.startswith((_ZSTD_MAGIC, *_ZSTD_SKIPPABLE_MAGICS)):
        return Compression.ZSTD
    return Compression.NONE


def expand(
    read: Callable[[int], bytes],
    compression: Compression,
    *,
    zstd_window_bytes_max: int,
    on_trailing: Callable[[], None] = lambda: None,
) -> Iterator[bytes]:
    """Yield what compressed data expands to, in pieces of some megabytes at most.

    Several gzip members or zstd frames one after another are one input. Zeros between or after
    them are padding, as tools leave it that write whole blocks. Other bytes behind a whole member
    or frame end the input, as for the tools of both.

    Args:
        read: Gives the next bytes, as many as are asked for or fewer; none at the end.
        compression: What the data is compressed with.
        zstd_window_bytes_max: Memory that a zstd frame may ask for.
        on_trailing: Called if there are bytes behind the end, which are left out.

    Raises:
        BrokenDataError: The data is damaged or cut off; all before it was yielded.
    """
    step_bytes = GZIP_STEP_BYTES
    new_stream: Callable[[], Any] = _gzip_member
    if compression is Compression.ZSTD:
        step_bytes = ZSTD_STEP_BYTES
        new_stream = zstandard.ZstdDecompressor(max_window_size=zstd_window_bytes_max).decompressobj
    # The libraries' own readers take a cut zstd file for a whole one, so streams are followed here.
    stream = None
    is_first = True
    while data := read(step_bytes):
        while data := data if stream else data.lstrip(b"\0"):
            if stream is None:
                data = data if is_first else _with_magic(data, read)
                if not is_first and compression_of(data) is not compression:
                    on_trailing()
                    return
                stream, is_first = new_stream(), False
            try:
                piece = stream.decompress(data)
            except _ERRORS as error:
                raise BrokenDataError(error) from error
            data = stream.unused_data if stream.eof else b""
            stream = None if stream.eof else stream
            if piece:
                yield piece
    if stream is not None:
        raise BrokenDataError("it has no end")


def _with_magic(data: bytes, read: Callable[[int], bytes]) -> bytes:
    """The data with as much more behind it as tells what it is compressed with."""
    while len(data) < MAGIC_BYTES and (more := read(MAGIC_BYTES)):
        data += more
    return data


def _gzip_member() -> Any:
    return isal_zlib.decompressobj(wbits=GZIP_WINDOW_BITS)
