"""Turns a part's rows into bytes: one encoder a format, rows never touched by Python.

The engine computes one string column, and the value buffer of that Arrow column is the file.
"""

import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import polars as pl

from engagement.export.fields import Field, FieldType, Shape
from engagement.export.json_text import (
    Piece,
    join_pieces,
    json_object,
    json_strings,
    json_value,
)
from engagement.export.spreadsheet_text import (
    is_changed_by_spreadsheet,
    is_run_by_spreadsheet,
    with_apostrophe,
)
from engagement.export.time_text import write_times
from engagement.model.exports import Compression, ExportFormat
from engagement.model.records import TIME_COLUMN, Kind

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_ROWS = 16_384
_TEXTS = {FieldType.GUID, FieldType.STRING, FieldType.SCALAR}
_TEXT, _FIRST = "_text", "_first"
PARQUET_GZIP_LEVEL = 1
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding:
    """How a part's rows become bytes."""

    kind: Kind
    """What the rows are."""
    shape: Shape
    """What a record delivers."""
    export_format: ExportFormat
    """The format."""
    compression: Compression = Compression.NONE
    """Parquet compresses inside; the text formats are compressed after this module."""
    csv_formula_guard: bool = False
    """CSV: puts an apostrophe before values that a spreadsheet would run."""
    for_excel: bool = False
    """CSV: begins with a byte order mark, and puts an apostrophe before texts that a spreadsheet
    would run, change or read as one that has an apostrophe."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Some rows as bytes."""

    data: bytes | memoryview
    """The bytes."""
    rows: int = 0
    """How many rows the bytes hold."""
    rows_read: int = 0
    """How many rows the engine gave for them."""
    first_at: datetime | None = None
    """The earliest record time inside."""
    last_at: datetime | None = None
    """The latest record time inside."""


def encode(slices: Iterable[pl.LazyFrame], encoding: Encoding) -> Iterator[Chunk]:
    """The rows as the bytes of one file; the same rows give the same bytes.

    Args:
        slices: The rows, in slices that fit into memory, one after another.
        encoding: How they become bytes.
    """
    return _ENCODERS[encoding.export_format](slices, encoding)


def must_be_grouped(encoding: Encoding) -> bool:
    """Return whether `group_rows` must sort the rows first: a file's objects gather several."""
    return encoding.export_format is ExportFormat.JSON and encoding.shape.gathered is not None


def group_rows(rows: pl.LazyFrame, encoding: Encoding) -> pl.LazyFrame:
    """The rows, sorted so that those of an object follow each other."""
    columns = {field.name: field.column for field in encoding.shape.fields}
    group = sorted({"device_id", *(columns[name] for name in encoding.shape.group)} - {"user_id"})
    last = "key" if encoding.kind is Kind.TAG else "sequence"
    return rows.sort(*group, TIME_COLUMN[encoding.kind], last)


def _encode_ndjson(slices: Iterable[pl.LazyFrame], encoding: Encoding) -> Iterator[Chunk]:
    for frame in _frames(slices, encoding):
        yield _text_chunk(frame, [*json_object(encoding.shape.fields, frame), "\n"], encoding)


def _encode_json(slices: Iterable[pl.LazyFrame], encoding: Encoding) -> Iterator[Chunk]:
    """One JSON array; records of the same group follow each other inside one object."""
    shape = encoding.shape
    yield Chunk(data=b"[")
    if shape.gathered is None:
        chunks, skipped, end = _listed_chunks(slices, encoding), 1, b"\n]\n"
    else:
        chunks, skipped, end = _gathered_chunks(slices, encoding, shape.gathered)
    is_first = True
    for chunk in chunks:
        # The first row must not close an object or separate itself from one before it.
        yield replace(chunk, data=memoryview(chunk.data)[skipped:]) if is_first else chunk
        is_first = False
    yield Chunk(data=b"]\n" if is_first else end)


def _listed_chunks(slices: Iterable[pl.LazyFrame], encoding: Encoding) -> Iterator[Chunk]:
    for frame in _frames(slices, encoding):
        yield _text_chunk(frame, [",\n", *json_object(encoding.shape.fields, frame)], encoding)


