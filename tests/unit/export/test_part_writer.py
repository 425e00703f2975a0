"""Tests that a part's bytes are the same whenever they are written, and its receipt true."""

import gzip
import hashlib
import threading
from collections.abc import Iterator

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from engagement.export.part_writer import PartWriter, compress, part_receipt, read_ahead
from engagement.model.exports import Compression, ExportFormat, ExportType
from support.batches import everything
from support.home import Home

EXPAND = {
    Compression.NONE: bytes,
    Compression.GZIP: gzip.decompress,
    Compression.ZSTD: lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data),
}


@given(st.lists(st.binary(max_size=50), max_size=6), st.sampled_from(list(Compression)))
def test_chunks_are_compressed_as_one_stream(chunks: list[bytes], compression: Compression) -> None:
    data = b"".join(compress(chunks, compression))

    assert EXPAND[compression](data) == b"".join(chunks)


@pytest.mark.parametrize("export_format", list(ExportFormat))
def test_a_receipt_says_what_the_data_is_and_every_writer_gives_the_same(
    home: Home, export_format: ExportFormat
) -> None:
    home.take(*map(everything, range(3)))
    request = home.request(
        ExportType.EVENT, export_format=export_format, compression=Compression.GZIP
    )
    plan = home.plan(request)

    for part in plan.parts:
        writer = PartWriter(home.lake, request, plan.head, part)
        data = b"".join(writer.data())
        receipt = writer.receipt("part")

        assert (receipt.bytes, receipt.rows) == (len(data), part.rows)
        assert receipt.sha256 == hashlib.sha256(data).hexdigest()
        assert receipt.first_at is not None
        assert receipt.last_at is not None
        assert receipt.first_at <= receipt.last_at
        assert part_receipt(home.lake, request, plan.head, part, name="part") == receipt


@given(st.lists(st.integers()))
def test_what_is_read_ahead_stays_in_order(items: list[int]) -> None:
    assert list(read_ahead(iter(items))) == items


def test_one_item_is_read_ahead_and_no_more() -> None:
    taken: list[int] = []
    has_second = threading.Event()

    def items() -> Iterator[int]:
        for number in range(9):
            taken.append(number)
            if number == 1:
                has_second.set()
            yield number

    ahead = read_ahead(items())

    assert next(ahead) == 0
    assert has_second.wait(60)
    assert taken == [0, 1]
    assert list(ahead) == list(range(1, 9))


def test_an_error_of_what_is_read_reaches_the_reader() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise OSError("gone")

    ahead = read_ahead(items())

    assert next(ahead) == 1
    with pytest.raises(OSError, match="gone"):
        next(ahead)
