"""Turns the extras and tags of a record into what is kept, numbers as they were written.

Keys and strings may change their spelling (escapes, spaces between), never their meaning. A
number keeps its very digits, so neither a large integer nor a decimal fraction loses any.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NoReturn

import msgspec

from engagement.collect.limits import RefusedRecordError, quote_value, whole_number
from engagement.model.limits import (
    EXTRAS_CHARACTERS_MAX,
    EXTRAS_KEYS_MAX,
    INTEGER_MAX,
    INTEGER_MIN,
    KEY_CHARACTERS_MAX,
    KEY_PATTERN,
    TAG_CHARACTERS_MAX,
    TAGS_PER_RECORD_MAX,
)
from engagement.model.records import text_tag_type

_Scalar = str | int | float | bool | None
_RAWS = msgspec.json.Decoder(list[msgspec.Raw])
_FLAT_OR_NONE = msgspec.json.Decoder(dict[str, _Scalar] | None)
_FLAT = msgspec.json.Decoder(dict[str, _Scalar])
_NESTED = msgspec.json.Decoder(dict[str, _Scalar | dict[str, _Scalar]])
_ENCODER = msgspec.json.Encoder()
_encode = _ENCODER.encode
_REMEMBERED_BYTES_MAX = 1024
"""Of extras whose keys are remembered, so that what is remembered is bounded."""
_DOUBLE_DIGITS_MAX = 308
_LONG_NUMBER = re.compile(rb"[0-9]{%d}" % (_DOUBLE_DIGITS_MAX + 1))
_NOT_ZERO = re.compile(r"[-0.]*[1-9]")


class Number(str):
    """A JSON number as it was written."""

    __slots__ = ()


Value = str | bool | None | list["Value"] | dict[str, "Value"]
"""A parsed JSON value; numbers are `Number`."""


def compact_extras(raw: bytes) -> bytes:
    """The extras as compact JSON text of scalars; a nested value becomes its JSON text.

    Args:
        raw: The JSON text of the record's extras, or nothing.

    Returns:
        UTF-8, empty if there are none.

    Raises:
        RefusedRecordError: A key, a number or the size is beyond what can be kept unaltered.
    """
    if not raw or raw == b"null":
        return b""
    try:
        flat = _FLAT.decode(raw)
    except msgspec.DecodeError:
        return _compact(raw)
    text = _text_as_written(flat, raw)
    if text is None or _may_have_long_number(text) or not _are_keys(flat, len(raw)):
        return _compact(raw)
    _check_size(text, len(flat))
    return text


def compact_together(raws: Sequence[msgspec.Raw]) -> list[str | None] | None:
    """Return what `compact_extras` gives for each, as text, if it keeps all as they were written.

    They are read together, a line each, which takes a third of the time.

    Args:
        raws: The JSON text of the extras of each record, `null` if it has none.

    Returns:
        None if one of them may be altered or refused; else None for each that is nothing.
    """
    try:
        values = _FLAT_OR_NONE.decode_lines(b"\n".join(raws))
    except msgspec.DecodeError:
        return None
    lines = _ENCODER.encode_lines(values)
    if lines != _lines(raws) and lines != _lines(_without_spaces(raws)):
        return None
    texts = lines.decode().split("\n")[:-1]
    longest = max(map(len, texts))
    if longest > EXTRAS_CHARACTERS_MAX or (
        longest > _DOUBLE_DIGITS_MAX and _may_have_long_number(lines)
    ):
        return None
    members = list(filter(None, values))
    are_few = max(map(len, members), default=0) <= EXTRAS_KEYS_MAX
    if not are_few or not all(map(KEY_PATTERN.fullmatch, set().union(*members))):
        return None
    return [None if text == "null" else text for text in texts]


def _lines(texts: Sequence[msgspec.Raw]) -> bytes:
    return b"\n".join((*texts, b""))


def _without_spaces(raws: Sequence[msgspec.Raw]) -> list[msgspec.Raw]:
    return _RAWS.decode(msgspec.json.format(b"[" + b",".join(raws) + b"]", indent=-1))


def flatten_extras(raw: bytes) -> bytes | None:
    """Extras in which members of objects stand beside the others, named after their object first.

    Returns:
        The text that `compact_extras` would keep; None if something would have to be altered for
        it.
    """
    try:
        nested = _NESTED.decode(raw)
    except msgspec.DecodeError:
        return None
    if _text_as_written(nested, raw) is None or _may_have_long_number(raw):
        return None
    flat: dict[str, _Scalar] = {}
    members = 0
    for key, value in nested.items():
        if isinstance(value, dict):
            members += len(value) or 1  # an empty one has no members, but is something
            for inner, scalar in value.items():
                flat[f"{key}_{inner}"] = scalar
        else:
            members += 1
            flat[key] = value
    if len(flat) != members or members > EXTRAS_KEYS_MAX or not _are_keys(flat, len(raw)):
        return None
    text = _encode(flat)
    return text if _characters(text) <= EXTRAS_CHARACTERS_MAX else None


def _text_as_written(value: object, raw: bytes) -> bytes | None:
    """The compact text of what was read; None if it is not what was written, spaces aside.

    Only text that is encoded back to itself has no key twice and no number whose digits would
    change; this is most of what devices send. A number may still be one that no double comes near.
    """
    encoded = _encode(value)
    if encoded != raw:
        raw = msgspec.json.format(raw, indent=-1)
    return encoded if encoded == raw else None


def _may_have_long_number(text: bytes) -> bool:
    return len(text) > _DOUBLE_DIGITS_MAX and _LONG_NUMBER.search(text) is not None


def tag_rows(raw: bytes, set_at: int) -> list[tuple[object, ...]]:
    """One row for each tag of a record, values as text with the name of their type.

    Raises:
        RefusedRecordError: A key or a value cannot be kept.
    """
    tags = _parsed(raw, "tags", "bad_tag")
    if not 0 < len(tags) <= TAGS_PER_RECORD_MAX:
        raise RefusedRecordError(
            "bad_tag", f"tags must have 1 to {TAGS_PER_RECORD_MAX} keys, got {len(tags)}."
        )
    return [(key, *_tag_value(key, value), set_at) for key, value in tags.items()]


def _are_keys(flat: Mapping[str, object], raw_bytes: int) -> bool:
    """Whether all keys are well formed; those of extras of few bytes are looked at once."""
    keys = tuple(flat)
    if raw_bytes <= _REMEMBERED_BYTES_MAX:
        return _match_keys(keys)
    return _match_keys.__wrapped__(keys)


@lru_cache(maxsize=4_096)
def _match_keys(keys: tuple[str, ...]) -> bool:
    return all(map(KEY_PATTERN.fullmatch, keys))


def _compact(raw: bytes) -> bytes:
    extras = _parsed(raw, "extras", "bad_extras")
    text = json_text(extras).encode()
    _check_size(text, len(extras))
    nested: dict[str, Value] = {
        key: json_text(value) for key, value in extras.items() if isinstance(value, dict | list)
    }
    return json_text(extras | nested).encode() if nested else text


def _check_size(text: bytes, keys: int) -> None:
    if keys > EXTRAS_KEYS_MAX:
        raise RefusedRecordError(
            "bad_extras", f"extras must have at most {EXTRAS_KEYS_MAX} keys, got {keys}."
        )
    if len(text) > EXTRAS_CHARACTERS_MAX < (characters := _characters(text)):
        raise RefusedRecordError(
            "extras_too_long",
            f"extras must have at most {EXTRAS_CHARACTERS_MAX} characters of compact JSON, "
            f"got {characters}.",
        )


def _characters(text: bytes) -> int:
    return len(text) if text.isascii() else len(text.decode())


def _parsed(raw: bytes, field: str, code: str) -> dict[str, Value]:
    """The object that the raw JSON holds, its first level's keys checked.

    The text was found well formed before; the standard library reads it here because it tells of
    repeated keys and of each number's digits.
    """
    value = _PARSER.decode(raw.decode())
    if not isinstance(value, dict):
        raise RefusedRecordError(code, f"{field} must be an object, got {_type_name(value)}.")
    for key in value:
        if KEY_PATTERN.fullmatch(key) is None:
            raise RefusedRecordError(
                code,
                f"A key of {field} must be a letter and then letters, digits or _, "
                f"at most {KEY_CHARACTERS_MAX} characters, got {quote_value(key)}.",
            )
    return value


def _object(pairs: list[tuple[str, Value]]) -> dict[str, Value]:
    members = dict(pairs)
    if len(members) != len(pairs):
        # Counted in one pass: a hostile batch may hold a million keys.
        (twice, _), *_ = Counter(key for key, _ in pairs).most_common(1)
        raise RefusedRecordError(
            "duplicate_key", f"A key must occur once, got {quote_value(twice)} again."
        )
    return members


def parse_number(digits: str) -> Number:
    """The number as written, if a reader with double precision can tell it from nothing.

    Raises:
        RefusedRecordError: It is too large for a double, or so small that a double makes it zero.
    """
    value = float(digits)
    if math.isinf(value) or (value == 0 and _NOT_ZERO.match(digits)):
        raise RefusedRecordError(
            "number_out_of_range",
            f"A number must be within the range of a double, got {quote_value(digits)}.",
        )
    return Number(digits)


def _no_number(text: str) -> NoReturn:
    raise AssertionError(f"{text} is not JSON and was refused before.")


_PARSER = json.JSONDecoder(
    object_pairs_hook=_object,
    parse_float=parse_number,
    parse_int=parse_number,
    parse_constant=_no_number,
)


def json_text(value: Value) -> str:
    """The value as compact JSON, numbers as they were written."""
    if isinstance(value, Number):
        return str(value)
    if isinstance(value, dict):
        return (
            "{"
            + ",".join(f"{json_text(key)}:{json_text(of_key)}" for key, of_key in value.items())
            + "}"
        )
    if isinstance(value, list):
        return "[" + ",".join(map(json_text, value)) + "]"
    return _encode(value).decode()


def _tag_value(key: str, value: Value) -> tuple[str | None, str | None]:
    if value is None:
        return None, None
    if isinstance(value, bool):
        return ("true" if value else "false"), "boolean"
    if isinstance(value, Number):
        return tag_integer(key, value), "integer"
    if not isinstance(value, str):
        raise RefusedRecordError(
            "bad_tag",
            f"The value of tag {key!r} must be a string, an integer, a boolean or null, "
            f"got {_type_name(value)}.",
        )
    if len(value) > TAG_CHARACTERS_MAX:
        raise RefusedRecordError(
            "bad_tag",
            f"The value of tag {key!r} must have at most {TAG_CHARACTERS_MAX} characters, "
            f"got {len(value)}.",
        )
    return value, text_tag_type(value)


def tag_integer(key: str, digits: Number) -> str:
    """The number as a tag keeps it.

    Raises:
        RefusedRecordError: It is no integer of 64 bits.
    """
    integer = whole_number(digits)
    if integer is None or not INTEGER_MIN <= integer <= INTEGER_MAX:
        raise RefusedRecordError(
            "bad_tag",
            f"The value of tag {key!r} must be an integer of 64 bits if it is a number, "
            f"got {quote_value(str(digits))}.",
        )
    return str(integer)


def _type_name(value: object) -> str:
    if isinstance(value, Number):
        return "a number"
    if isinstance(value, bool):
        return "a boolean"
    names: dict[type, str] = {dict: "an object", list: "an array", str: "a string"}
    return names.get(type(value), "null")