def _gathered_chunks(
    slices: Iterable[pl.LazyFrame], encoding: Encoding, name: str
) -> tuple[Iterator[Chunk], int, bytes]:
    """Chunks of text in which a row opens its group's object where the group changes.

    Only a comparison with the row before is needed, so a group may have any number of rows and
    may go on in the next slice.
    """
    shape = encoding.shape
    is_map = name == "tags"
    opening, closing = ("{", "}}") if is_map else ("[", "]}")
    outer = [field for field in shape.fields if field.name in shape.group]
    outer.sort(key=lambda field: shape.group.index(field.name))
    inner = [field for field in shape.fields if field.name not in shape.group]
    keys = [pl.col(field.column) for field in outer]

    def chunks() -> Iterator[Chunk]:
        before: tuple[object, ...] = (None,) * len(keys)
        for frame in _frames(slices, encoding):
            changes = pl.any_horizontal(
                key.ne_missing(key.shift(1, fill_value=pl.lit(value, dtype=pl.String())))
                for key, value in zip(keys, before, strict=True)
            )
            is_first = frame.select(changes.alias(_TEXT))[_TEXT]
            firsts = frame.filter(is_first)
            members = json_object(outer, firsts)[:-1]
            next_object = join_pieces([f"{closing},\n", *members, f',"{name}":{opening}'])
            # The first text is what comes before a row whose object is open.
            texts = pl.concat([pl.Series([","]), firsts.select(next_object).to_series()])
            prefix = pl.lit(texts.gather(is_first.cum_sum() * is_first))
            record = _tag_member(inner, frame) if is_map else json_object(inner, frame)
            yield _text_chunk(frame, [prefix, *record], encoding)
            before = frame.select(keys).row(-1)

    return chunks(), len(closing) + 1, f"{closing}\n]\n".encode()


def _tag_member(fields: Sequence[Field], frame: pl.DataFrame) -> list[Piece]:
    """A tag as the member of a map; its type is told by its value's own, so it is left out."""
    key, value, _, *added = fields
    named = json_object([value, *added], frame) if added else json_value(value, frame)
    return [json_strings(key.column, frame), ":", *named]


def _encode_csv(slices: Iterable[pl.LazyFrame], encoding: Encoding) -> Iterator[Chunk]:
    """RFC 4180 with a header; an empty field is null, a quoted empty one is an empty string."""
    fields = encoding.shape.fields
    header = (",".join(field.name for field in fields) + "\r\n").encode()
    yield Chunk(data=_BYTE_ORDER_MARK + header if encoding.for_excel else header)
    for frame in _frames(slices, encoding):
        columns = [_csv_column(field, frame, encoding) for field in fields]
        out = io.BytesIO()
        frame.select(columns).write_csv(out, include_header=False, line_terminator="\r\n")
        yield _chunk(out.getbuffer(), frame, encoding)


def _csv_column(field: Field, frame: pl.DataFrame, encoding: Encoding) -> pl.Expr:
    column = pl.col(field.column)
    if field.type is FieldType.TIMESTAMP:
        column = join_pieces(write_times(frame[field.column]))
    elif field.type is FieldType.STATUS:
        column = join_pieces(['["', column.list.join('","'), '"]'])
    elif encoding.for_excel and field.type in _TEXTS:
        is_changed = is_changed_by_spreadsheet(column)
        if field.type is FieldType.SCALAR:  # what was sent as a number may be counted with
            is_changed &= pl.col(f"{field.column}_type") == "string"
        column = with_apostrophe(column, is_changed)
    elif encoding.csv_formula_guard and field.type in {FieldType.STRING, FieldType.SCALAR}:
        column = with_apostrophe(column, is_run_by_spreadsheet(column))
    return column.alias(field.name)


