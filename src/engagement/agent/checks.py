"""Checks values against the limits of a native batch, as a server will."""

import json
import math
from collections.abc import Mapping
from datetime import date, datetime

from engagement.exceptions import BadInputError
from engagement.model.limits import (
    CONTROL,
    EXTRAS_CHARACTERS_MAX,
    EXTRAS_KEYS_MAX,
    INTEGER_MAX,
    INTEGER_MIN,
    KEY_CHARACTERS_MAX,
    KEY_PATTERN,
    TAG_CHARACTERS_MAX,
    TAGS_PER_RECORD_MAX,
)

VALUE_DEPTH_MAX = 28
"""How deep a value of extras may nest, inside the batch, its list, the record and its extras."""

_SHOWN_CHARACTERS_MAX = 60

compact = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
"""The compact JSON text of a value that was checked."""


def check_text(
    value: object, field: str, longest: int, *, shortest: int = 1, may_have_control: bool = False
) -> None:
    """Return only if the value is a text that a batch can hold.

    Raises:
        BadInputError: It is none, too short, too long, or has characters that it must not have.
    """
    if not isinstance(value, str):
        raise BadInputError(f"{field} must be a string, got {type(value).__name__}.")
    if not shortest <= len(value) <= longest:
        raise BadInputError(
            f"{field} must have {shortest} to {longest} characters, got {len(value)}."
        )
    if not may_have_control and CONTROL.search(value) is not None:
        raise BadInputError(f"{field} must have no control characters, got {quote(value)}.")
    _check_whole(value, field)


def check_integer(value: object, field: str, *, least: int = INTEGER_MIN) -> None:
    """Return only if the value is an integer of 64 bits, and not below the least.

    Raises:
        BadInputError: It is not.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadInputError(f"{field} must be an integer, got {type(value).__name__}.")
    if not least <= value <= INTEGER_MAX:
        raise BadInputError(f"{field} must be from {least} to {INTEGER_MAX}, got another.")


def check_extras(extras: Mapping[str, object]) -> None:
    """Return only if these can be the extras of a record.

    Raises:
        BadInputError: A key, a value or the size cannot be kept as it is.
    """
    _check_keys(extras, "extras", EXTRAS_KEYS_MAX, fewest=0)
    for key, value in extras.items():
        _check_value(value, f"extras.{key}", depth=0)
    size = len(compact(dict(extras)))
    if size > EXTRAS_CHARACTERS_MAX:
        raise BadInputError(
            f"extras must have at most {EXTRAS_CHARACTERS_MAX} characters of compact JSON, "
            f"got {size}."
        )


def encode_tags(tags: Mapping[str, object]) -> dict[str, object]:
    """The tags as a batch writes them, which is dates as text.

    Raises:
        BadInputError: A key or a value cannot be kept as it is.
    """
    _check_keys(tags, "tags", TAGS_PER_RECORD_MAX, fewest=1)
    return {key: _encode_tag(value, f"tags.{key}") for key, value in tags.items()}


def quote(value: object) -> str:
    """A value as a message quotes it: escaped, and not longer than a line."""
    text = ascii(value)
    return text if len(text) <= _SHOWN_CHARACTERS_MAX else text[:_SHOWN_CHARACTERS_MAX] + "…"


def _check_keys(given: object, field: str, most: int, *, fewest: int) -> None:
    if not isinstance(given, Mapping):
        raise BadInputError(f"{field} must be a mapping, got {type(given).__name__}.")
    if not fewest <= len(given) <= most:
        raise BadInputError(f"{field} must have {fewest} to {most} keys, got {len(given)}.")
    for key in given:
        is_key = isinstance(key, str) and KEY_PATTERN.fullmatch(key)
        if not is_key:
            raise BadInputError(
                f"A key of {field} must be a letter and then letters, digits or _, "
                f"at most {KEY_CHARACTERS_MAX} characters, got {quote(key)}."
            )


def _check_value(value: object, field: str, *, depth: int) -> None:
    if isinstance(value, dict | list | tuple) and depth == VALUE_DEPTH_MAX:
        raise BadInputError(f"{field} must nest at most {VALUE_DEPTH_MAX} deep, got more.")
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise BadInputError(f"{field} must have strings as keys, got {quote(key)}.")
            _check_whole(key, field)
            _check_value(item, field, depth=depth + 1)
    elif isinstance(value, list | tuple):
        for item in value:
            _check_value(item, field, depth=depth + 1)
    elif isinstance(value, str):
        _check_whole(value, field)
    elif isinstance(value, int | float):
        _check_number(value, field)
    elif value is not None:
        raise BadInputError(f"{field} must be what JSON can hold, got {type(value).__name__}.")


def _check_number(value: float, field: str) -> None:
    try:
        is_finite = math.isfinite(float(value))
    except OverflowError:
        is_finite = False
    if not is_finite:
        raise BadInputError(f"{field} must be within the range of a double, got another number.")


def _encode_tag(value: object, field: str) -> object:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, str):
        check_text(value, field, TAG_CHARACTERS_MAX, shortest=0, may_have_control=True)
    elif value is not None and not isinstance(value, bool):
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if not isinstance(value, int):
            raise BadInputError(
                f"{field} must be a string, an integer, a date, a boolean or None, "
                f"got {type(value).__name__}."
            )
        check_integer(value, field)
    return value


def _check_whole(text: str, field: str) -> None:
    """Python may hold half of a surrogate pair in a string; UTF-8 cannot."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise BadInputError(
            f"{field} must hold whole characters, got half a surrogate pair."
        ) from error
