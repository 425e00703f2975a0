"""Reads delivered parts with parsers that are not ours, into records as written."""

import io
import json
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from oracle_records import Record, Request
from oracle_shapes import DEVICE_TIMES, in_milliseconds

from engagement.model.exports import Compression, ExportFormat, ExportType
from support.export_files import csv_rows, decompressed, ungrouped

_NESTED = ("info", "location", "meta")
_OBJECTS = {"extras", "appInfo", "status"}
_INTEGERS = {
    *("campaignId", "androidAPILevel", "screenWidth", "screenHeight"),
    *("applicationVersionCode", "timeZoneOffset"),
}


def read_records(data: bytes, request: Request, fields: tuple[str, ...]) -> list[Record]:
    """The records of a part; one whose fields are not these, in this order, fails the test."""
    export_format, export_type = ExportFormat(request["format"]), ExportType(request["type"])
    if export_format is ExportFormat.PARQUET:
        return _parquet(data, request, fields)
    text = decompressed(data, Compression(request.get("compression", "none"))).decode()
    if export_format is ExportFormat.JSON:
        records = [record for group in json.loads(text) for record in ungrouped(group, export_type)]
        return [_flat(record) for record in records]
    if export_format is ExportFormat.NDJSON:
        assert text == "" or text.endswith("\n"), "NDJSON must end with its last line"
        records = [_flat(json.loads(line)) for line in text.split("\n")[:-1]]
        for record in records:
            order = [name for name in fields if name in record]
            assert [*record] == order, f"members must be in order {order}, got {[*record]}"
        return records
    header, *rows = csv_rows(text)
    assert tuple(header) == fields, f"the header must be {fields}, got {header}"
    return [
        {
            name: _of_text(name, value, request)
            for name, value in zip(fields, row, strict=True)
            if value is not None
        }
        for row in rows
    ]


def _flat(record: Record) -> Record:
    flat: Record = {}
    for name, value in record.items():
        flat |= value if name in _NESTED else {name: value}
    return flat


def _of_text(name: str, text: str, request: Request) -> Any:
    if name in _OBJECTS:
        return json.loads(text)
    if name in _INTEGERS or (name in DEVICE_TIMES and in_milliseconds(request)):
        return int(text)
    if name == "nativePushEnabled":
        return {"true": True, "false": False}[text]
    return text


def _parquet(data: bytes, request: Request, fields: tuple[str, ...]) -> list[Record]:
    table = pq.read_table(io.BytesIO(data))
    assert tuple(table.column_names) == fields, f"columns must be {fields}, got {table.schema}"
    for name in (*("timestamp", "start", "end", "receivedAt", "deviceTimestamp"), *DEVICE_TIMES):
        if name in fields and not (name in DEVICE_TIMES and in_milliseconds(request)):
            assert pa.types.is_timestamp(table.schema.field(name).type), table.schema
    return [
        {name: _of_parquet(name, value) for name, value in record.items() if value is not None}
        for record in table.to_pylist()
    ]


def _of_parquet(name: str, value: Any) -> Any:
    if isinstance(value, datetime):
        assert value.tzinfo is not None, f"{name} must name its zone"
        utc = value.astimezone(UTC).replace(tzinfo=None)
        return utc.isoformat(timespec="milliseconds") + "Z"
    return json.loads(value) if name in _OBJECTS and isinstance(value, str) else value
