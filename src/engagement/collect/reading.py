"""This module reads a file of batches line by line, whatever it is compressed with."""

import gzip
from collections.abc import Iterator
from typing import Any, BinaryIO

import zstandard
from isal import igzip, isal_zlib

from engagement.collect.limits import BODY_BYTES_MAX
from engagement.exceptions import CorruptInputError

READ_BYTES = 256 * 1024
"""Bytes that are read at once."""
ZSTD_STEP_BYTES = 1024
"""Compressed bytes that are expanded at once; small, since each may become many thousands."""
ZSTD_WINDOW_BYTES_MAX = 128 * 1024 * 1024
"""Memory that a zstd frame may ask for; `zstd --long` stays within."""

_GZIP_MAGIC = b"\x1f\x8b"
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_ZSTD_SKIPPABLE_MAGICS = tuple(bytes((first, 0x2A, 0x4D, 0x18)) for first in range(0x50, 0x60))
_MAGIC_BYTES = 4
_GZIP_ERRORS: tuple[Any, ...] = (EOFError, gzip.BadGzipFile, isal_zlib.error)
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class _BrokenError(Exception):
    """Compressed data is damaged or ends too early."""


class _Source:
    """A stream whose first bytes were looked at and whose position is known."""

    def __init__(self, stream: BinaryIO) -> None:
        self.position = 0
        """Bytes given so far."""
        self.head = b""
        """The first bytes, which are given again."""
        while len(self.head) < _MAGIC_BYTES and (more := stream.read(READ_BYTES)):
            self.head += more
        self._waiting = self.head
        self._stream = stream

    def read(self, size: int) -> bytes:
        given = self._waiting[:size] if self._waiting else self._stream.read(size)
        self._waiting = self._waiting[size:]
        self.position += len(given)
        return given

    def readinto(self, buffer: memoryview) -> int:
        given = self.read(len(buffer))
        buffer[: len(given)] = given
        return len(given)


def read_lines(stream: BinaryIO) -> Iterator[bytes]:
    """Yield each line that is not blank, without its end, in bounded memory.

    Plain, gzip and zstd input is told by its first bytes; several gzip members or zstd frames
    one after another are one input.

    Raises:
        CorruptInputError: A line is longer than a batch may be, or the compressed data is damaged
            or cut off. It names the line; all lines before it were yielded.
    """
    source = _Source(stream)
    name, chunks = _expanded(source)
    number = 0
    try:
        for line in _lines(chunks):
            number += 1
            if len(line) > BODY_BYTES_MAX:
                raise CorruptInputError(
                    f"Line {number} is longer than {BODY_BYTES_MAX} bytes, the most that a batch "
                    "may have."
                )
            text = line.removeprefix(_BYTE_ORDER_MARK) if number == 1 else line
            if not text.isspace() and text:
                yield text.rstrip(b"\r")
    except _BrokenError as error:
        raise CorruptInputError(
            f"Line {number + 1} cannot be read: the {name} data is damaged or cut off before byte "
            f"{source.position} of the input ({error})."
        ) from error


def _expanded(source: _Source) -> tuple[str, Iterator[bytes]]:
    if source.head.startswith((_ZSTD_MAGIC, *_ZSTD_SKIPPABLE_MAGICS)):
        return "zstd", _zstd_chunks(source)
    if source.head.startswith(_GZIP_MAGIC):
        return "gzip", _gzip_chunks(source)
    return "plain", iter(lambda: source.read(READ_BYTES), b"")


def _lines(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The lines of the chunks; the start of one that is too long, and then nothing more."""
    start: list[bytes] = []
    start_bytes = 0
    for chunk in chunks:
        first, *rest = chunk.split(b"\n")
        start.append(first)
        start_bytes += len(first)
        if rest:
            yield b"".join(start)
            *whole, last = rest
            yield from whole
            start, start_bytes = [last], len(last)
        if start_bytes > BODY_BYTES_MAX:
            break
    if start_bytes:
        yield b"".join(start)


def _gzip_chunks(source: _Source) -> Iterator[bytes]:
    file = igzip.IGzipFile(fileobj=source, mode="rb")  # type: ignore[no-untyped-call]
    try:
        while chunk := file.read1(READ_BYTES):
            yield chunk
    except _GZIP_ERRORS as error:
        raise _BrokenError(error) from error


def _zstd_chunks(source: _Source) -> Iterator[bytes]:
    # The library's own reader takes a cut file for a complete one, so frames are followed here.
    decompressor = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW_BYTES_MAX)
    frame = None
    while data := source.read(ZSTD_STEP_BYTES):
        while data:
            frame = frame or decompressor.decompressobj()
            try:
                chunk = frame.decompress(data)
            except zstandard.ZstdError as error:
                raise _BrokenError(error) from error
            data = frame.unused_data if frame.eof else b""
            frame = None if frame.eof else frame
            if chunk:
                yield chunk
    if frame is not None:
        raise _BrokenError("the last frame has no end")
