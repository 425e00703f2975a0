"""Reads the tags of many devices from JSON, an entry at a time, as it comes."""

import codecs
import json
import re
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import NamedTuple

from engagement.exceptions import CorruptInputError

ENTRY_CHARACTERS_MAX = 2 * 1024 * 1024
"""Of an entry, and of the spaces before it: the tags that a device may have take less."""
_DECODER = json.JSONDecoder()
_SPACE = re.compile(r"[ \t\r\n]*")
_BETWEEN_OBJECTS = re.compile(r"[ \t\r\n\ufeff]*")
"""Files that were joined may have a byte order mark each."""


class Entry(NamedTuple):
    """What a file says of one device."""

    given: str
    """The device, as it is spelled there."""
    tags: object
    """Its tags, not looked into yet."""
    characters: int
    """How long it is in the file."""


def decode_text(chunks: Iterable[bytes]) -> Iterator[str]:
    """The text of UTF-8 bytes, without the byte order mark that it may begin with.

    Raises:
        CorruptInputError: They are no UTF-8; says where. What came before was given.
    """
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    read = 0
    for chunk in chain(filter(None, chunks), [b""]):
        waiting = len(decoder.getstate()[0])
        try:
            yield decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            place = read - waiting + error.start + 1
            raise CorruptInputError(
                f"The blob must be UTF-8, got other bytes at byte {place}."
            ) from None
        read += len(chunk)


def read_entries(texts: Iterable[str]) -> Iterator[Entry]:
    """The members of a JSON object, or of several one after another, such as one a line.

    Only one entry is in memory at a time, and as much text. Values are not looked into.

    Args:
        texts: The text, in pieces.

    Raises:
        CorruptInputError: The text is no JSON objects, or has an entry that is too long; says
            where, and quotes nothing of it. What came before was given.
    """
    text = _Text(texts)
    text.skip(_BETWEEN_OBJECTS)
    if text.is_at_end():
        raise CorruptInputError("The tags must be a JSON object of device ids, got nothing.")
    while not text.is_at_end():
        text.take("{")
        is_first = True
        while not text.is_at("}"):
            began = text.place
            if not is_first:
                text.take(",")
            is_first = False
            given = text.take_value()
            if not isinstance(given, str):
                raise text.corrupt("a device id in quotes")
            text.take(":")
            tags = text.take_value()
            yield Entry(given, tags, text.place - began)
        text.take("}", then=_BETWEEN_OBJECTS)


class _Text:
    """A text of which only what is being read is in memory."""

    def __init__(self, pieces: Iterable[str]) -> None:
        self._pieces = iter(pieces)
        self._held = ""
        self._at = 0
        """Where reading goes on in what is held."""
        self._gone = 0
        """Characters before what is held."""
        self._is_whole = False

    @property
    def place(self) -> int:
        """Characters read so far."""
        return self._gone + self._at

    def is_at_end(self) -> bool:
        return self._at == len(self._held) and not self._read_more()

    def is_at(self, wanted: str) -> bool:
        return not self.is_at_end() and self._held.startswith(wanted, self._at)

    def take(self, wanted: str, *, then: re.Pattern[str] = _SPACE) -> None:
        """Go on behind a character, and the spaces after it."""
        if not self.is_at(wanted):
            raise self.corrupt(f"`{wanted}`")
        self._at += len(wanted)
        self.skip(then)

    def skip(self, space: re.Pattern[str] = _SPACE) -> None:
        """Go on behind spaces."""
        while not self.is_at_end():
            found = space.match(self._held, self._at)
            self._at = self._at if found is None else found.end()
            if self._at < len(self._held):
                return

    def take_value(self) -> object:
        """Go on behind a JSON value and the spaces after it; the value."""
        wanted = 1
        while True:
            is_more = self._hold(min(wanted, ENTRY_CHARACTERS_MAX))
            try:
                value, end = _DECODER.raw_decode(self._held, self._at)
            except (ValueError, RecursionError):
                # Besides what is no JSON, a number of very many digits or very deep nesting; or
                # the rest of it was not read yet.
                if not is_more:
                    raise self.corrupt("a JSON value that is not too deep or long") from None
            else:
                if end < len(self._held) or not is_more:  # else a number may go on
                    self._at = end
                    self.skip()
                    return value
            wanted = 2 * (len(self._held) - self._at)  # so that a long value is not read too often

    def corrupt(self, wanted: str) -> CorruptInputError:
        got = "the end" if self.is_at_end() else "something else"
        return CorruptInputError(
            f"The tags must have {wanted} at character {self.place + 1}, got {got}."
        )

    def _hold(self, characters: int) -> bool:
        """Hold so much of what is not read yet, if there is so much; whether there may be more."""
        while len(self._held) - self._at <= characters and self._read_more():
            pass
        return not self._is_whole and len(self._held) - self._at <= ENTRY_CHARACTERS_MAX

    def _read_more(self) -> bool:
        """Hold another piece, and let go what was read; False at the end."""
        for piece in self._pieces:
            if piece:
                self._held = self._held[self._at :] + piece
                self._gone += self._at
                self._at = 0
                return True
        self._is_whole = True
        return False
