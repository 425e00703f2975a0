"""Makes what tracking messages say fit the limits of records, and counts repairs.

Senders of these messages know nothing of our limits and never hear of a refusal, so a value that
does not fit is repaired or left out instead of costing its record.
"""

import json
import re
from collections.abc import Iterator, Mapping
from datetime import date

import msgspec

from engagement.collect.extras import (
    Number,
    Value,
    compact_extras,
    flatten_extras,
    json_text,
    parse_number,
    tag_integer,
)
from engagement.collect.limits import RefusedRecordError, remove_control
from engagement.model.limits import (
    EXTRAS_CHARACTERS_MAX,
    EXTRAS_KEYS_MAX,
    KEY_CHARACTERS_MAX,
    KEY_PATTERN,
    NAME_CHARACTERS_MAX,
    TAG_CHARACTERS_MAX,
    TAGS_PER_RECORD_MAX,
)

_NOTHING = msgspec.Raw()
_ILLEGAL_IN_KEY = re.compile(r"[^a-zA-Z0-9_]")
_DATE_TIME = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ][0-9]{2}:[0-9]{2}\S*")
_MEMBER_CHARACTERS = len('"":,')


class Sanitiser:
    """Repairs what the messages of one body say."""

    def __init__(self) -> None:
        self.repaired = 0
        """Values altered or left out so far."""
        self._parser = json.JSONDecoder(
            object_pairs_hook=self._object, parse_float=self._number, parse_int=self._number
        )

    def name(self, text: str) -> str:
        """The name without control characters and outer spaces, cut; empty if nothing remains."""
        if len(text) <= NAME_CHARACTERS_MAX and text.isprintable() and text.strip() == text:
            return text
        clean = remove_control(text).strip()[:NAME_CHARACTERS_MAX].strip()
        self.repaired += clean != text
        return clean

    def cut(self, text: str, longest: int) -> str:
        """The start of the text that is not too long."""
        self.repaired += len(text) > longest
        return text[:longest]

    def extras(self, raw: bytes) -> msgspec.Raw:
        """Acceptable extras of what the raw JSON object holds, numbers with their digits.

        An object in it is flattened one level; deeper ones and arrays become JSON text. Of keys
        that are repaired to the same one the first counts. If it is too much, the largest values
        go, the latest of equal ones first; JSON text is never cut.
        """
        if raw.find(b"{", 1) < 0:
            try:
                return msgspec.Raw(compact_extras(raw))
            except RefusedRecordError:
                pass
        elif (flat := flatten_extras(raw)) is not None:
            return msgspec.Raw(flat)
        members: dict[str, Value] = {}
        for key, value in _flattened(self.members(raw)):
            self._put(members, key, value, EXTRAS_KEYS_MAX)
        return msgspec.Raw(self._fitting(members)) if members else _NOTHING

    def members(self, raw: bytes) -> dict[str, Value]:
        """The members of a JSON object, the first of those with one key; none of other types."""
        if not raw or raw == b"null":
            return {}
        value = self._parser.decode(raw.decode())
        if isinstance(value, dict):
            return value
        self.repaired += 1
        return {}

    def tags(self, *sources: Mapping[str, Value]) -> msgspec.Raw | None:
        """Acceptable tags of what the sources hold; of a key in several, the last source counts.

        Returns:
            None if there is no tag.
        """
        tags: dict[str, Value] = {}
        for source in sources:
            own: dict[str, Value] = {}
            for key, value in source.items():
                tag = self._tag(value)
                if isinstance(tag, str) and len(tag) > TAG_CHARACTERS_MAX:
                    self.repaired += 1
                else:
                    self._put(own, key, tag, TAGS_PER_RECORD_MAX)
            tags |= own
        while len(tags) > TAGS_PER_RECORD_MAX:
            tags.popitem()
            self.repaired += 1
        return msgspec.Raw(json_text(tags).encode()) if tags else None

    def _tag(self, value: Value) -> Value:
        """The value as a tag can have it; JSON text may still be too long."""
        if isinstance(value, Number):
            try:
                return Number(tag_integer("", value))
            except RefusedRecordError:
                return str(value)
        if isinstance(value, dict | list):
            return json_text(value)
        if isinstance(value, str):
            if _is_date_time(value):
                self.repaired += 1
                return value[: len("yyyy-MM-dd")]
            return self.cut(value, TAG_CHARACTERS_MAX)
        return value

    def _put(self, members: dict[str, Value], key: str, value: Value, most: int) -> None:
        """Add a member under a legal key, unless the key is taken or there are too many."""
        legal = key
        if KEY_PATTERN.fullmatch(key) is None:
            legal = _ILLEGAL_IN_KEY.sub("_", key[:KEY_CHARACTERS_MAX])
            if not legal[:1].isalpha():
                legal = f"x_{legal}"[:KEY_CHARACTERS_MAX]
            self.repaired += 1
        if legal in members or len(members) >= most:
            self.repaired += 1
        else:
            members[legal] = json_text(value) if isinstance(value, dict | list) else value

    def _fitting(self, members: dict[str, Value]) -> bytes:
        texts = {key: json_text(value) for key, value in members.items()}
        length = 1 + sum(len(key) + len(text) + _MEMBER_CHARACTERS for key, text in texts.items())
        while length > EXTRAS_CHARACTERS_MAX:
            largest = max(reversed(texts), key=lambda key: len(texts[key]))
            length -= len(largest) + len(texts.pop(largest)) + _MEMBER_CHARACTERS
            self.repaired += 1
        return ("{" + ",".join(f'"{key}":{text}' for key, text in texts.items()) + "}").encode()

    def _object(self, pairs: list[tuple[str, Value]]) -> dict[str, Value]:
        members: dict[str, Value] = {}
        for key, value in pairs:
            members.setdefault(key, value)
        self.repaired += len(pairs) - len(members)
        return members

    def _number(self, digits: str) -> str:
        """The number as written, or a text of one that no double comes near."""
        try:
            return parse_number(digits)
        except RefusedRecordError:
            self.repaired += 1
            return digits


def _flattened(members: dict[str, Value]) -> Iterator[tuple[str, Value]]:
    for key, value in members.items():
        if isinstance(value, dict) and value:
            # Cut first: a long key times many inner ones would be much more than was sent.
            for inner, inner_value in value.items():
                yield f"{key[:KEY_CHARACTERS_MAX]}_{inner}", inner_value
        else:
            yield key, value


def _is_date_time(text: str) -> bool:
    """Whether the text is a time of a day of the calendar, as ISO 8601 writes it."""
    match = _DATE_TIME.fullmatch(text)
    if match is None:
        return False
    try:
        date.fromisoformat(match[1])
    except ValueError:
        return False
    return True
