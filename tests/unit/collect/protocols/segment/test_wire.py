"""Tests that tracking messages are read whatever the types of their fields are."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engagement.collect.protocols.segment.wire import (
    Message,
    event_times,
    integer_of,
    members,
    read_message,
    text_of,
    time_of,
)
from support.tracking_messages import AT, HAPPENED, RECEIVED, SENT_AT

SECOND = 1_000_000


def raw(value: Any) -> msgspec.Raw:
    return msgspec.Raw(json.dumps(value).encode())


@pytest.mark.parametrize(
    ("value", "text"),
    [("a", "a"), ("", None), (7, "7"), (-1.5, "-1.5"), (True, None), (None, None), ([], None)],
)
def test_a_text_is_a_string_or_the_digits_of_a_number(value: Any, text: str | None) -> None:
    assert text_of(raw(value)) == text
    message = read_message(raw({"userId": value, "event": "tap"}))
    assert message is not None
    assert (message.user_id or None) == text
    assert message.event == "tap"


@pytest.mark.parametrize(
    ("value", "integer"),
    [(7, 7), ("7", 7), (7.0, 7), ("7.0", None), ("-7", -7), ("seven", None), (7.5, None)],
)
def test_an_integer_is_a_whole_number_or_plain_digits(value: Any, integer: int | None) -> None:
    assert integer_of(raw(value)) == integer


@given(st.recursive(st.none() | st.integers() | st.text(), st.lists, max_leaves=4))
def test_what_is_no_object_is_no_message_and_has_no_members(value: Any) -> None:
    assert read_message(raw(value)) is None
    assert members(raw(value)) == {}


def test_of_members_with_one_name_the_last_counts() -> None:
    found = members(msgspec.Raw(b'{"a":1,"b":2,"a":3}'))

    assert {name: bytes(value) for name, value in found.items()} == {"a": b"3", "b": b"2"}
    assert members(None) == {}


def test_a_time_is_corrected_by_what_the_devices_clock_is_off() -> None:
    message = Message(original_timestamp=AT)

    assert event_times(message, None, RECEIVED) == (HAPPENED, HAPPENED)
    assert event_times(message, RECEIVED - 60 * SECOND, RECEIVED) == (RECEIVED, HAPPENED)
    ahead = event_times(message, RECEIVED + 60 * SECOND, RECEIVED)
    assert ahead == (HAPPENED - 60 * SECOND, HAPPENED)


def test_a_timestamp_beside_the_original_one_was_set_on_purpose() -> None:
    message = Message(timestamp=AT, original_timestamp=SENT_AT)

    assert event_times(message, RECEIVED - 60 * SECOND, RECEIVED) == (HAPPENED, HAPPENED)


def test_without_a_time_there_is_none() -> None:
    assert event_times(Message(), None, RECEIVED) == (None, None)
    assert event_times(Message(timestamp="1969-12-31T00:00:00Z"), None, RECEIVED)[0] is None
    assert time_of("yesterday") is None
    assert time_of(None) is None
