"""Tests that lines are read from plain, gzip and zstd input, and damage is told."""

import gzip
import io
from collections.abc import Callable
from typing import BinaryIO

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from engagement.collect.reading import read_lines
from engagement.exceptions import CorruptInputError
from engagement.model.limits import BODY_BYTES_MAX

SKIPPABLE_FRAME = b"\x5a\x2a\x4d\x18\x04\0\0\0abcd"
LINES = [b'{"n":%d,"noise":"%s"}' % (n, str(n * n * 7919).encode() * 5) for n in range(20_000)]
DATA = b"\n".join(LINES) + b"\n"

COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": gzip.compress,
    "gzip members": lambda data: gzip.compress(data[:99]) + gzip.compress(data[99:]),
    "zstd": zstandard.compress,
    "zstd frames": lambda data: (
        SKIPPABLE_FRAME + zstandard.compress(data[:99]) + zstandard.compress(data[99:])
    ),
}


class Pipe(io.RawIOBase):
    """A stream that cannot seek and gives little at a time, as a pipe does."""

    def __init__(self, data: bytes, step: int = 777) -> None:
        super().__init__()
        self._inner = io.BytesIO(data)
        self._step = step

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self._inner.read(min(size, self._step) if size >= 0 else self._step)


def pipe(data: bytes, step: int = 777) -> BinaryIO:
    return Pipe(data, step)  # type: ignore[return-value]


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("open_body", [io.BytesIO, pipe])
def test_lines_are_read_whatever_the_compression(
    compression: str, open_body: Callable[[bytes], BinaryIO]
) -> None:
    assert list(read_lines(open_body(COMPRESSIONS[compression](DATA)))) == LINES


@given(
    lines=st.lists(st.binary(max_size=30).filter(lambda line: b"\n" not in line)),
    compression=st.sampled_from(sorted(COMPRESSIONS)),
    step=st.integers(1, 40),
)
def test_any_lines_are_read_in_any_steps(lines: list[bytes], compression: str, step: int) -> None:
    data = COMPRESSIONS[compression](b"{}\n" + b"\n".join(lines))
    unmarked = [line.removeprefix(b"\xef\xbb\xbf") for line in lines]
    expected = [line.rstrip(b"\r") for line in unmarked if line.strip(b" \t\r\x0b\x0c")]

    assert list(read_lines(pipe(data, step))) == [b"{}", *expected]


def test_byte_order_mark_windows_line_ends_and_blank_lines_are_no_content() -> None:
    data = b'\xef\xbb\xbf{"a":1}\r\n\r\n  \n{"b":2}\n\xef\xbb\xbf\n\xef\xbb\xbf{"c":3}'

    assert list(read_lines(io.BytesIO(data))) == [b'{"a":1}', b'{"b":2}', b'{"c":3}']
    assert list(read_lines(io.BytesIO(b""))) == []


def test_longest_line_is_read_and_a_longer_one_is_named() -> None:
    longest = b"x" * BODY_BYTES_MAX

    assert list(read_lines(io.BytesIO(b"a\n" + longest + b"\nb"))) == [b"a", longest, b"b"]
    for longer in (longest + b"x", longest + b"x\nb"):
        lines = read_lines(io.BytesIO(b"a\n" + longer))
        assert next(lines) == b"a"
        with pytest.raises(CorruptInputError, match=f"Line 2 is longer than {BODY_BYTES_MAX}"):
            next(lines)


def test_endless_line_is_refused_without_reading_it_all() -> None:
    bomb = zstandard.compress(b"\0" * 200_000_000)
    source = io.BytesIO(bomb)

    with pytest.raises(CorruptInputError, match="Line 1 is longer"):
        list(read_lines(source))
    assert source.tell() <= len(bomb)


@pytest.mark.parametrize("compression", ["gzip", "gzip members", "zstd", "zstd frames"])
@pytest.mark.parametrize("cut", [1, 5, 1000, 20_000])
def test_cut_input_is_told_after_the_lines_before_it(compression: str, cut: int) -> None:
    whole = COMPRESSIONS[compression](DATA)

    seen, message = _read_until_damage(whole[: len(whole) - cut])

    assert seen == LINES[: len(seen)]
    assert message.startswith(
        f"Line {len(seen) + 1} cannot be read: the {compression.split(maxsplit=1)[0]}"
    )
    assert "cut off before byte" in message


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_input_of_a_magic_alone_is_cut(compression: str) -> None:
    _, message = _read_until_damage(COMPRESSIONS[compression](DATA)[:4])

    assert message.startswith("Line 1 cannot be read")


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_garbage_after_compressed_data_is_left_out_and_told(compression: str) -> None:
    warnings: list[int] = []
    data = COMPRESSIONS[compression](DATA) + b"garbage"

    assert list(read_lines(io.BytesIO(data), lambda: warnings.append(1))) == LINES
    assert warnings == [1]


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_broken_data_after_compressed_data_is_damage(compression: str) -> None:
    data = COMPRESSIONS[compression](DATA)
    seen, _ = _read_until_damage(data + data[:4] + b"garbage")

    assert seen == LINES[: len(seen)]


@pytest.mark.parametrize("place", [40, 5000, -3])
def test_damaged_gzip_is_told(place: int) -> None:
    damaged = bytearray(gzip.compress(DATA))
    damaged[place] ^= 0xFF

    _read_until_damage(bytes(damaged))


def _read_until_damage(data: bytes) -> tuple[list[bytes], str]:
    seen: list[bytes] = []
    with pytest.raises(CorruptInputError) as caught:
        seen.extend(read_lines(io.BytesIO(data)))
    return seen, str(caught.value)
