"""Tests the reader of times: strictly RFC 3339, and as senders really write them."""

import calendar
import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engagement.model.instants import (
    format_rfc3339,
    parse_rfc3339,
    read_lenient_time,
    rfc3339_microseconds,
)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TEN = 1_768_903_200_000_000
"""2026-01-20T10:00:00Z."""

digits = st.text("0123456789", min_size=1, max_size=12)
offsets = st.tuples(st.sampled_from("+-"), st.integers(0, 23), st.integers(0, 59))
naive_times = st.datetimes(
    datetime.fromisoformat("0002-01-01"), datetime.fromisoformat("9998-12-31")
)
times = naive_times.map(lambda when: when.replace(microsecond=0))


def expected_microseconds(when: datetime, fraction: str, offset: tuple[str, int, int]) -> int:
    """The instant by the calendar of the standard library, not by a reader of texts."""
    sign, hours, minutes = offset
    seconds = calendar.timegm(when.timetuple())
    seconds -= int(f"{sign}1") * (hours * 3600 + minutes * 60)
    return seconds * 1_000_000 + int(f"{fraction}000"[:3]) * 1000


@given(
    times, st.none() | digits, st.none() | offsets, st.sampled_from("Tt "), st.sampled_from("Zz")
)
def test_every_rfc_3339_time_is_the_instant_that_it_names(
    when: datetime, fraction: str | None, offset: tuple[str, int, int] | None, t: str, z: str
) -> None:
    text = f"{when.date()}{t}{when.time()}{f'.{fraction}' if fraction else ''}"
    text += z if offset is None else "{}{:02}:{:02}".format(*offset)
    expected = expected_microseconds(when, fraction or "", offset or ("+", 0, 0))

    assert rfc3339_microseconds(text) == expected
    assert read_lenient_time(text) == expected
    parsed = parse_rfc3339(text)
    assert parsed.tzinfo is UTC
    assert (parsed - EPOCH) // timedelta(milliseconds=1) * 1000 == expected
    assert parsed.microsecond % 1000 == int(f"{fraction or ''}000000"[3:6])


NO_TIMES = [
    "", "now", "2026-01-20", "2026-01-20T10:00:00", "2026-01-20T10:00Z", "20260120T100000Z",
    "2026-01-20T10:00:00+0000", "2026-01-20T10:00:00+00", "2026-01-20T10:00:00,5Z",
    "2026-01-20T10:00:00.Z", "2026-01-20T10:00:00 Z", " 2026-01-20T10:00:00Z",
    "2026-01-20T10:00:00Z ", "2026-01-20T10:00:00Z\n", "2026-1-20T10:00:00Z", "26-01-20T10:00:00Z",
    "2026-01-20T24:00:00Z", "2026-01-20T10:60:00Z", "2026-01-20T10:00:60Z", "2026-02-29T10:00:00Z",
    "2026-13-20T10:00:00Z", "2026-00-20T10:00:00Z", "2026-01-00T10:00:00Z", "2026-01-32T10:00:00Z",
    "0000-01-20T10:00:00Z", "2026-01-20T10:00:00+05:60", "2026-01-20T10:00:00+05:99",
    "2026-01-20T10:00:00-24:00", "2026-01-20T10:00:00+99:00", "2026-01-20T10:00:00+5:00",
    "2026-01-20T10:00:00\u221205:00", "2026-01-20T10:00:00Z+00:00", "\uff12026-01-20T10:00:00Z",
    "2026-01-20X10:00:00Z", "2026-W04-2T10:00:00Z", "1768903200", "12026-01-20T10:00:00Z",
]  # fmt: skip


@pytest.mark.parametrize("text", NO_TIMES)
def test_what_is_no_rfc_3339_time_is_refused(text: str) -> None:
    for parse in (rfc3339_microseconds, parse_rfc3339):
        with pytest.raises(ValueError, match=r"."):
            parse(text)


_STRICT = re.compile(
    r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]([01]\d|2[0-3]):[0-5]\d)", re.ASCII
)


def _is_time(text: str) -> bool:
    """Whether a text is a time, by a pattern for its shape and the calendar for its numbers."""
    if _STRICT.fullmatch(text) is None:
        return False
    year, month, day, hour, minute, second = map(int, re.split(r"\D", text[:19]))
    days = calendar.monthrange(year, month)[1] if year and 1 <= month <= 12 else 0
    return 1 <= day <= days and hour < 24 and minute < 60 and second < 60


