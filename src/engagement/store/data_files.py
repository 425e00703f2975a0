"""Reads what a table's log says of its data files."""

from dataclasses import dataclass
from datetime import date, datetime

import polars as pl
from deltalake import DeltaTable

from engagement.model.records import TIME_COLUMN, Kind
from engagement.store.commits import FileChange

_DAY_FOLDER = "date="


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFile:
    """One Parquet file of a table, with what Delta's own statistics say of it."""

    path: str
    """Relative to the table."""
    bytes: int
    """Its size."""
    rows: int
    """Rows inside."""
    day: date | None
    """The partition; None for snapshot kinds."""
    device_min: str
    """Smallest device id inside."""
    device_max: str
    """Largest device id inside."""
    time_min: datetime
    """Earliest record time inside."""
    time_max: datetime
    """Latest record time inside."""
    received_min: datetime | None = None
    """Earliest receipt inside; None if the log does not say, as of tables made before it did."""
    received_max: datetime | None = None
    """Latest receipt inside, without what is below a millisecond."""

    def as_change(self) -> FileChange:
        """The file as something to be removed from its table."""
        return FileChange(path=self.path, bytes=self.bytes, rows=self.rows, day=self.day)


def files_of(table: DeltaTable, kind: Kind) -> list[DataFile]:
    """The files of an opened table, in a fixed order."""
    actions = pl.DataFrame(table.get_add_actions(flatten=True))
    time = TIME_COLUMN[kind]
    return sorted(
        (
            DataFile(
                path=row["path"],
                bytes=row["size_bytes"],
                rows=row["num_records"],
                day=row.get("partition.date"),
                device_min=row["min.device_id"],
                device_max=row["max.device_id"],
                time_min=row[f"min.{time}"],
                time_max=row[f"max.{time}"],
                received_min=row.get("min.received_at"),
                received_max=row.get("max.received_at"),
            )
            for row in actions.iter_rows(named=True)
        ),
        key=_file_order,
    )


def path_in_day(name: str, day: date | None) -> str:
    """The path of a file, relative to the table, in the folder of its partition if it has one."""
    return name if day is None else f"{_DAY_FOLDER}{day.isoformat()}/{name}"


def day_of_path(path: str) -> date:
    """The partition that a file of a historical kind lies in."""
    return date.fromisoformat(path.partition("/")[0].removeprefix(_DAY_FOLDER))


def count_rows(table: DeltaTable) -> int:
    """The rows of an opened table."""
    return int(pl.DataFrame(table.get_add_actions(flatten=True))["num_records"].sum())


def _file_order(file: DataFile) -> tuple[object, ...]:
    """By what a file holds; by its name, which is random, only where all else is equal."""
    span = (file.device_min, file.device_max, file.time_min, file.time_max)
    return (file.day or date.min, *span, file.rows, file.bytes, file.path)
