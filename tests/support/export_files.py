"""Reads exported files with parsers that are not ours, into one shape for all formats.

Every record becomes a flat dict of its exported fields, without those that it lacks. Times are
text, extras and app info are objects, whatever the format.
"""

import gzip
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pyarrow.parquet as pq
import zstandard

from engagement.model.exports import Compression, ExportFormat, ExportType

Record = dict[str, Any]

GATHERED = {
    ExportType.ACTIVITY: "activities",
    ExportType.EVENT: "events",
    ExportType.ERROR: "errors",
    ExportType.CRASH: "crashes",
    ExportType.TAG: "tags",
}
"""Where a JsonBlob holds records inside an object of their device or session."""
_PARENTS = ("info", "location", "meta")
_OBJECTS = {"extras", "appInfo", "status"}
_INTEGERS = {
    "campaignId",
    "androidAPILevel",
    "screenWidth",
    "screenHeight",
    "applicationVersionCode",
    "timeZoneOffset",
}


def read_part(
    data: bytes, export_type: ExportType, export_format: ExportFormat, compression: Compression
) -> list[Record]:
    """The records of an exported file."""
    if export_format is ExportFormat.PARQUET:
        return _parquet(data)
    text = decompressed(data, compression).decode()
    if export_format is ExportFormat.JSON:
        return [
            _flat(record) for load in json.loads(text) for record in ungrouped(load, export_type)
        ]
    if export_format is ExportFormat.NDJSON:
        if not text:
            return []
        assert text.endswith("\n")
        return [_flat(json.loads(line)) for line in text[:-1].split("\n")]
    header, *rows = csv_rows(text)
    return [
        {
            str(name): _csv_value(str(name), value)
            for name, value in zip(header, row, strict=True)
            if value is not None
        }
        for row in rows
    ]


def decompressed(data: bytes, compression: Compression) -> bytes:
    """The bytes before compression, all of them from one stream."""
    if compression is Compression.GZIP:
        return gzip.decompress(data)
    if compression is Compression.ZSTD:
        whole = zstandard.ZstdDecompressor().decompressobj()
        found = whole.decompress(data)
        assert whole.eof
        assert whole.unused_data == b""
        return found
    return data


def ungrouped(item: Record, export_type: ExportType) -> Iterator[Record]:
    """The records that an object of a JsonBlob gathers; itself if it gathers none."""
    if export_type not in GATHERED:
        yield item
        return
    shared = {name: value for name, value in item.items() if name != GATHERED[export_type]}
    gathered = item[GATHERED[export_type]]
    if export_type is ExportType.TAG:
        for key, value in gathered.items():
            yield shared | {"key": key, "value": value}
    else:
        for record in gathered:
            yield shared | record


def csv_rows(text: str) -> list[list[str | None]]:
    """RFC 4180, read character by character; an empty field is None unless it is quoted."""
    rows: list[list[str | None]] = []
    row: list[str | None] = []
    place = 0
    while place < len(text):
        value, place = _csv_field(text, place)
        row.append(value)
        if text.startswith(",", place):
            place += 1
        else:
            assert text.startswith("\r\n", place), f"no end of row at {place}"
            place += 2
            rows.append(row)
            row = []
    assert row == []
    return rows


def _csv_field(text: str, place: int) -> tuple[str | None, int]:
    if not text.startswith('"', place):
        end = place
        while text[end] not in ",\r":
            assert text[end] not in '"\n', f"an unquoted field holds {text[end]!r}"
            end += 1
        return text[place:end] or None, end
    value = []
    place += 1
    while True:
        end = text.index('"', place)
        value.append(text[place:end])
        if not text.startswith('"', end + 1):
            return "".join(value), end + 1
        value.append('"')
        place = end + 2


def _csv_value(name: str, text: str) -> Any:
    if name in _OBJECTS:
        return json.loads(text)
    if name in _INTEGERS:
        return int(text)
    if name == "nativePushEnabled":
        return {"true": True, "false": False}[text]
    return text


def _parquet(data: bytes) -> list[Record]:
    records = pq.read_table(io.BytesIO(data)).to_pylist()
    return [
        {name: _parquet_value(name, value) for name, value in record.items() if value is not None}
        for record in records
    ]


def _parquet_value(name: str, value: Any) -> Any:
    if isinstance(value, datetime):
        assert value.tzinfo is not None
        utc = value.astimezone(UTC).replace(tzinfo=None)
        return utc.isoformat(timespec="milliseconds") + "Z"
    if name in _OBJECTS and isinstance(value, str):
        return json.loads(value)
    return value


def _flat(record: Record) -> Record:
    flat: Record = {}
    for name, value in record.items():
        flat |= value if name in _PARENTS else {name: value}
    return flat