@example("2026-01-20T10:00:00.123+05:00", 27, "6")
@given(
    st.sampled_from(["2026-01-20T10:00:00Z", "2026-01-20T10:00:00.123+05:00"]),
    st.integers(0, 28),
    st.text("0123456789+-:.TZ ,", max_size=2),
)
def test_a_changed_time_is_refused_unless_it_is_one(text: str, place: int, new: str) -> None:
    changed = text[:place] + new + text[place + 1 :]
    found: int | None = None
    with suppress(ValueError):
        found = rfc3339_microseconds(changed)

    assert (found is not None) == _is_time(changed)
    if found is not None:
        assert found == (parse_rfc3339(changed) - EPOCH) // timedelta(milliseconds=1) * 1000


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01"])
def test_times_outside_of_the_calendar_are_refused(text: str) -> None:
    assert read_lenient_time(text) is None
    with pytest.raises(ValueError, match="years 1 to 9999"):
        parse_rfc3339(text)


@pytest.mark.parametrize(
    ("text", "since"),
    [
        ("2026-01-20T10:00:00.000+0000", TEN),
        ("2026-01-20T10:00:00.000+00:00", TEN),
        ("2026-01-20T10:00Z", TEN),
        ("2026-01-20T10Z", TEN),
        ("2026-01-20T10:00:00", TEN),
        ("2026-01-20T10:00:00.5", TEN + 500_000),
        ("20260120T100000Z", TEN),
        ("20260120T100000.250Z", TEN + 250_000),
        ("20260120T1000Z", TEN),
        ("20260120t113000+0130", TEN),
        ("2026-01-20T12:00:00+02", TEN),
        ("2026-01-20t10:00:00z", TEN),
        ("2026-01-20 10:00:00 +0000", TEN),
        ("2026-01-20 10:00:00,123456Z", TEN + 123_000),
        ("2026-01-20", TEN - 36_000_000_000),
        ("20260120", TEN - 36_000_000_000),
        (" 2026-01-20T10:00:00Z\n", TEN),
        ("1768903200", TEN),
        ("1768903200.25", TEN + 250_000),
        ("1768903200.9999999999999999999999999999999999", TEN + 999_000),
        ("1.7689032e9", TEN),
        ("1768903200000", TEN),
        ("1768903200000.9", TEN),
        ("100000000", 100_000_000_000_000),
        ("99999999999", 99_999_999_999_000_000),
        ("100000000000", 100_000_000_000_000),
        ("99999999999999", 99_999_999_999_999_000),
        ("20260120100000", 20_260_120_100_000_000),  # digits alone are no time of a day
    ],
)
def test_time_as_sdks_write_it_is_the_instant_that_it_names(text: str, since: int) -> None:
    assert read_lenient_time(text) == since


@pytest.mark.parametrize(
    "text",
    [
        "", "now", "0", "5", "-1768903200", "2026", "202601", "99999999", "100000000000000", "1e99",
        "1e999999", "1" * 200, "2026-01", "2026-13-01", "20261301", "2026-01-20T24:00Z",
        "2026-01-20T10:61", "2026-01-20T10:00:00+05:60", "2026-01-20T10:00:00+0560",
        "2026-01-20T10:00:00+2400", "2026-01-20T10:00,5Z", "1768903200Z",
        "\u0662\u0660\u0662\u0666\u0660\u0661\u0662\u0660",
        "2026-01-20T", "NaN", "true",
    ],
)  # fmt: skip
def test_what_names_no_instant_is_none(text: str) -> None:
    assert read_lenient_time(text) is None


@given(
    times.filter(lambda when: when.year >= 1000),  # the C library does not pad earlier years
    st.none() | digits.map(lambda fraction: f".{fraction}") | digits.map(lambda some: f",{some}"),
    st.none() | offsets,
    st.sampled_from([("-", ":"), ("", "")]),
)
def test_every_form_of_iso_8601_is_the_instant_that_it_names(
    when: datetime,
    fraction: str | None,
    offset: tuple[str, int, int] | None,
    marks: tuple[str, str],
) -> None:
    dash, colon = marks
    shape = dash.join(("%Y", "%m", "%d")) + "T" + colon.join(("%H", "%M", "%S"))
    zone = "" if offset is None else f"{offset[0]}{offset[1]:02}{colon}{offset[2]:02}"
    since = expected_microseconds(when, (fraction or ".")[1:], offset or ("+", 0, 0))

    assert read_lenient_time(when.strftime(shape) + (fraction or "") + zone) == since
    whole = when.replace(second=0)
    since = expected_microseconds(whole, "", offset or ("+", 0, 0))
    assert read_lenient_time(whole.strftime(shape.removesuffix(f"{colon}%S")) + zone) == since


@given(st.text())
def test_any_text_is_a_time_or_none(text: str) -> None:
    found = read_lenient_time(text)
    assert found is None or found % 1000 == 0


@given(
    naive_times,
    st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes))),
)
def test_what_is_written_is_read_again(when: datetime, zone: timezone) -> None:
    aware = when.replace(tzinfo=zone)

    assert parse_rfc3339(format_rfc3339(aware)) == aware - timedelta(
        microseconds=aware.microsecond % 1000
    )
