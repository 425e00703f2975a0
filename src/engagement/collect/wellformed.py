"""Checks that a body is well formed before anything is made of it."""

import itertools
import re
from collections.abc import Callable

from engagement.exceptions import CorruptInputError
from engagement.model.limits import BODY_BYTES_MAX, JSON_DEPTH_MAX

_ESCAPE = re.compile(rb"\\(?:u([0-9a-fA-F]{4})|.)", re.DOTALL)
_JSON_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)', re.DOTALL)
"""One that is not closed goes on to the end, so that none is tried from each quote in it anew."""
_HIGH_HALVES = range(0xD800, 0xDC00)
_LOW_HALVES = range(0xDC00, 0xE000)
_ALIKE = bytes.maketrans(b"{}", b"[]")
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


def check_body(body: bytes) -> None:
    """Return only if the body is UTF-8 and neither longer nor deeper than may be.

    Raises:
        CorruptInputError: It is not; says which and where.
    """
    check_size(body)
    check_utf8(body, "A body")
    check_depth(body, "A body")


def check_size(body: bytes) -> None:
    """Return only if the body is not longer than may be.

    Raises:
        CorruptInputError: It is.
    """
    if len(body) > BODY_BYTES_MAX:
        raise CorruptInputError(
            f"A body must have at most {BODY_BYTES_MAX} bytes, got {len(body)}."
        )


def check_utf8(text: bytes, whose: str) -> None:
    """Return only if the text is UTF-8.

    Raises:
        CorruptInputError: It is not; says where.
    """
    if not text.isascii():
        try:
            text.decode()
        except UnicodeDecodeError as error:
            raise CorruptInputError(
                f"{whose} must be UTF-8, got other bytes at byte {error.start}."
            ) from error


def check_depth(text: bytes, whose: str) -> None:
    """Return only if the JSON text is not deeper than may be.

    Raises:
        CorruptInputError: It is.
    """
    depth = _depth(text)
    if depth > JSON_DEPTH_MAX:
        raise CorruptInputError(
            f"{whose} must nest at most {JSON_DEPTH_MAX} deep, got a depth of {depth}."
        )


def _depth(body: bytes) -> int:
    """How deep the JSON nests; exact only if it is more than may be, to be cheap otherwise."""
    # Alike, so that each round takes exactly the innermost level away.
    brackets = body.translate(_ALIKE, _NOT_BRACKETS)
    for level in range(JSON_DEPTH_MAX + 1):
        if not brackets:
            return level
        brackets = brackets.replace(b"[]", b"")
    # Brackets inside strings may be what remains, so the strings are left out and all counted.
    brackets = _JSON_STRING.sub(b"", body).translate(None, _NOT_BRACKETS)
    steps = (1 if bracket in b"[{" else -1 for bracket in brackets)
    return max(itertools.accumulate(steps), default=0)


def replace_halves(body: bytes, replacement: Callable[[bytes], bytes]) -> bytes:
    """The body with each escaped half of a surrogate pair replaced, given its four digits.

    A sender that cuts a string in the middle of an emoji escapes half a character. JSON allows
    it, msgspec stops at it, and no Unicode text can hold it.
    """
    pieces: list[bytes] = []
    kept = 0
    high: re.Match[bytes] | None = None
    lone: list[re.Match[bytes]] = []
    for escape in _ESCAPE.finditer(body):
        unit = int(escape[1], 16) if escape[1] else 0
        is_low = unit in _LOW_HALVES
        if high is not None and is_low and high.end() == escape.start():
            high = None
            continue
        if high is not None:
            lone.append(high)
        high = escape if unit in _HIGH_HALVES else None
        if is_low:
            lone.append(escape)
    if high is not None:
        lone.append(high)
    for half in lone:
        pieces += (body[kept : half.start()], replacement(half[1]))
        kept = half.end()
    return b"".join((*pieces, body[kept:]))
