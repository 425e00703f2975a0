"""Writes a table's data files in the order that they are given, for Delta's log to add.

delta-rs writes a stream of batches from several threads and mixes them, so what is rewritten would
not be sorted. A file written here holds frame after frame, row after row.
"""

import json
import time
from collections.abc import Iterable
from datetime import date, datetime
from functools import cache
from itertools import chain
from typing import TYPE_CHECKING, Any

import polars as pl
from deltalake.transaction import AddAction, RemoveAction

from engagement.model.instants import format_rfc3339
from engagement.model.records import TIME_COLUMN, Kind, new_guid
from engagement.store.commits import FileChange, TableChange
from engagement.store.data_files import path_in_day
from engagement.store.digests import compute_digest, name_data_file
from engagement.store.object_files import open_files
from engagement.store.schemas import file_schema

if TYPE_CHECKING:
    import pyarrow as pa

ROW_GROUP_ROWS = 65_536
CRASH_ROW_GROUP_ROWS = 4_096
"""A row group is what a reader holds in memory, and a crash has a stack trace."""
SAMPLE_ROWS = 4_096
"""Rows that tell whether a column's values repeat; the first of a file are of a few devices."""
COMPATIBLE = pl.CompatLevel.oldest()


def write_file(
    table: str, kind: Kind, frames: Iterable[pl.DataFrame], *, day: date | None
) -> FileChange | None:
    """Write frames as one file of a table, and return what adds it.

    Each frame is in memory alone; what is encoded of the file is until its end.

    Args:
        table: The table's folder or URL.
        kind: What the rows are.
        frames: Each becomes a row group, or several if it is much larger than one should be. Rows
            are sorted, all of the day if there is one.
        day: The partition of a historical kind.

    Returns:
        None if there are no rows; then there is no file.
    """
    import pyarrow as pa  # noqa: PLC0415 - it is much to load, and most commands write no file
    import pyarrow.parquet as pq  # noqa: PLC0415

    filled = filter(len, frames)
    first = next(filled, None)
    if first is None:
        return None
    statistics: list[pl.DataFrame] = []
    encoded = pa.BufferOutputStream()
    with pq.ParquetWriter(
        encoded,
        arrow_schema(kind),
        compression="zstd",
        store_schema=False,
        use_dictionary=_repeating_columns(kind, first),
        write_statistics=statistics_columns(kind),
    ) as writer:
        for rows in chain([first], filled):
            # A few rows more are not worth a group of their own.
            writer.write_table(_to_arrow(kind, rows), row_group_size=2 * row_group_rows(kind))
            statistics.append(_statistics(kind, rows))
    # Encoded in memory, since the name says what is in the file.
    data = encoded.getvalue()
    name = name_data_file(new_guid(), compute_digest(memoryview(data)))
    path = path_in_day(name, day)
    # delta-rs's streams take bytes, not Arrow's buffers; a buffer in between hands them over so.
    with open_files(table).open_output_stream(path, buffer_size=data.size + 1) as stream:
        stream.write(data)
    parts = pl.concat(statistics)
    return FileChange(
        path=path,
        bytes=data.size,
        rows=int(parts["rows"].sum()),
        day=day,
        statistics=_statistics_json(kind, parts),
    )


def log_actions(change: TableChange) -> list[AddAction | RemoveAction]:
    """What takes a change's files from a table's log and adds its others to it.

    A file that is removed stays where it is, for older versions of the table.
    """
    return [
        *(
            RemoveAction(
                path=file.path,
                data_change=True,
                deletion_timestamp=_now(),
                size=file.bytes,
                partition_values=_partition(file.day),
            )
            for file in change.removed
        ),
        *add_actions(change),
    ]


def add_actions(change: TableChange) -> list[AddAction]:
    """What adds a change's files to a table's log."""
    return [
        AddAction(
            path=file.path,
            size=file.bytes,
            partition_values=_partition(file.day),
            modification_time=_now(),
            data_change=True,
            stats=file.statistics,
        )
        for file in change.added
    ]


def row_group_rows(kind: Kind) -> int:
    """Rows of a row group."""
    return CRASH_ROW_GROUP_ROWS if kind is Kind.CRASH else ROW_GROUP_ROWS


def statistics_columns(kind: Kind) -> list[str]:
    """Only what the planner needs: other statistics would copy users' data into the log."""
    return ["device_id", TIME_COLUMN[kind], "received_at"]


def _repeating_columns(kind: Kind, rows: pl.DataFrame) -> list[str]:
    """Columns whose values repeat. A dictionary of the others costs time and makes files larger."""
    sample = rows.select(file_schema(kind).keys()).head(SAMPLE_ROWS)
    distinct = sample.select(pl.all().n_unique()).row(0, named=True)
    return [column for column, count in distinct.items() if 2 * count <= sample.height]


def _partition(day: date | None) -> dict[str, str | None]:
    return {} if day is None else {"date": day.isoformat()}


def _now() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


@cache
def arrow_schema(kind: Kind) -> "pa.Schema":
    """The columns of the kind's files as Arrow names them."""
    return _to_arrow(kind, pl.DataFrame(schema=file_schema(kind))).schema


def table_arrow_schema(kind: Kind) -> "pa.Schema":
    """The columns of the kind's table as Arrow names them, the partition's at the end."""
    import pyarrow as pa  # noqa: PLC0415

    schema = arrow_schema(kind)
    return schema.append(pa.field("date", pa.date32())) if kind.is_historical else schema


def _to_arrow(kind: Kind, rows: pl.DataFrame) -> "pa.Table":
    return rows.select(file_schema(kind).keys()).to_arrow(compat_level=COMPATIBLE)


def _statistics(kind: Kind, rows: pl.DataFrame) -> pl.DataFrame:
    """What is told of some rows, as one row."""
    columns = pl.col(statistics_columns(kind))
    return rows.select(
        pl.len().alias("rows"),
        columns.min().name.prefix("min."),
        columns.max().name.prefix("max."),
        columns.null_count().name.prefix("nulls."),
    )


def _statistics_json(kind: Kind, parts: pl.DataFrame) -> str:
    """What a table's log says of a file."""
    names = statistics_columns(kind)
    return json.dumps(
        {
            "numRecords": parts["rows"].sum(),
            "minValues": {name: _text(parts[f"min.{name}"].min()) for name in names},
            "maxValues": {name: _text(parts[f"max.{name}"].max()) for name in names},
            "nullCount": {name: parts[f"nulls.{name}"].sum() for name in names},
        }
    )


def _text(value: Any) -> str:
    if isinstance(value, datetime):
        return format_rfc3339(value)
    return str(value)
