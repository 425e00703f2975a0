"""Finds which records damaged files held, among those that are known from elsewhere."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime

import polars as pl

from engagement.exceptions import BadInputError
from engagement.model.records import TIME_COLUMN, Kind
from engagement.store.data_files import DataFile
from engagement.store.row_order import in_order
from engagement.store.schemas import file_schema

_DELIVERY = ("record_id", "received_at")
"""Tells rows apart: a batch that came again after its id was forgotten has the same record ids."""
_MILLISECONDS = pl.col("received_at").dt.truncate("1ms")
"""The time of receipt as exports have it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoredDay:
    """A day of a table whose damaged files were replaced by what they held."""

    day: date
    """The day."""
    rows: int
    """Rows that were restored."""
    rows_lost: int
    """Rows more that the damaged files held, by the table's log."""


def find_lost_rows(
    kind: Kind, damaged: Sequence[DataFile], sound: pl.LazyFrame, records: Iterable[pl.DataFrame]
) -> pl.DataFrame:
    """The records that damaged files may have held and sound ones of their days do not hold.

    They are in the order of a file, and have its columns and their partition.

    Args:
        kind: What they are, of a kind of which every row is a record of its own.
        damaged: The files, with what the table's log says of them.
        sound: The rows of the other files of the same days.
        records: Rows with the columns of files. Those without a record id are not of use.
    """
    may_be_lost = pl.any_horizontal(_may_be_in(file, kind) for file in damaged)
    may_be_lost &= pl.col("record_id").is_not_null()
    candidates = pl.concat(
        [
            pl.DataFrame(schema=file_schema(kind)),
            *(rows.with_columns(_MILLISECONDS).filter(may_be_lost) for rows in records),
        ]
    )
    known = sound.select("record_id", _MILLISECONDS).collect(engine="streaming")
    lost = _number(candidates).join(
        _number(known), on=[*_DELIVERY, "number"], how="anti", maintain_order="left"
    )
    place = pl.int_range(pl.len(), dtype=pl.Int64()).over("device_id", TIME_COLUMN[kind])
    return in_order(lost.drop("number").with_columns(place.alias("sequence")), kind)


def compare_days(
    damaged: Sequence[DataFile], rows: pl.DataFrame, *, is_partial: bool
) -> list[RestoredDay]:
    """What is restored of each day, if it is what the damaged files held.

    Args:
        damaged: The files.
        rows: What was found, with its partition.
        is_partial: Whether less than they held will do.

    Raises:
        BadInputError: It is not; says how many rows there should be.
    """
    found = dict(rows.group_by("date").len().iter_rows())
    held: dict[date, int] = {}
    for file in damaged:
        if file.day is not None:
            held[file.day] = held.get(file.day, 0) + file.rows
    if not found:
        days = ", ".join(map(str, sorted(held)))
        raise BadInputError(
            f"The export must have records that the damaged files held, got none of {days}. "
            "Nothing was changed."
        )
    for day, count in sorted(found.items()):
        if count > held[day] or (count < held[day] and not is_partial):
            raise BadInputError(
                f"The damaged files of {day} held {held[day]} rows, but the export has {count} "
                "records of that day that may have been in them and are in no other file. "
                "Nothing was changed."
            )
    return [
        RestoredDay(day=day, rows=count, rows_lost=held[day] - count)
        for day, count in sorted(found.items())
    ]


def _may_be_in(file: DataFile, kind: Kind) -> pl.Expr:
    """Whether rows may have been in a file, by what the table's log says of it."""
    time, least, most = pl.col(TIME_COLUMN[kind]), file.received_min, file.received_max
    is_within = (
        (time.dt.date() == pl.lit(file.day))
        & time.is_between(file.time_min, file.time_max)
        & pl.col("device_id").is_between(pl.lit(file.device_min), pl.lit(file.device_max))
    )
    if least is None or most is None:
        return is_within
    return is_within & pl.col("received_at").is_between(_cut(least), most)


def _number(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows, those that are alike counted, so that of three two may be known."""
    return rows.with_columns(pl.int_range(pl.len()).over(_DELIVERY).alias("number"))


def _cut(instant: datetime) -> datetime:
    return instant.replace(microsecond=instant.microsecond // 1_000 * 1_000)
