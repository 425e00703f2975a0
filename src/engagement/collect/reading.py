"""Reads a file of batches line by line, whatever it is compressed with."""

from collections.abc import Callable, Iterator
from typing import BinaryIO

from engagement.collect.broken_json import BYTE_ORDER_MARK
from engagement.collect.expanding import MAGIC_BYTES, BrokenDataError, compression_of, expand
from engagement.exceptions import CorruptInputError
from engagement.model.exports import Compression
from engagement.model.limits import BODY_BYTES_MAX

READ_BYTES = 256 * 1024
"""Bytes that are read at once."""
ZSTD_WINDOW_BYTES_MAX = 128 * 1024 * 1024
"""Memory that a zstd frame may ask for; `zstd --long` stays within."""


class _Source:
    """A stream whose first bytes were looked at and whose position is known."""

    def __init__(self, stream: BinaryIO) -> None:
        self.position = 0
        """Bytes given so far."""
        self.head = b""
        """The first bytes, which are given again."""
        while len(self.head) < MAGIC_BYTES and (more := stream.read(MAGIC_BYTES)):
            self.head += more
        self._waiting = self.head
        self._stream = stream

    def read(self, size: int) -> bytes:
        given = self._waiting[:size] if self._waiting else self._stream.read(size)
        self._waiting = self._waiting[size:]
        self.position += len(given)
        return given


def read_lines(stream: BinaryIO, on_trailing: Callable[[], None] = lambda: None) -> Iterator[bytes]:
    """Yield each line that is not blank, without its end, in bounded memory.

    Plain, gzip and zstd input is told by its first bytes; several gzip members or zstd frames
    one after another are one input.

    Args:
        stream: The input.
        on_trailing: Called if there are bytes behind the end of compressed data, which are left
            out.

    Raises:
        CorruptInputError: A line is longer than a batch may be, or the compressed data is damaged
            or cut off. It names the line; all lines before it were yielded.
    """
    source = _Source(stream)
    compression = compression_of(source.head)
    number = 0
    try:
        for line in _lines(_pieces(source, compression, on_trailing)):
            number += 1
            if len(line) > BODY_BYTES_MAX:
                raise CorruptInputError(
                    f"Line {number} is longer than {BODY_BYTES_MAX} bytes, the most that a batch "
                    "may have."
                )
            text = line.removeprefix(BYTE_ORDER_MARK)  # files that were joined have one each
            if not text.isspace() and text:
                yield text.rstrip(b"\r")
    except BrokenDataError as error:
        raise CorruptInputError(
            f"Line {number + 1} cannot be read: the {compression} data is damaged or cut off "
            f"before byte {source.position} of the input ({error})."
        ) from error


def _pieces(
    source: _Source, compression: Compression, on_trailing: Callable[[], None]
) -> Iterator[bytes]:
    if compression is Compression.NONE:
        return iter(lambda: source.read(READ_BYTES), b"")
    return expand(
        source.read,
        compression,
        zstd_window_bytes_max=ZSTD_WINDOW_BYTES_MAX,
        on_trailing=on_trailing,
    )


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
