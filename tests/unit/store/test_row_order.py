"""Tests the order of rows in a file against Python's own sorting."""

from datetime import UTC, date, datetime, timedelta

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from engagement.model.records import Kind
from engagement.store.row_order import in_order

START = datetime(2026, 2, 1, tzinfo=UTC)
DEVICES = st.sampled_from(["b", "a", "ab", ""])
ROWS = st.lists(st.tuples(DEVICES, st.integers(0, 3), st.integers(0, 5)), max_size=30)


@given(ROWS)
def test_rows_are_in_the_order_of_devices_then_times_then_arrival(
    rows: list[tuple[str, int, int]],
) -> None:
    table = pl.DataFrame(
        {
            "device_id": [device for device, _, _ in rows],
            "timestamp": [START + timedelta(hours=hours * 12) for _, hours, _ in rows],
            "sequence": [sequence for _, _, sequence in rows],
            "place": range(len(rows)),
        },
        schema_overrides={"device_id": pl.String(), "timestamp": pl.Datetime("us", "UTC")},
    )

    ordered = in_order(table, Kind.EVENT)

    expected = sorted(range(len(rows)), key=rows.__getitem__)
    assert ordered["place"].to_list() == expected
    assert ordered["date"].to_list() == [
        date(2026, 2, 1) + timedelta(days=rows[place][1] // 2) for place in expected
    ]
