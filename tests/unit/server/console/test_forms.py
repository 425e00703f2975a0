"""Tests that numbers of forms and queries are read within a length, and nothing else is one."""

import pytest

from engagement.server.console.forms import ID_DIGITS_MAX, FormErrors, read_days, read_number


@pytest.mark.parametrize(
    ("text", "number"),
    [("0", 0), ("42", 42), ("9" * 5, 99_999), ("9" * 6, None), ("", None), ("-1", None)],
)
def test_a_number_is_whole_and_within_a_length(text: str, number: int | None) -> None:
    assert read_number(text, digits_max=5) == number


@pytest.mark.parametrize("text", ["1.5", " 1", "٣", "1e3", "x", "9" * 40])
def test_what_is_no_number_of_the_database_is_none(text: str) -> None:
    assert read_number(text, digits_max=ID_DIGITS_MAX) is None


@pytest.mark.parametrize(("text", "days", "is_wrong"), [("", None, 0), ("7", 7, 0), ("x", None, 1)])
def test_wrong_days_are_said_beside_their_field(
    text: str, days: int | None, *, is_wrong: bool
) -> None:
    errors = FormErrors()

    assert read_days(text, errors) == days
    assert ("days" in errors.by_field) == is_wrong
