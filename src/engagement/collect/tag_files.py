"""Reads the tags of many devices from one JSON text, an entry at a time."""

import json
import re
from collections.abc import Iterator

from engagement.exceptions import CorruptInputError

_DECODER = json.JSONDecoder()
_SPACE = re.compile(r"[ \t\r\n]*")
_BETWEEN_OBJECTS = re.compile(r"[ \t\r\n\ufeff]*")
"""Files that were joined may have a byte order mark each."""


def read_entries(text: str) -> Iterator[tuple[str, object]]:
    """The members of a JSON object, or of several one after another, such as one a line.

    Only one entry is in memory at a time, besides the text. Values are not looked into.

    Raises:
        CorruptInputError: The text is no JSON objects; says where. What came before was given.
    """
    place = _after_space(text, 0, _BETWEEN_OBJECTS)
    if place == len(text):
        raise CorruptInputError("The tags must be a JSON object of device ids, got nothing.")
    while place < len(text):
        place = _after_space(text, _after(text, place, "{"))
        is_first = True
        while not text.startswith("}", place):
            if not is_first:
                place = _after_space(text, _after(text, place, ","))
            is_first = False
            key, place = _value(text, place)
            if not isinstance(key, str):
                raise _corrupt("a device id in quotes", text, place)
            place = _after_space(text, _after(text, place, ":"))
            value, place = _value(text, place)
            yield key, value
        place = _after_space(text, place + 1, _BETWEEN_OBJECTS)


def _value(text: str, place: int) -> tuple[object, int]:
    """The JSON value at a place, and the place behind it and the spaces after it."""
    try:
        value, end = _DECODER.raw_decode(text, place)
    except (ValueError, RecursionError) as error:
        # Besides what is no JSON, a number of very many digits or very deep nesting.
        raise _corrupt("a JSON value that is not too deep or long", text, place) from error
    return value, _after_space(text, end)


def _after(text: str, place: int, wanted: str) -> int:
    if not text.startswith(wanted, place):
        raise _corrupt(f"`{wanted}`", text, place)
    return place + len(wanted)


def _after_space(text: str, place: int, space: re.Pattern[str] = _SPACE) -> int:
    found = space.match(text, place)
    return place if found is None else found.end()


def _corrupt(wanted: str, text: str, place: int) -> CorruptInputError:
    got = repr(text[place : place + 20]) if place < len(text) else "the end"
    return CorruptInputError(f"The tags must have {wanted} at character {place + 1}, got {got}.")
