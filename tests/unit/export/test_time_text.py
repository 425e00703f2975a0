"""Tests that times from tables are the calendar's own text."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engagement.export.json_text import join_pieces
from engagement.export.time_text import write_times

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAY_US = 86_400_000_000
YEAR_US = 366 * DAY_US
microseconds = st.none() | st.one_of(
    st.integers(-3 * DAY_US, 3 * DAY_US),
    st.integers(-11_000 * YEAR_US, 11_000 * YEAR_US),
    st.sampled_from([-1, 0, 999, 1_000, DAY_US - 1, DAY_US, -DAY_US]),
)


def texts(instants: pl.Series) -> list[str | None]:
    frame = pl.DataFrame({"at": instants})
    return frame.select("at", text=join_pieces(["", *write_times(instants)]))["text"].to_list()


@given(st.lists(microseconds))
@example([None])
@example([-1, 0])
@example([DAY_US - 1, None])
def test_times_are_those_of_the_calendar(values: list[int | None]) -> None:
    instants = pl.Series(values, dtype=pl.Int64()).cast(pl.Datetime("us", "UTC"))

    assert texts(instants) == instants.dt.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_list()


@pytest.mark.parametrize(
    ("since", "text"),
    [
        (timedelta(microseconds=-1), "1969-12-31T23:59:59.999Z"),
        (timedelta(microseconds=1_999), "1970-01-01T00:00:00.001Z"),
        (timedelta(days=2_932_896, microseconds=DAY_US - 1), "9999-12-31T23:59:59.999Z"),
    ],
)
def test_microseconds_are_cut_and_not_rounded(since: timedelta, text: str) -> None:
    instants = pl.Series([EPOCH + since], dtype=pl.Datetime("us", "UTC"))

    assert texts(instants) == [text]
