"""Turns the bytes of delivered parts into one table, the same from every format."""

import csv
import gzip
import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import zstandard

from engagement.client.frame_kinds import FrameKind
from engagement.exceptions import BadInputError, VerificationError
from engagement.model.exports import Compression, ExportFormat, ExportType, Receipt
from engagement.model.manifest import Manifest
from engagement.model.records import NIL_GUID, text_tag_type

CSV_BLOCK_BYTES = 16 * 1024 * 1024
"""A record must fit into a block; the longest has some thousands of bytes."""
_RECORD_LISTS = {
    ExportType.ACTIVITY: "activities",
    ExportType.EVENT: "events",
    ExportType.ERROR: "errors",
    ExportType.CRASH: "crashes",
    ExportType.TAG: "tags",
}
"""The name of the list in which an object of a JsonBlob holds records of a device or session."""
_PARENTS = ("info", "location", "meta")
"""The objects in which JSON nests a device's fields."""
_EPOCH_TIMES = frozenset({"firstSeen", "lastSeen", "lastInfo", "lastLocation"})
"""A device's times, which a JsonBlob and the contract of 2014 have in milliseconds since 1970."""
_TEXT, _TIME = pa.large_string(), pa.timestamp("ms", tz="UTC")
_TYPES = {
    "guid": _TEXT,
    "string": _TEXT,
    "json": _TEXT,
    "scalar": _TEXT,
    "timestamp": _TIME,
    "integer": pa.int64(),
    "boolean": pa.bool_(),
    "status": pa.list_(_TEXT),
}


class _Number(str):
    """A JSON number as it was written, so that no digit is lost."""

    __slots__ = ()


def schema_of(manifest: Manifest) -> pa.Schema:
    """Return the schema of a table, whatever format it is read from.

    Raises:
        VerificationError: A field is of a type that this client does not know.
    """
    unknown = {kind for _, kind in manifest.fields} - set(_TYPES)
    if unknown:
        raise VerificationError(
            f"Fields must be of the types {', '.join(_TYPES)}, got {min(unknown)!r:.100}."
        )
    return pa.schema(
        [
            (name, _TIME if _is_epoch_time(manifest, name) else _TYPES[kind])
            for name, kind in manifest.fields
        ]
    )


def _is_epoch_time(manifest: Manifest, name: str) -> bool:
    kind = dict(manifest.fields)[name]
    return kind == "integer" and name in _EPOCH_TIMES and manifest.export_type is ExportType.DEVICE


def part_table(manifest: Manifest, part: Receipt, data: bytes) -> pa.Table:
    """Return the records of one part.

    Args:
        manifest: The manifest that lists the part.
        part: The part.
        data: Its bytes.

    Raises:
        VerificationError: The bytes cannot be read, or hold another number of records.
    """
    schema = schema_of(manifest)
    try:
        table = _READERS[manifest.export_format](_decompress(data, manifest), manifest, schema)
    except (
        *(pa.ArrowException, OSError, EOFError, zstandard.ZstdError),
        *(AttributeError, LookupError, TypeError, ValueError, RecursionError),
    ) as error:
        raise VerificationError(
            f"The part {part.name} must be readable as {manifest.export_format}, but: "
            f"{type(error).__name__}: {str(error)[:200]}."
        ) from error
    if table.num_rows != part.rows:
        raise VerificationError(
            f"The part {part.name} must have {part.rows} records, got {table.num_rows}."
        )
    return table


def frame_of(manifest: Manifest, tables: Sequence[pa.Table], as_: FrameKind) -> Any:
    """Return the tables as one frame of a library.

    Raises:
        BadInputError: The library is not installed.
    """
    whole = pa.concat_tables([schema_of(manifest).empty_table(), *tables])
    if as_ == "arrow":
        return whole
    try:
        if as_ == "polars":
            import polars as pl  # noqa: PLC0415 - loaded only by those who want its frames

            return pl.from_arrow(whole)
        import pandas as pd  # noqa: PLC0415 - an optional library
    except ImportError as error:
        raise BadInputError(f"Frames of {as_} need the library {as_} to be installed.") from error
    # Arrow's own types keep integers beside missing values, and times far in the past or future.
    return whole.to_pandas(types_mapper=pd.ArrowDtype)


def _decompress(data: bytes, manifest: Manifest) -> bytes:
    if manifest.export_format is ExportFormat.PARQUET:  # compressed inside
        return data
    if manifest.compression is Compression.GZIP:
        return gzip.decompress(data)
    if manifest.compression is Compression.ZSTD:
        stream = zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True)
        return stream.read()
    return data


def _read_parquet(data: bytes, manifest: Manifest, schema: pa.Schema) -> pa.Table:
    del manifest
    return pq.read_table(pa.BufferReader(data)).select(schema.names).cast(schema)


