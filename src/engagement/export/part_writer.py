"""How a part becomes bytes: encoded, measured, compressed and read ahead of its delivery."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import TypeVar

import zstandard
from isal import isal_zlib

from engagement.export.contents import with_contents
from engagement.export.formats import Chunk, Encoding, encode, group_rows, must_be_grouped
from engagement.export.requests import selection_of, shape_of_request
from engagement.export.rows import part_rows, part_slices
from engagement.model.compression import GZIP_WINDOW_BITS
from engagement.model.export_request import ExportRequest
from engagement.model.exports import Compression, ExportFormat, Receipt
from engagement.model.plan import Part, PlanHead
from engagement.store.lake import Lake

GZIP_LEVEL = 1
ZSTD_LEVEL = 1
T = TypeVar("T")


class PartWriter:
    """Writes the bytes of a part, and afterwards knows its receipt."""

    def __init__(self, lake: Lake, request: ExportRequest, head: PlanHead, part: Part) -> None:
        self._chunks = encode_part(lake, request, head, part)
        self._compression = _outer_compression(request)
        self._meter = _Meter()

    def data(self) -> Iterator[bytes | memoryview]:
        """The bytes as they are delivered, the same for every writer of the part."""
        chunks = read_ahead(self._chunks)
        yield from self._meter.count_bytes(
            compress(self._meter.count_rows(chunks), self._compression)
        )

    def receipt(self, name: str) -> Receipt:
        """What the part proved to be, once its data was read to the end."""
        return self._meter.receipt(name)


def encode_part(lake: Lake, request: ExportRequest, head: PlanHead, part: Part) -> Iterator[Chunk]:
    """A part's rows as bytes before outer compression, the same whenever it is called."""
    encoding = Encoding(
        kind=request.export_type.kind,
        shape=shape_of_request(request),
        export_format=request.export_format,
        compression=request.compression,
        csv_formula_guard=request.csv_formula_guard,
        for_excel=request.excel,
    )
    selection = selection_of(request, head.campaign_ids)
    is_sorted = part.in_order and len(encoding.shape.group) == 1
    if must_be_grouped(encoding) and not is_sorted:
        slices = iter([group_rows(part_rows(lake, selection, part), encoding)])
    else:
        slices = part_slices(lake, selection, part)
    if request.include_info:
        slices = (with_contents(lake, request.app_id, part, rows) for rows in slices)
    return encode(slices, encoding)


def part_receipt(
    lake: Lake, request: ExportRequest, head: PlanHead, part: Part, *, name: str
) -> Receipt:
    """What a part must prove to be, computed from the lake without delivering anything."""
    writer = PartWriter(lake, request, head, part)
    for _ in writer.data():
        pass
    return writer.receipt(name)


def read_ahead(items: Iterator[T]) -> Iterator[T]:
    """The items in order, one ahead: encoding goes on while a chunk is compressed and sent.

    One item ahead is enough to keep both sides busy, and bounds the memory to two items.
    """
    ended = object()
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="ahead") as thread:
        coming = thread.submit(next, items, ended)
        while (item := coming.result()) is not ended:
            coming = thread.submit(next, items, ended)
            yield item  # type: ignore[misc] # the end is the only item that is not a T


def compress(
    chunks: Iterable[bytes | memoryview], compression: Compression
) -> Iterator[bytes | memoryview]:
    """The chunks, compressed as one gzip member or one zstd frame, or as they are."""
    return _COMPRESSORS[compression](chunks)


def _plain(chunks: Iterable[bytes | memoryview]) -> Iterator[bytes | memoryview]:
    yield from chunks


def _gzip(chunks: Iterable[bytes | memoryview]) -> Iterator[bytes | memoryview]:
    compressor = isal_zlib.compressobj(GZIP_LEVEL, isal_zlib.DEFLATED, GZIP_WINDOW_BITS)
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


def _outer_compression(request: ExportRequest) -> Compression:
    """Parquet is compressed inside, so that its readers can read it."""
    if request.export_format is ExportFormat.PARQUET:
        return Compression.NONE
    return request.compression


class _Meter:
    """Counts rows and bytes as they pass, and takes the digest."""

    def __init__(self) -> None:
        self._rows = 0
        self._rows_read = 0
        self._bytes = 0
        self._digest = hashlib.sha256()
        self._times: list[datetime] = []

    def count_rows(self, chunks: Iterable[Chunk]) -> Iterator[bytes | memoryview]:
        for chunk in chunks:
            self._rows += chunk.rows
            self._rows_read += chunk.rows_read
            times = [*self._times, *(at for at in (chunk.first_at, chunk.last_at) if at)]
            self._times = [min(times), max(times)] if times else []
            yield chunk.data

    def count_bytes(self, data: Iterable[bytes | memoryview]) -> Iterator[bytes | memoryview]:
        for chunk in data:
            self._bytes += len(chunk)
            self._digest.update(chunk)
            yield chunk

    def receipt(self, name: str) -> Receipt:
        return Receipt(
            name=name,
            rows=self._rows,
            rows_read=self._rows_read,
            bytes=self._bytes,
            sha256=self._digest.hexdigest(),
            first_at=self._times[0] if self._times else None,
            last_at=self._times[1] if self._times else None,
        )
