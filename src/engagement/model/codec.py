"""Encodes the values of an export as JSON and decodes them, from nothing but their types.

A value is decoded by its own constructor, so that an impossible one is refused here as anywhere.
"""

from typing import TypeVar

import msgspec

T = TypeVar("T")


def encode(value: object) -> str:
    """Return the value as JSON, fields by their names; `decode` gives back an equal one."""
    return msgspec.json.encode(value).decode()


def decode(text: str, of: type[T]) -> T:
    """Return the value of a type that the text was encoded from.

    Fields that the text does not have get their defaults, so that a type may gain some.

    Raises:
        ValueError: The text is no JSON, or of another type.
    """
    return msgspec.json.decode(text, type=of)
