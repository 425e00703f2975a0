"""Finds the messages in a body, also in one that is not well formed."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from engagement.collect.broken_json import (
    BYTE_ORDER_MARK,
    UnsplittableError,
    drop_non_finite,
    empty_strings,
    split_elements,
    split_members,
)
from engagement.collect.wellformed import check_depth, check_size, check_utf8, replace_halves
from engagement.exceptions import CorruptInputError

MESSAGES_PER_BODY_MAX = 5_000
"""SDKs send at most 500 kB at once, in which about a thousand messages fit.

A batch may hold all of them, of 200 tags each, for which `record_tables.ROWS_PER_BATCH_BITS` leaves
room.
"""
WRITE_KEY_BYTES_MAX = 512 * 1024
"""An app's key must lie in so many first bytes of a plain body; SDKs send at most 500 kB."""
WRITE_KEYS_LOOKED_AT = 2
"""How many of the first, and as many of the last, that may be the body's own."""
_WRITE_KEY_NAME = b'"writeKey"'
_WRITE_KEY = re.compile(rb'"writeKey"\s{0,16}:\s{0,16}"([^"\\]{1,256})"')
_REPLACEMENT = rb"\ufffd"
_NOTHING = msgspec.Raw()


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokenMessage:
    """A message that cannot be read; its neighbours can."""

    raw: bytes
    """It as it was sent."""
    code: str
    """Why, as a stable word."""
    message: str
    """Why, in a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundMessages:
    """What a body holds."""

    write_key: msgspec.Raw
    """The app's key as JSON, or nothing."""
    sent_at: msgspec.Raw
    """When it was sent by the device's clock, as JSON, or nothing."""
    messages: list[msgspec.Raw | BrokenMessage]
    """The messages in their order; those that can be read are well formed."""
    repaired: int
    """Values that were altered, or left out, so that the rest can be read."""


class _Body(msgspec.Struct, rename="camel"):
    """A body, or a message that is sent alone."""

    batch: list[msgspec.Raw] | None = None
    write_key: msgspec.Raw = _NOTHING
    sent_at: msgspec.Raw = _NOTHING
    type: msgspec.Raw = _NOTHING


_BODY = msgspec.json.Decoder(_Body)
_ANYTHING = msgspec.json.Decoder(msgspec.Raw)


def find_messages(body: bytes, message_type: str | None) -> FoundMessages:
    """Return the messages of a body, each whole.

    A body that is not well formed costs only those of its messages that are not.

    Args:
        body: JSON, not compressed: `{"batch": […]}`, or one message alone.
        message_type: What a message alone is if it does not say so, from a path that tells.

    Raises:
        CorruptInputError: It holds no messages, or too many or too much; none can be accepted.
    """
    check_size(body)
    body = body.removeprefix(BYTE_ORDER_MARK)
    try:
        decoded = _decoded(body)
    except CorruptInputError as error:
        try:
            return _found_in_broken(body, message_type)
        except UnsplittableError:
            raise error from None
    return FoundMessages(
        write_key=decoded.write_key,
        sent_at=decoded.sent_at,
        messages=[*_raw_messages(body, decoded, message_type)],
        repaired=0,
    )


def find_write_keys(beginning: bytes) -> tuple[str, ...]:
    """Return texts that may be the app's key, found without reading what is around them.

    A body's own key comes before its messages or behind them, so the first and the last few are
    looked at, however many there are: who posts a body is judged before it is read.

    Args:
        beginning: The first bytes of a plain body.
    """
    places = {place for place in _outer_places(beginning) if place >= 0}
    found = (_WRITE_KEY.match(beginning, place) for place in sorted(places))
    return tuple(dict.fromkeys(key[1].decode("utf-8", "replace") for key in found if key))


