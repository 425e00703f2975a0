"""Turns a part's rows into bytes: one encoder a format, rows never touched by Python.

The engine computes one string column, and the value buffer of that Arrow column is the file.
"""

import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from engagement.export.fields import Field, FieldType, Shape
from engagement.export.json_text import (
    TIMESTAMP_FORMAT,
    Piece,
    join_pieces,
    json_object,
    json_string,
    json_value,
)
from engagement.model.exports import Compression, ExportFormat
from engagement.model.records import TIME_COLUMN, Kind

BATCH_ROWS = 16_384
_TEXT, _TIME = "_text", "_time"
PARQUET_GZIP_LEVEL = 1
_FORMULA = r"^[\s\u00a0]*[=+\-@\t\r\n\u{FF1D}\u{FF0B}\u{FF0D}\u{FF20}]"
"""Values that a spreadsheet would run; full-width signs count too."""


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


def is_gathered(encoding: Encoding) -> bool:
    """Whether rows must come sorted, so that those of an object follow each other."""
    return encoding.export_format is ExportFormat.JSON and encoding.shape.gathered is not None


def group_rows(rows: pl.LazyFrame, encoding: Encoding) -> pl.LazyFrame:
    """The rows, sorted so that those of an object follow each other."""
    columns = {field.name: field.column for field in encoding.shape.fields}
    group = sorted({"device_id", *(columns[name] for name in encoding.shape.group)} - {"user_id"})
    last = "key" if encoding.kind is Kind.TAG else "sequence"
    return rows.sort(*group, TIME_COLUMN[encoding.kind], last)


def _encode_ndjson(slices: Iterable[pl.LazyFrame], encoding: Encoding) -> Iterator[Chunk]:
    text = join_pieces([*json_object(encoding.shape.fields), "\n"])
    for frame in _computed(slices, encoding, [text.alias(_TEXT)]):
        yield _text_chunk(frame)


def _encode_json(slices: Iterable[pl.LazyFrame], encoding: Encoding) -> Iterator[Chunk]:
    """One JSON array; records of the same group follow each other inside one object."""
    shape = encoding.shape
    yield Chunk(data=b"[")
    if shape.gathered is None:
        text, skipped, end = join_pieces([",\n", *json_object(shape.fields)]), 1, b"\n]\n"
        frames = _computed(slices, encoding, [text.alias(_TEXT)])
    else:
        frames, skipped, end = _grouped_frames(slices, encoding, shape.gathered)
    is_first = True
    for frame in frames:
        chunk = _text_chunk(frame)
        # The first row must not close an object or separate itself from one before it.
        yield replace(chunk, data=memoryview(chunk.data)[skipped:]) if is_first else chunk
        is_first = False
    yield Chunk(data=b"]\n" if is_first else end)


def _grouped_frames(
    slices: Iterable[pl.LazyFrame], encoding: Encoding, name: str
) -> tuple[Iterator[pl.DataFrame], int, bytes]:
    """Frames of text in which a row opens its group's object where the group changes.

    Only a comparison with the row before is needed, so a group may have any number of rows and
    may go on in the next slice.
    """
    shape = encoding.shape
    is_map = name == "tags"
    opening, closing = ("{", "}}") if is_map else ("[", "]}")
    outer = [field for field in shape.fields if field.name in shape.group]
    outer.sort(key=lambda field: shape.group.index(field.name))
    inner = [field for field in shape.fields if field.name not in shape.group]
    record: list[Piece]
    if is_map:
        # A tag's type is told by its value's own, so it is left out.
        key, value, _, *added = inner
        named = json_object([value, *added]) if added else json_value(value)
        record = [json_string(key.column), ":", *named]
    else:
        record = json_object(inner)
    next_object = join_pieces([f"{closing},\n", *json_object(outer)[:-1], f',"{name}":{opening}'])
    keys = [pl.col(field.column) for field in outer]
    record_columns = [piece for piece in record if not isinstance(piece, str)]

    def frames() -> Iterator[pl.DataFrame]:
        before: tuple[object, ...] = (None,) * len(keys)
        for frame in _frames(slices, [next_object, *record_columns, *keys, _time(encoding)]):
            changes = pl.any_horizontal(
                key.ne_missing(key.shift(1, fill_value=pl.lit(value, dtype=pl.String())))
                for key, value in zip(keys, before, strict=True)
            )
            prefix = pl.when(changes).then(next_object).otherwise(pl.lit(","))
            yield frame.select(join_pieces([prefix, *record]).alias(_TEXT), _time(encoding))
            before = frame.select(keys).row(-1)

    return frames(), len(closing) + 1, f"{closing}\n]\n".encode()


