"""Tests the limits of a batch's values, one by one."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engagement.collect.limits import (
    CLOCK_SKEW_KEPT_SECONDS_MAX,
    RefusedRecordError,
    check_length,
    check_name,
    check_range,
    clock_shift,
    guid,
    has_control,
    parse_instant,
    quote_value,
    remove_control,
    to_microseconds,
    whole_number,
)
from engagement.model.limits import NAME_CHARACTERS_MAX

SECOND = 1_000_000


@given(st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 31), timezones=st.just(UTC)))  # noqa: DTZ001 - Hypothesis adds the zone
def test_a_time_is_cut_to_its_millisecond(when: datetime) -> None:
    found = parse_instant(when.isoformat(), "timestamp")

    assert found == to_microseconds(when)
    assert found % 1_000 == 0
    assert (
        timedelta(0)
        <= when - datetime(1970, 1, 1, tzinfo=UTC) - timedelta(microseconds=found)
        < timedelta(milliseconds=1)
    )


@pytest.mark.parametrize("text", ["", "yesterday", "2026-01-01", "2026-01-01T00:00:00"])
def test_another_text_is_no_time(text: str) -> None:
    with pytest.raises(RefusedRecordError, match="timestamp must be an RFC 3339 time") as caught:
        parse_instant(text, "timestamp")
    assert caught.value.code == "bad_timestamp"


@pytest.mark.parametrize("outside", [-1, 253_402_300_800 * SECOND])
def test_times_lie_in_the_years_that_can_be_kept(outside: int) -> None:
    check_range(0, "end")
    check_range(253_402_300_800 * SECOND - 1, "end")
    with pytest.raises(RefusedRecordError, match="1970 to 9999"):
        check_range(outside, "end")


@given(st.integers(-(2**63), 2**64), st.integers(0, 3))
def test_an_integer_is_one_however_it_is_written(number: int, zeros: int) -> None:
    assert whole_number(str(number)) == number
    assert whole_number(f"{number}.{'0' * (zeros + 1)}") == number
    assert whole_number(f"{number}{'0' * zeros}e-{zeros}") == number


@given(st.decimals(-(10**9), 10**9, places=4))
def test_a_fraction_is_no_integer(number: Decimal) -> None:
    is_whole = number == number.to_integral_value()

    assert whole_number(f"{number:f}") == (int(number) if is_whole else None)


@pytest.mark.parametrize("text", ["", "x", "1e999", "NaN", "1.", "0x1", "٣"])
def test_what_is_no_number_of_64_bits_is_none(text: str) -> None:
    assert whole_number(text) is None


@given(st.integers(-(10**9), 10**9))
def test_a_clock_is_corrected_by_what_it_is_off(seconds: int) -> None:
    shift = clock_shift(0, seconds * SECOND)

    is_kept = abs(seconds) <= CLOCK_SKEW_KEPT_SECONDS_MAX
    assert shift == (0 if is_kept else seconds * SECOND)


@pytest.mark.parametrize("name", ["", "x" * (NAME_CHARACTERS_MAX + 1), "a\nb", "\x7f", "a\x85"])
def test_a_name_that_cannot_be_is_refused(name: str) -> None:
    with pytest.raises(RefusedRecordError) as caught:
        check_name(name)
    assert caught.value.code == "bad_name"


@pytest.mark.parametrize("name", ["x", "é 日本 🎉", "x" * NAME_CHARACTERS_MAX, "\u2028"])
def test_any_other_name_may_be(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize(("length", "is_fit"), [(0, False), (1, True), (3, True), (4, False)])
def test_a_length_has_two_bounds(length: int, *, is_fit: bool) -> None:
    if is_fit:
        check_length("x" * length, "stack", "bad_stack", 3)
    else:
        with pytest.raises(RefusedRecordError, match=f"1 to 3 characters, got {length}"):
            check_length("x" * length, "stack", "bad_stack", 3)


@given(st.text())
def test_nothing_but_control_characters_is_removed(text: str) -> None:
    left = remove_control(text)

    assert not has_control(left)
    assert (left == text) is not has_control(text)


@given(st.uuids())
def test_a_guid_stays_itself_in_any_spelling(given_id: object) -> None:
    text = str(given_id)

    assert guid(text.upper()) == guid(text) == guid(text.replace("-", "")) == text.replace("-", "")


def test_another_text_becomes_an_id_of_its_own_in_its_scope() -> None:
    assert guid("my phone", "device") == guid("my phone", "device")
    assert len({guid("my phone", "device"), guid("My phone", "device"), guid("my phone")}) == 3


@given(st.text())
def test_a_quoted_value_is_not_longer_than_a_line(text: str) -> None:
    assert len(quote_value(text)) <= 61
