"""Tests how long a container may ask to be left alone."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engagement.deliver.pauses import PAUSE_SECONDS_MAX, Pauses, parse_retry_after

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


@given(st.integers(min_value=0))
def test_seconds_are_obeyed_up_to_a_bound(seconds: int) -> None:
    pause = parse_retry_after(str(seconds), now=NOW)

    assert pause == min(seconds, PAUSE_SECONDS_MAX) or len(str(seconds)) > 9


@given(st.integers(-(10**8), 10**8))
def test_a_date_is_obeyed_up_to_the_same_bound(seconds: int) -> None:
    date = format_datetime(NOW + timedelta(seconds=seconds), usegmt=True)

    assert parse_retry_after(date, now=NOW) == min(max(seconds, 0), PAUSE_SECONDS_MAX)


@pytest.mark.parametrize(
    "value", [None, "", " ", "-1", "1.5", "1e3", "soon", "Tue, 99 Nov 2026 12:00:00 GMT", "٣"]
)
def test_what_is_no_time_asks_for_none(value: str | None) -> None:
    assert parse_retry_after(value, now=NOW) == 0


@given(st.text())
def test_any_text_is_read(value: str) -> None:
    assert 0 <= parse_retry_after(value, now=NOW) <= PAUSE_SECONDS_MAX


def test_each_container_has_its_own_pause_and_the_longest_holds() -> None:
    clock = [100.0]
    pauses = Pauses(monotonic=lambda: clock[0], now=lambda: NOW)

    pauses.note("a", "30")
    pauses.note("a", "10")
    pauses.note("b", None)
    assert (pauses.seconds_left("a"), pauses.seconds_left("b")) == (30, 0)

    clock[0] += 20
    pauses.note("b", "5")
    assert (pauses.seconds_left("a"), pauses.seconds_left("b")) == (10, 5)

    clock[0] += 60
    assert (pauses.seconds_left("a"), pauses.seconds_left("b")) == (0, 0)