def _encode_csv(slices: Iterable[pl.LazyFrame], encoding: Encoding) -> Iterator[Chunk]:
    """RFC 4180 with a header; an empty field is null, a quoted empty one is an empty string."""
    fields = encoding.shape.fields
    columns = [_csv_column(field, guard=encoding.csv_formula_guard) for field in fields]
    yield Chunk(data=(",".join(field.name for field in fields) + "\r\n").encode())
    for batch in _computed(slices, encoding, columns):
        out = io.BytesIO()
        batch.drop(_TIME).write_csv(out, include_header=False, line_terminator="\r\n")
        yield _chunk(out.getbuffer(), batch)


def _csv_column(field: Field, *, guard: bool) -> pl.Expr:
    column = pl.col(field.column)
    if field.type is FieldType.TIMESTAMP:
        column = column.dt.strftime(TIMESTAMP_FORMAT)
    elif field.type is FieldType.STATUS:
        column = join_pieces(['["', column.list.join('","'), '"]'])
    elif guard and field.type in {FieldType.STRING, FieldType.SCALAR}:
        is_formula = column.str.contains(_FORMULA)
        column = pl.when(is_formula).then(pl.concat_str(pl.lit("'"), column)).otherwise(column)
    return column.alias(field.name)


def _encode_parquet(slices: Iterable[pl.LazyFrame], encoding: Encoding) -> Iterator[Chunk]:
    columns = [_parquet_column(field) for field in encoding.shape.fields]
    sink = _Drained()
    writer: pq.ParquetWriter | None = None
    for batch in _computed(slices, encoding, columns, even_empty=True):
        table = batch.drop(_TIME).to_arrow(compat_level=pl.CompatLevel.oldest())
        if writer is None:
            codec = encoding.compression.value.upper()
            level = PARQUET_GZIP_LEVEL if encoding.compression is Compression.GZIP else None
            writer = pq.ParquetWriter(
                sink,
                table.schema,
                compression=codec,
                compression_level=level,
                store_schema=False,
            )
        writer.write_table(table)
        yield _chunk(sink.drain(), batch)
    if writer is not None:
        writer.close()
        yield Chunk(data=sink.drain())


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


def _computed(
    slices: Iterable[pl.LazyFrame],
    encoding: Encoding,
    columns: Sequence[pl.Expr],
    *,
    even_empty: bool = False,
) -> Iterator[pl.DataFrame]:
    """The computed columns and the record time of all rows, frame by frame.

    Args:
        slices: The rows.
        encoding: How they become bytes.
        columns: What to compute.
        even_empty: Whether to give a frame without rows, for its columns, if there are no rows.
    """
    wanted = [*columns, _time(encoding)]
    for frame in _frames(slices, wanted, even_empty=even_empty):
        yield frame.select(wanted)


def _frames(
    slices: Iterable[pl.LazyFrame], columns: Sequence[pl.Expr], *, even_empty: bool = False
) -> Iterator[pl.DataFrame]:
    """What the columns are computed from, in frames that fit into a processor's cache.

    Computing a whole slice at once takes a fifth more: its text is written to fresh memory.
    """
    read = sorted({name for column in columns for name in column.meta.root_names()})
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


def _time(encoding: Encoding) -> pl.Expr:
    return pl.col(TIME_COLUMN[encoding.kind]).alias(_TIME)


def _text_chunk(frame: pl.DataFrame) -> Chunk:
    array = frame[_TEXT].rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
    # A row whose text is null would be missing from the bytes, so it does not count.
    rows_held = len(array) - array.null_count
    return replace(_chunk(_value_buffer(array), frame), rows=rows_held)


def _value_buffer(array: pa.Array) -> memoryview:
    """The bytes of all strings of an Arrow column, one after another, without a copy."""
    _, offsets, values = array.buffers()
    bounds = memoryview(offsets).cast("q")
    return memoryview(values)[bounds[array.offset] : bounds[array.offset + len(array)]]


def _chunk(data: bytes | memoryview, batch: pl.DataFrame) -> Chunk:
    first, last = batch[_TIME].min(), batch[_TIME].max()
    return Chunk(
        data=data,
        rows=batch.height,
        rows_read=batch.height,
        first_at=first if isinstance(first, datetime) else None,
        last_at=last if isinstance(last, datetime) else None,
    )


_ENCODERS: dict[ExportFormat, Callable[[Iterable[pl.LazyFrame], Encoding], Iterator[Chunk]]] = {
    ExportFormat.JSON: _encode_json,
    ExportFormat.NDJSON: _encode_ndjson,
    ExportFormat.CSV: _encode_csv,
    ExportFormat.PARQUET: _encode_parquet,
}