def _encode_parquet(slices: Iterable[pl.LazyFrame], encoding: Encoding) -> Iterator[Chunk]:
    import pyarrow.parquet as pq  # noqa: PLC0415 - it is much to load, and other formats spare it

    columns = [_parquet_column(field) for field in encoding.shape.fields]
    sink = _Drained()
    writer: pq.ParquetWriter | None = None
    for frame in _frames(slices, encoding, even_empty=True):
        table = frame.select(columns).to_arrow(compat_level=pl.CompatLevel.oldest())
        if writer is None:
            codec = encoding.compression.value.upper()
            level = PARQUET_GZIP_LEVEL if encoding.compression is Compression.GZIP else None
            writer = pq.ParquetWriter(
                sink,
                table.schema,
                compression=codec,
                compression_level=level,
                use_dictionary=_dictionary_columns(encoding.shape.fields),
                store_schema=False,
            )
        writer.write_table(table)
        yield _chunk(sink.drain(), frame, encoding)
    if writer is not None:
        writer.close()
        yield Chunk(data=sink.drain())


def _dictionary_columns(fields: Iterable[Field]) -> list[str]:
    """The columns whose values repeat; a dictionary of the others is kept beside the values."""
    return [
        f"{field.name}.list.element" if field.type is FieldType.STATUS else field.name
        for field in fields
        if field.type is not FieldType.TIMESTAMP and field.column != "record_id"
    ]


def _parquet_column(field: Field) -> pl.Expr:
    column = pl.col(field.column)
    if field.type is FieldType.TIMESTAMP:
        column = column.dt.cast_time_unit("ms")
    return column.alias(field.name)


class _Drained(io.RawIOBase):
    """A sink that gives away what was written to it, so that a file is never whole in memory."""

    def __init__(self) -> None:
        self._waiting: list[bytes] = []
        self._size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        self._waiting.append(bytes(data))
        self._size += len(self._waiting[-1])
        return len(self._waiting[-1])

    def tell(self) -> int:
        return self._size

    def drain(self) -> bytes:
        data = b"".join(self._waiting)
        self._waiting.clear()
        return data


def _frames(
    slices: Iterable[pl.LazyFrame], encoding: Encoding, *, even_empty: bool = False
) -> Iterator[pl.DataFrame]:
    """What the bytes are computed from, in frames that fit into a processor's cache.

    Computing a whole slice at once takes a fifth more: its text is written to fresh memory.

    Args:
        slices: The rows.
        encoding: How they become bytes.
        even_empty: Whether to give a frame without rows, for its columns, if there are no rows.
    """
    columns = {column for field in encoding.shape.fields for column in field.columns}
    read = sorted(columns | {TIME_COLUMN[encoding.kind]})
    empty: pl.DataFrame | None = None
    for rows in slices:
        frame = rows.select(read).collect(engine="in-memory")
        if frame.is_empty():
            empty = frame
        else:
            even_empty = False
            yield from frame.iter_slices(BATCH_ROWS)
    if even_empty and empty is not None:
        yield empty


def _text_chunk(frame: pl.DataFrame, row: Sequence[Piece], encoding: Encoding) -> Chunk:
    # The first column gives the text of rows that are alike the length of the frame.
    text = frame.select(pl.first().alias(_FIRST), join_pieces(row).alias(_TEXT))[_TEXT]
    array = text.rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
    # A row whose text is null would be missing from the bytes, so it does not count.
    rows_held = len(array) - array.null_count
    return replace(_chunk(_value_buffer(array), frame, encoding), rows=rows_held)


def _value_buffer(array: "pa.Array") -> memoryview:
    """The bytes of all strings of an Arrow column, one after another, without a copy."""
    _, offsets, values = array.buffers()
    bounds = memoryview(offsets).cast("q")
    return memoryview(values)[bounds[array.offset] : bounds[array.offset + len(array)]]


def _chunk(data: bytes | memoryview, frame: pl.DataFrame, encoding: Encoding) -> Chunk:
    times = frame[TIME_COLUMN[encoding.kind]]
    first, last = times.min(), times.max()
    return Chunk(
        data=data,
        rows=frame.height,
        rows_read=frame.height,
        first_at=first if isinstance(first, datetime) else None,
        last_at=last if isinstance(last, datetime) else None,
    )


_ENCODERS: dict[ExportFormat, Callable[[Iterable[pl.LazyFrame], Encoding], Iterator[Chunk]]] = {
    ExportFormat.JSON: _encode_json,
    ExportFormat.NDJSON: _encode_ndjson,
    ExportFormat.CSV: _encode_csv,
    ExportFormat.PARQUET: _encode_parquet,
}