def _read_csv(data: bytes, manifest: Manifest, schema: pa.Schema) -> pa.Table:
    # One for a spreadsheet begins with a byte order mark.
    header = next(csv.reader(io.StringIO(data[: data.index(b"\n") + 1].decode("utf-8-sig"))))
    if header != schema.names:
        raise ValueError(f"wanted the header {schema.names}, got {header}")
    is_list = {field.name: pa.types.is_list(field.type) for field in schema}
    table = pa_csv.read_csv(
        pa.BufferReader(data),
        read_options=pa_csv.ReadOptions(block_size=CSV_BLOCK_BYTES),
        parse_options=pa_csv.ParseOptions(newlines_in_values=True),
        convert_options=pa_csv.ConvertOptions(
            column_types={
                field.name: _TEXT
                if is_list[field.name]
                else _TYPES["integer"]
                if _is_epoch_time(manifest, field.name)
                else field.type
                for field in schema
            },
            null_values=[""],
            true_values=["true"],
            false_values=["false"],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )
    for index, field in enumerate(schema):
        if is_list[field.name]:
            texts = table.column(index).to_pylist()
            lists = [None if text is None else json.loads(text) for text in texts]
            table = table.set_column(index, field, pa.array(lists, field.type))
    return table.cast(schema)


def _read_ndjson(data: bytes, manifest: Manifest, schema: pa.Schema) -> pa.Table:
    lines = (_parse(line) for line in data.split(b"\n") if line)
    return _table((_flat(record) for record in lines), manifest, schema)


def _read_json(data: bytes, manifest: Manifest, schema: pa.Schema) -> pa.Table:
    name = _RECORD_LISTS.get(manifest.export_type)
    records = (_flat(record) for holder in _parse(data) for record in _split_records(holder, name))
    return _table(records, manifest, schema)


def _parse(text: bytes) -> Any:
    return json.loads(text, parse_float=_Number, parse_int=_Number)


def _split_records(holder: dict[str, Any], name: str | None) -> Iterator[dict[str, Any]]:
    """The records that an object holds in a list; the object itself if it is one."""
    if name is None:
        yield holder
        return
    shared = {key: value for key, value in holder.items() if key != name}
    if name == "tags":
        for key, content in holder[name].items():
            # With its id, a tag's value is a member of an object.
            tag = content if isinstance(content, dict) else {"value": content}
            yield {**shared, **tag, "key": key, "type": _tag_type(tag["value"])}
    else:
        for record in holder[name]:
            yield {**shared, **record}


def _tag_type(value: object) -> str:
    """The type that a JsonBlob shows by how it writes the value."""
    if isinstance(value, bool):
        return "boolean"
    return "integer" if isinstance(value, _Number) else text_tag_type(str(value))


def _flat(record: dict[str, Any]) -> dict[str, Any]:
    nested = [name for name in _PARENTS if isinstance(record.get(name), dict)]
    if not nested:
        return record
    flat = {name: value for name, value in record.items() if name not in nested}
    for name in nested:
        flat.update(record[name])
    return flat


def _table(records: Iterable[dict[str, Any]], manifest: Manifest, schema: pa.Schema) -> pa.Table:
    rows = list(records)
    arrays = []
    for (name, kind), field in zip(manifest.fields, schema, strict=True):
        convert = _VALUES[kind]
        found = (row.get(name) for row in rows)
        values = [None if value is None else convert(value) for value in found]
        if field.type == _TIME and kind == "integer":
            arrays.append(pa.array(values, pa.int64()).cast(_TIME))
        elif field.type == _TIME:
            arrays.append(pa.array(values, _TEXT).cast(_TIME))
        else:
            arrays.append(pa.array(values, field.type))
    return pa.table(arrays, schema=schema)


def _guid(value: str) -> str | None:
    """A published schema wants an id even where a record has none; it is the nil one then."""
    return None if value == NIL_GUID else value


def _json_text(value: dict[str, Any]) -> str:
    """An object of scalars as compact JSON, as the other formats have it."""
    members = (f"{_scalar_json(key)}:{_scalar_json(item)}" for key, item in value.items())
    return "{" + ",".join(members) + "}"


def _scalar_json(value: object) -> str:
    return str(value) if isinstance(value, _Number) else json.dumps(value, ensure_ascii=False)


def _scalar_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


_VALUES: dict[str, Callable[[Any], Any]] = {
    "guid": _guid,
    "string": str,
    "json": _json_text,
    "scalar": _scalar_text,
    "timestamp": str,
    "integer": int,
    "boolean": bool,
    "status": list,
}
_READERS: dict[ExportFormat, Callable[[bytes, Manifest, pa.Schema], pa.Table]] = {
    ExportFormat.JSON: _read_json,
    ExportFormat.NDJSON: _read_ndjson,
    ExportFormat.CSV: _read_csv,
    ExportFormat.PARQUET: _read_parquet,
}
