"""Reads tracking messages as they are sent, whatever the types of their fields are."""

import re
from typing import Any

import msgspec

from engagement.collect.limits import clock_shift, whole_number
from engagement.model.instants import read_lenient_time

NUMBER_STARTS = tuple(digit.encode() for digit in "-0123456789")
"""How a JSON number may begin."""
_NOTHING = msgspec.Raw()

Members = dict[str, msgspec.Raw]
"""The members of a JSON object, their values not looked into yet."""


class Message(msgspec.Struct, rename="camel", gc=False, frozen=True):
    """A message, what is in its objects not looked into yet."""

    type: str | None = None
    message_id: str | None = None
    user_id: str | None = None
    anonymous_id: str | None = None
    previous_id: str | None = None
    group_id: str | None = None
    timestamp: str | None = None
    original_timestamp: str | None = None
    sent_at: str | None = None
    event: str | None = None
    name: str | None = None
    category: str | None = None
    properties: msgspec.Raw = _NOTHING
    traits: msgspec.Raw = _NOTHING
    context: msgspec.Raw = _NOTHING


_MESSAGE = msgspec.json.Decoder(Message)
_MEMBERS = msgspec.json.Decoder(Members)
_TEXT = msgspec.json.Decoder(str)
_DIGITS = re.compile(r"-?[0-9]{1,19}")
_OBJECTS = ("properties", "traits", "context")


def read_message(raw: msgspec.Raw) -> Message | None:
    """The message; of a field that should be text, a number is its digits, other types nothing.

    Args:
        raw: Well-formed JSON text.

    Returns:
        None if it is no JSON object.
    """
    try:
        return _MESSAGE.decode(raw)
    except msgspec.ValidationError:
        if not bytes(raw).startswith(b"{"):
            return None
    fields: dict[str, Any] = {
        field: value if field in _OBJECTS else text_of(value)
        for name, value in members(raw).items()
        if (field := _FIELDS.get(name)) is not None
    }
    return Message(**fields)


_FIELDS = dict(zip(Message.__struct_encode_fields__, Message.__struct_fields__, strict=True))


def members(raw: msgspec.Raw | None) -> Members:
    """The members of a JSON object, the last of those with one name; none if it is no object."""
    return _MEMBERS.decode(raw) if raw is not None and bytes(raw).startswith(b"{") else {}


def text_of(raw: msgspec.Raw | None) -> str | None:
    """The string, or the digits of a number; None for anything else and for an empty string."""
    text = b"" if raw is None else bytes(raw)
    if text.startswith(b'"'):
        return _TEXT.decode(text) or None
    return text.decode() if text.startswith(NUMBER_STARTS) else None


def integer_of(raw: msgspec.Raw | None) -> int | None:
    """The integer that a number is, such as `7.0`, or that a text spells in digits alone."""
    text = text_of(raw)
    if text is None:
        return None
    is_number = raw is not None and bytes(raw).startswith(NUMBER_STARTS)
    return whole_number(text) if is_number or _DIGITS.fullmatch(text) else None


def time_of(text: str | None) -> int | None:
    """The microseconds since 1970 that a time names, however it is written; None if it is none."""
    return None if text is None else read_lenient_time(text)


def event_times(
    message: Message, body_sent_at: int | None, received_at: int
) -> tuple[int | None, int | None]:
    """When a message happened by our clock, never later than received, and by its own.

    The device's clock is off by as much as its time of sending differs from ours of receiving.
    RudderStack's `timestamp` beside `originalTimestamp` was set on purpose and is kept as it is.

    Args:
        message: The message.
        body_sent_at: When the body was sent by the device's clock, if it says so.
        received_at: When it came; all in microseconds since 1970.

    Returns:
        None for the former if the message tells no time, or one before 1970; None for the latter
        if it tells none.
    """
    timestamp = time_of(message.timestamp)
    original = time_of(message.original_timestamp)
    device_at = original if timestamp is None else timestamp
    if device_at is None:
        return None, None
    at = device_at
    if timestamp is None or original is None:
        sent_at = time_of(message.sent_at)
        sent_at = body_sent_at if sent_at is None else sent_at
        if sent_at is not None:
            at += clock_shift(sent_at, received_at)
    return (min(at, received_at) if at >= 0 else None), device_at
