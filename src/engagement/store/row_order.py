"""Puts rows into the order of a file, and into partitions."""

import polars as pl

from engagement.model.records import TIME_COLUMN, Kind
from engagement.store.schemas import sort_columns


def in_order(rows: pl.DataFrame, kind: Kind) -> pl.DataFrame:
    """The rows with their partition column, in the order of a file."""
    if kind.is_historical:
        rows = rows.with_columns(partition_day(rows, kind).alias("date"))
    device_id, *others = sort_columns(kind)
    # One column after another, the last first: to compare several at once, Polars makes a text of
    # them, which takes two or three times as long; and so do devices by their ids, row by row.
    order = pl.int_range(rows.height, dtype=pl.get_index_type(), eager=True)
    for keys in (*map(rows.get_column, reversed(others)), _rank(rows.get_column(device_id))):
        order = order.gather(_stable_order(keys.gather(order)))
    return rows[order]


def partition_day(rows: pl.DataFrame, kind: Kind) -> pl.Expr:
    """The partitions of a historical kind's rows.

    Sessions and jobs come with theirs, which is not the day of their start if they are older.
    """
    return pl.col("date") if "date" in rows.columns else pl.col(TIME_COLUMN[kind]).dt.date()


def _stable_order(keys: pl.Series) -> pl.Series:
    """The places of values in ascending order, of equal ones in the order that they have."""
    return keys.to_frame("key").select(pl.arg_sort_by("key", maintain_order=True)).to_series()


def _rank(values: pl.Series) -> pl.Series:
    """For each value its place among all; quickly where equal values follow each other."""
    runs = values.rle().struct.unnest()
    ranks = runs.select(pl.col("value").rank("dense").repeat_by("len").explode())
    return ranks.to_series()
