"""This module writes a table's data files in the order that they are given, for Delta's log to add.

delta-rs writes a stream of batches from several threads and mixes them, so what is rewritten would
not be sorted. A file written here holds one frame, row after row.
"""

import json
import time
import uuid
from datetime import date, datetime
from typing import Any

import polars as pl
import pyarrow.parquet as pq
from deltalake import WriterProperties
from deltalake.fs import DeltaStorageHandler
from deltalake.transaction import AddAction
from pyarrow.fs import PyFileSystem

from engagement.model.records import TIME_COLUMN, Kind
from engagement.store.schemas import file_schema

ROW_GROUP_ROWS = 65_536
CRASH_ROW_GROUP_ROWS = 4_096
"""A row group is what a reader holds in memory, and a crash has a stack trace."""
COMPATIBLE = pl.CompatLevel.oldest()


def write_file(table: str, kind: Kind, rows: pl.DataFrame, *, day: date | None) -> AddAction:
    """Write rows as one file of a table; what adds it to the table's log.

    Args:
        table: The table's folder or URL.
        kind: What the rows are.
        rows: At least one, sorted, all of the day if there is one.
        day: The partition of a historical kind.
    """
    name = f"part-00000-{uuid.uuid4()}-c000.zstd.parquet"
    path = name if day is None else f"date={day.isoformat()}/{name}"
    storage = PyFileSystem(DeltaStorageHandler(table))
    with storage.open_output_stream(path) as stream:
        pq.write_table(
            rows.select(file_schema(kind).keys()).to_arrow(compat_level=COMPATIBLE),
            stream,
            compression="zstd",
            row_group_size=row_group_rows(kind),
            store_schema=False,
        )
        size = stream.tell()
    return AddAction(
        path=path,
        size=size,
        partition_values={} if day is None else {"date": day.isoformat()},
        modification_time=time.time_ns() // 1_000_000,
        data_change=True,
        stats=_statistics(rows, kind),
    )


def row_group_rows(kind: Kind) -> int:
    """Rows of a row group."""
    return CRASH_ROW_GROUP_ROWS if kind is Kind.CRASH else ROW_GROUP_ROWS


def writer_properties(kind: Kind) -> WriterProperties:
    """How delta-rs writes a file of a kind."""
    return WriterProperties(compression="ZSTD", max_row_group_size=row_group_rows(kind))


def statistics_columns(kind: Kind) -> tuple[str, ...]:
    """Only what the planner needs: other statistics would copy users' data into the log."""
    return ("device_id", TIME_COLUMN[kind], "received_at")


def _statistics(rows: pl.DataFrame, kind: Kind) -> str:
    columns = statistics_columns(kind)
    return json.dumps(
        {
            "numRecords": rows.height,
            "minValues": {name: _told(rows[name].min()) for name in columns},
            "maxValues": {name: _told(rows[name].max()) for name in columns},
            "nullCount": {name: rows[name].null_count() for name in columns},
        }
    )


def _told(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return str(value)
