"""Tests that the rows of damaged files are found among known records, as often as they were."""

from datetime import timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engagement.exceptions import BadInputError
from engagement.model.records import Kind
from engagement.store.data_files import DataFile
from engagement.store.lost_rows import compare_days, find_lost_rows
from engagement.store.schemas import file_schema
from support.batches import DEVICES, NOW

_row = st.fixed_dictionaries(
    {
        "device_id": st.sampled_from(DEVICES[:3]),
        "timestamp": st.integers(0, 3).map(lambda hours: NOW + timedelta(hours=9 * hours)),
        "received_at": st.integers(0, 3).map(lambda part: NOW + timedelta(microseconds=600 * part)),
        "record_id": st.sampled_from("abc"),
        "name": st.just("event"),
    }
)
"""Few values, so that rows are alike in any of them; a record id may have been kept twice."""


def frame(rows: list[dict[str, Any]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=file_schema(Kind.EVENT))


def delivery(row: dict[str, Any]) -> tuple[str, int]:
    return row["record_id"], row["received_at"].microsecond // 1_000


def deliver(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows as an export has them."""
    return rows.with_columns(pl.col("received_at").dt.truncate("1ms"))


def describe(rows: pl.DataFrame) -> list[DataFile]:
    """A damaged file for each day, as the table's log describes it."""
    rows = deliver(rows)
    return [
        DataFile(
            path=f"date={day}/part",
            bytes=1,
            rows=of_day.height,
            day=day,
            device_min=of_day["device_id"].min(),
            device_max=of_day["device_id"].max(),
            time_min=of_day["timestamp"].min(),
            time_max=of_day["timestamp"].max(),
            received_min=of_day["received_at"].min(),
            received_max=of_day["received_at"].max(),
        )
        for (day,), of_day in rows.group_by(pl.col("timestamp").dt.date(), maintain_order=True)
    ]


@given(lost=st.lists(_row, min_size=1, max_size=12), sound=st.lists(_row, max_size=12))
def test_what_was_lost_is_found_as_often_as_it_was(
    lost: list[dict[str, Any]], sound: list[dict[str, Any]]
) -> None:
    """A record id is of one device, and what came at one time is of one time."""
    known = {delivery(row): row for row in [*lost, *sound]}
    lost, sound = ([known[delivery(row)] for row in rows] for rows in (lost, sound))
    held, days = frame(lost), {row["timestamp"].date() for row in lost}
    others = frame([row for row in sound if row["timestamp"].date() in days])
    damaged = describe(held)

    found = find_lost_rows(
        Kind.EVENT, damaged, others.lazy(), [deliver(frame(sound)), deliver(held)]
    )

    columns = ["device_id", "timestamp", "received_at", "record_id", "name"]
    assert found.select(columns).sort(columns).equals(deliver(held).select(columns).sort(columns))
    assert found.select("device_id", "timestamp", "sequence").is_unique().all()
    days_restored = compare_days(damaged, found, is_partial=False)
    assert sum(day.rows for day in days_restored) == held.height


@pytest.mark.parametrize(("held", "is_partial"), [(1, False), (1, True), (3, False)])
def test_another_number_of_rows_is_refused(held: int, *, is_partial: bool) -> None:
    row = {"device_id": DEVICES[0], "timestamp": NOW, "received_at": NOW, "name": "event"}
    rows = frame([row | {"record_id": name} for name in "ab"])
    (file,) = describe(frame([row] * held))
    found = find_lost_rows(Kind.EVENT, [file], frame([]).lazy(), [rows])

    with pytest.raises(BadInputError, match=f"held {held} rows, but the export has 2 records"):
        compare_days([file], found, is_partial=is_partial)
