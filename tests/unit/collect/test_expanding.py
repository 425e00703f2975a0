"""Tests that compressed data is expanded piece by piece, whole or not silently."""

import gzip
import io

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from engagement.collect.expanding import BrokenDataError, compression_of, expand
from engagement.model.exports import Compression

WINDOW_BYTES_MAX = 8 * 1024 * 1024
COMPRESS = {
    Compression.GZIP: gzip.compress,
    Compression.ZSTD: zstandard.ZstdCompressor().compress,
}
compressions = st.sampled_from(list(COMPRESS))


def expanded(data: bytes, compression: Compression) -> tuple[bytes, int]:
    """What data expands to, and how often it was said that something trails behind it."""
    trails: list[None] = []
    pieces = expand(
        io.BytesIO(data).read,
        compression,
        zstd_window_bytes_max=WINDOW_BYTES_MAX,
        on_trailing=lambda: trails.append(None),
    )
    return b"".join(pieces), len(trails)


@given(compressions, st.lists(st.binary(max_size=300), min_size=1, max_size=3), st.integers(0, 9))
def test_members_one_after_another_with_padding_are_one_input(
    compression: Compression, parts: list[bytes], zeros: int
) -> None:
    data = b"".join(COMPRESS[compression](part) + b"\0" * zeros for part in parts)

    assert compression_of(data) is compression
    assert expanded(data, compression) == (b"".join(parts), 0)


@given(compressions, st.binary(max_size=300), st.data())
def test_data_that_is_cut_off_is_broken(
    compression: Compression, content: bytes, data: st.DataObject
) -> None:
    whole = COMPRESS[compression](content)
    cut = whole[: data.draw(st.integers(1, len(whole) - 1))]

    with pytest.raises(BrokenDataError):
        expanded(cut, compression)


@pytest.mark.parametrize("compression", COMPRESS)
def test_other_bytes_behind_the_end_are_left_out_and_told(compression: Compression) -> None:
    data = COMPRESS[compression](b"content") + b"other bytes"

    assert expanded(data, compression) == (b"content", 1)


def test_a_window_that_needs_too_much_memory_is_refused() -> None:
    wide = zstandard.ZstdCompressionParameters(window_log=27)
    data = zstandard.ZstdCompressor(compression_params=wide).compress(b"x" * 2**22)

    with pytest.raises(BrokenDataError):
        list(expand(io.BytesIO(data).read, Compression.ZSTD, zstd_window_bytes_max=2**20))


@pytest.mark.parametrize("head", [b"", b"{", b"\x1f", b"\x28\xb5\x2f", b"plain text"])
def test_what_has_no_magic_is_plain(head: bytes) -> None:
    assert compression_of(head) is Compression.NONE


def test_a_skippable_frame_is_zstd() -> None:
    assert compression_of(b"\x5f\x2a\x4d\x18") is Compression.ZSTD
