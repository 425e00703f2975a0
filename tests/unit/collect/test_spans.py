"""Tests that each session and job lies whole in one partition, however many days it lasts."""

from datetime import date, datetime, timedelta

import polars as pl

from engagement.collect.spans import place_spans
from engagement.store.queries.sightings import SightingKey, Span
from support.batches import NOW

DAY = timedelta(days=1)
KEY, OTHER = SightingKey(1, 2), SightingKey(3, 4)


def rows_of(*starts: datetime) -> pl.DataFrame:
    """Sessions that are received now, one row each."""
    return pl.DataFrame(
        {"start": list(starts), "received_at": [NOW] * len(starts)},
        schema={"start": pl.Datetime("us", "UTC"), "received_at": pl.Datetime("us", "UTC")},
    )


def known(start: datetime, *, received_on: date) -> Span:
    return Span(key=KEY, day=start.date(), start=start, device_start=None, received_on=received_on)


def test_a_new_span_lies_on_the_day_of_its_start() -> None:
    placed, changed = place_spans(rows_of(NOW - DAY, NOW), [KEY, OTHER], {})

    assert placed["date"].to_list() == [(NOW - DAY).date(), NOW.date()]
    assert [span.key for span in changed] == [KEY, OTHER]


def test_a_later_report_gets_the_start_and_the_day_that_are_known() -> None:
    before = known(NOW - 3 * DAY, received_on=(NOW - 3 * DAY).date())

    placed, (changed,) = place_spans(rows_of(NOW), [KEY], {KEY: before})

    assert placed["start"].to_list() == [NOW - 3 * DAY]
    assert placed["date"].to_list() == [before.day]
    assert (changed.start, changed.received_on) == (before.start, NOW.date())


def test_an_earlier_start_does_not_move_what_is_there() -> None:
    before = known(NOW, received_on=NOW.date())

    placed, (changed,) = place_spans(rows_of(NOW - 2 * DAY), [KEY], {KEY: before})

    assert placed["start"].to_list() == [NOW - 2 * DAY]
    assert placed["date"].to_list() == [NOW.date()]
    assert (changed.start, changed.day) == (NOW - 2 * DAY, NOW.date())


def test_a_report_that_tells_nothing_new_changes_nothing() -> None:
    before = known(NOW - DAY, received_on=NOW.date())

    _, changed = place_spans(rows_of(NOW), [KEY], {KEY: before})

    assert changed == []
