"""Tests the checks of the agent, which name what they refuse but do not quote secrets at length."""

from datetime import UTC, date, datetime
from typing import Any

import pytest

from engagement.agent.checks import (
    VALUE_DEPTH_MAX,
    check_extras,
    check_integer,
    check_text,
    encode_tags,
    quote,
)
from engagement.exceptions import BadInputError
from engagement.model.limits import (
    EXTRAS_CHARACTERS_MAX,
    EXTRAS_KEYS_MAX,
    INTEGER_MAX,
    INTEGER_MIN,
    TAGS_PER_RECORD_MAX,
)


@pytest.mark.parametrize("value", [None, 1, b"a", "", "abcd", "a\n", "\ud800"])
def test_a_text_that_a_batch_cannot_hold_is_refused_by_its_field(value: Any) -> None:
    check_text("abc", "name", 3)
    with pytest.raises(BadInputError, match=r"^name "):
        check_text(value, "name", 3)


def test_a_stack_may_have_lines() -> None:
    check_text("at main\n\tat start", "stack", 99, may_have_control=True)


@pytest.mark.parametrize("value", [INTEGER_MIN - 1, INTEGER_MAX + 1, True, 1.5, "1", None])
def test_an_integer_has_64_bits(value: Any) -> None:
    check_integer(INTEGER_MIN, "number")
    check_integer(INTEGER_MAX, "number")
    with pytest.raises(BadInputError, match=r"^number "):
        check_integer(value, "number")


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "extras",
    [
        {"bad key": 1},
        {"a": float("nan")},
        {"a": float("inf")},
        {"a": b"bytes"},
        {"a": {1: 2}},
        {"a": nested(VALUE_DEPTH_MAX + 1)},
        {"a": "x" * (EXTRAS_CHARACTERS_MAX + 1)},
        {f"k{number}": 1 for number in range(EXTRAS_KEYS_MAX + 1)},
        [],
    ],
)
def test_extras_that_no_record_can_hold_are_refused(extras: Any) -> None:
    with pytest.raises(BadInputError, match="extras"):
        check_extras(extras)


def test_extras_may_hold_what_json_holds() -> None:
    check_extras({"a": [1, 1.5, None, True, {"b": "text"}], "deep": nested(VALUE_DEPTH_MAX - 1)})


def test_tags_are_encoded_as_a_batch_has_them() -> None:
    tags = {"plan": "pro", "age": 36, "is_new": True, "gone": None, "since": date(2026, 1, 2)}

    assert encode_tags(tags) == tags | {"since": "2026-01-02"}


@pytest.mark.parametrize(
    "tags",
    [
        {},
        {"bad key": 1},
        {"a": 1.5},
        {"a": []},
        {"a": datetime(2026, 1, 1, tzinfo=UTC)},
        {f"k{number}": 1 for number in range(TAGS_PER_RECORD_MAX + 1)},
    ],
)
def test_tags_that_no_record_can_hold_are_refused(tags: Any) -> None:
    with pytest.raises(BadInputError):
        encode_tags(tags)


def test_a_long_value_is_quoted_in_part() -> None:
    assert len(quote("x" * 1_000)) < 80
