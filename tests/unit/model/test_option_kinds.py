"""Tests that the kinds of an option's value read what they wrote and refuse other types."""

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engagement.exceptions import InvalidExportError
from engagement.model.exports import Compression
from engagement.model.option_kinds import (
    Choice,
    DayOrInstant,
    Instant,
    Numbers,
    OptionKind,
    Switch,
    Text,
    Texts,
)

KINDS: dict[OptionKind, st.SearchStrategy[object]] = {
    Choice(Compression): st.sampled_from(Compression),
    Switch(): st.booleans(),
    Text(9): st.text(),
    Texts(9): st.lists(st.text()).map(tuple),
    Numbers(9): st.lists(st.integers()).map(tuple),
    Instant(): st.datetimes(timezones=st.just(UTC)),
    DayOrInstant(): st.dates() | st.datetimes(timezones=st.just(UTC)),
}
WRONG: dict[OptionKind, list[object]] = {
    Choice(Compression): ["", "bzip2", 1, None],
    Switch(): ["true", 1, 0, None],
    Text(9): [1, None, b"text", ["a"]],
    Texts(9): ["text", [1], None, [None], b"text"],
    Numbers(9): ["1", [True], ["1"], 1, [1.0]],
    Instant(): ["2026-11-01", date(2026, 11, 1), "2026-11-01T08:30:00", 1, "now"],
    DayOrInstant(): ["2026-02-30", "2026-11-01T08:30:00", datetime(2026, 1, 1), 1, ""],  # noqa: DTZ001 - the point
}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: type(kind).__name__)
@given(data=st.data())
def test_what_was_written_is_read_again(kind: OptionKind, data: st.DataObject) -> None:
    value = data.draw(KINDS[kind])

    assert kind.read("option", kind.write(value)) == value
    assert kind.read("option", value) == value


@pytest.mark.parametrize(
    ("kind", "value"), [(kind, value) for kind, values in WRONG.items() for value in values]
)
def test_another_type_is_refused_by_the_options_name(kind: OptionKind, value: object) -> None:
    with pytest.raises(InvalidExportError, match=r"^The time axis "):
        kind.read("time axis", value)


def test_an_instant_is_read_in_utc() -> None:
    there = datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=2)))

    found = Instant().read("range", there)

    assert (found, found.tzinfo) == (there, UTC)
    assert Instant().write(found) == "2025-12-31T23:00:00Z"


def test_an_instant_beyond_the_years_that_there_are_is_refused() -> None:
    late = datetime(9999, 12, 31, 23, 59, tzinfo=timezone(timedelta(hours=-1)))

    with pytest.raises(InvalidExportError):
        Instant().read("range", late)