def _outer_places(text: bytes) -> Iterator[int]:
    """Where the first and the last few write keys begin; -1 where there are fewer."""
    first, last = -1, len(text) + len(_WRITE_KEY_NAME)
    for _ in range(WRITE_KEYS_LOOKED_AT):
        first = text.find(_WRITE_KEY_NAME, first + 1)
        yield first
        if first < 0:
            return
        last = text.rfind(_WRITE_KEY_NAME, 0, last + len(_WRITE_KEY_NAME) - 1)
        yield last


def _decoded(body: bytes) -> _Body:
    check_utf8(body, "A body")
    check_depth(body, "A body")
    try:
        return _BODY.decode(body)
    except msgspec.DecodeError as error:
        raise CorruptInputError(
            f"A body must be a JSON object with a batch of messages: {error}."
        ) from error


def _raw_messages(body: bytes, decoded: _Body, message_type: str | None) -> list[msgspec.Raw]:
    if decoded.batch:
        _check_count(len(decoded.batch))
        return decoded.batch
    if decoded.batch is None and (message_type is not None or bytes(decoded.type)):
        return [msgspec.Raw(_alone(body, message_type))]
    raise _nothing()


def _alone(body: bytes, message_type: str | None) -> bytes:
    """A body that is one message, with the type that its path tells."""
    body = body.strip()
    if message_type is None:
        return body
    # Before the message's own fields, so that its own type counts if it has one.
    members = body[1:].lstrip()
    comma = b"" if members.startswith(b"}") else b","
    return b'{"type":' + msgspec.json.encode(message_type) + comma + members


def _found_in_broken(body: bytes, message_type: str | None) -> FoundMessages:
    """The messages of a body that is not well formed, those that cannot be read each alone."""
    members = split_members(body)
    batch = members.get(b'"batch"', b"null")
    if batch != b"null":
        texts = split_elements(batch)
        _check_count(len(texts))
    elif message_type is not None or b'"type"' in members:
        texts = [_alone(body, message_type)]
    else:
        texts = []
    if not texts:
        raise _nothing()
    mended = [_mended(text) for text in texts]
    return FoundMessages(
        write_key=_member(members, b'"writeKey"'),
        sent_at=_member(members, b'"sentAt"'),
        messages=[message for message, _ in mended],
        repaired=sum(repairs for _, repairs in mended),
    )


def _member(members: dict[bytes, bytes], key: bytes) -> msgspec.Raw:
    """The value of a member, or nothing if there is none that can be read."""
    text = members.get(key)
    raw = _NOTHING if text is None else _mended(text)[0]
    return raw if isinstance(raw, msgspec.Raw) else _NOTHING


def _mended(text: bytes) -> tuple[msgspec.Raw | BrokenMessage, int]:
    """A value that can be read, and how much of it was altered for that."""
    try:
        check_utf8(text, "A message")
    except CorruptInputError as error:
        return BrokenMessage(raw=text, code="bad_string", message=str(error)), 0
    try:
        check_depth(text, "A message")
    except CorruptInputError as error:
        return BrokenMessage(raw=text, code="too_deep", message=str(error)), 0
    if _is_json(text):
        return msgspec.Raw(text), 0
    finite, dropped = drop_non_finite(text)
    whole = replace_halves(finite, lambda _: _REPLACEMENT)
    try:
        _ANYTHING.decode(whole)
    except msgspec.DecodeError as error:
        code = "bad_string" if _is_json(empty_strings(finite)) else "bad_json"
        message = f"A message must be JSON, got other text: {error}."
        return BrokenMessage(raw=text, code=code, message=message), 0
    return msgspec.Raw(whole), dropped + (whole != finite)


def _is_json(text: bytes) -> bool:
    try:
        _ANYTHING.decode(text)
    except msgspec.DecodeError:
        return False
    return True


def _check_count(messages: int) -> None:
    if messages > MESSAGES_PER_BODY_MAX:
        raise CorruptInputError(
            f"A body must have at most {MESSAGES_PER_BODY_MAX} messages, got {messages}."
        )


def _nothing() -> CorruptInputError:
    return CorruptInputError("A body must have a batch of messages, or be one, got none.")
