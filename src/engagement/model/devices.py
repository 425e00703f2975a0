"""A device as readers see it, and parses what a list of devices asks for."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from engagement.exceptions import BadInputError

FILTER_CHARACTERS_MAX = 4_096
FILTER_DEPTH_MAX = 32
SELECT_CHARACTERS_MAX = 8_192
MILLISECONDS_MAX = 2**62
"""Beyond every instant, and far enough from the end of 64 bits to be counted on by one."""
PLAIN_NUMBER_MAX = 2**31 - 1
"""A larger number needs its `L`."""
AFTER = "\0"
"""A text followed by this is the next text after it."""

_CONTRACT_SPELLINGS = {"android_api_level": "androidAPILevel", "country_code": "countrycode"}
_TOKENS = re.compile(r"\s*(?:([()])|'([ -&(-~]*)'|(-?[0-9]{1,19}L?)(?![0-9A-Za-z])|([A-Za-z]+))")
_DASHED = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_QUOTED_MAX = 60


class MetaProperty(StrEnum):
    """The properties of a device's `meta`, with the names of the published contract."""

    FIRST_SEEN = "firstSeen"
    LAST_SEEN = "lastSeen"
    LAST_INFO = "lastInfo"
    LAST_LOCATION = "lastLocation"
    NATIVE_PUSH_ENABLED = "nativePushEnabled"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceState:
    """A device as it is known last; a list leaves out what was not selected or did not match."""

    device_id: str
    """32 lower-case hexadecimal digits."""
    user_id: str | None
    """Who uses it, if the app said so."""
    info: Mapping[str, str | int]
    """Technical information by the contract's names; only what is known."""
    location: Mapping[str, str]
    """Where it is, by the contract's names; only what is known."""
    first_seen_at: datetime | None
    """When it used the app first."""
    last_seen_at: datetime | None
    """When it used the app last."""
    info_at: datetime | None
    """When it told its info last."""
    location_at: datetime | None
    """When it told its location last."""
    native_push_enabled: bool | None
    """Whether its push token is valid."""
    app_info: Mapping[str, str]
    """Its tags, by key."""
    modified_at: Mapping[str, datetime]
    """When each property that is set was set last, by its name in `$select`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceToken:
    """A push token that reaches a device."""

    type: str
    """What kind of service it is for."""
    token: str
    """The token."""
    registered_at: datetime
    """When the device told it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DevicePage:
    """Some devices of a list, in the order of their ids."""

    devices: tuple[DeviceState, ...]
    """The devices."""
    next_filter: str | None
    """The `$filter` that goes on behind them; None at the end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceSelection:
    """Which properties a list has; a device that has none of them is left out."""

    meta: frozenset[MetaProperty] = frozenset(MetaProperty)
    """Of `meta`."""
    app_info: frozenset[str] | None = None
    """Keys of tags; None means every key."""
    is_everything: bool = True
    """Whether nothing was asked for, so that every device is in the list."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceFilter:
    """Which devices and properties a list has: two ranges, each with its start, without its end."""

    device_from: str | None = None
    """The smallest device id; None means no bound."""
    device_to: str | None = None
    """Above the largest device id."""
    modified_from: int | None = None
    """The earliest modification of a property, in milliseconds since 1970."""
    modified_to: int | None = None
    """After the latest."""

    @property
    def has_modified(self) -> bool:
        """Whether only properties modified in a range are asked for."""
        return self.modified_from is not None or self.modified_to is not None

    @property
    def text(self) -> str:
        """The filter as text, which `parse_filter` reads again."""
        checks = [
            *_id_check(self.device_from, at="ge", after="gt"),
            *_id_check(self.device_to, at="lt", after="le"),
        ]
        if self.modified_from is not None:
            checks.append(f"lastModified ge {self.modified_from}L")
        if self.modified_to is not None:
            checks.append(f"lastModified lt {self.modified_to}L")
        return " and ".join(checks)


def _id_check(bound: str | None, *, at: str, after: str) -> list[str]:
    if bound is None:
        return []
    if bound.endswith(AFTER):
        return [f"deviceId {after} '{bound.removesuffix(AFTER)}'"]
    return [f"deviceId {at} '{bound}'"]


def contract_name(column: str) -> str:
    """The contract's name of a column of info or location."""
    head, *rest = column.split("_")
    return _CONTRACT_SPELLINGS.get(column, head + "".join(word.capitalize() for word in rest))


def parse_select(text: str | None) -> DeviceSelection:
    """The properties that a `$select` names; all of every device if there is none.

    Args:
        text: `meta`, `appInfo`, `meta/NAME` and `appInfo/KEY`, separated by commas.

    Raises:
        BadInputError: It names something else.
    """
    if text is None or not text.strip():
        return DeviceSelection()
    if len(text) > SELECT_CHARACTERS_MAX:
        raise BadInputError(
            f"A $select must have at most {SELECT_CHARACTERS_MAX} characters, got {len(text)}."
        )
    meta: set[MetaProperty] = set()
    keys: set[str] = set()
    every_key = False
    for selected in text.split(","):
        name, slash, part = selected.strip().partition("/")
        if name == "meta" and not slash:
            meta.update(MetaProperty)
        elif name == "meta" and part in set(MetaProperty):
            meta.add(MetaProperty(part))
        elif name == "appInfo" and not slash:
            every_key = True
        elif name == "appInfo" and part and part.isprintable():
            keys.add(part)
        else:
            raise BadInputError(
                "A $select must be appInfo, appInfo/KEY, meta and meta/NAME separated by commas, "
                f"NAME one of {', '.join(MetaProperty)}, got {_quoted(selected)}."
            )
    return DeviceSelection(
        meta=frozenset(meta), app_info=None if every_key else frozenset(keys), is_everything=False
    )


def parse_filter(text: str | None) -> DeviceFilter:
    """The ranges that a `$filter` amounts to; no bounds if there is none.

    Args:
        text: `deviceId gt|ge|lt|le 'ID'` and `lastModified gt|ge|lt|le NUMBERL`, joined by `and`,
            with parentheses where one likes.

    Raises:
        BadInputError: It is something else.
    """
    if text is None or not text.strip():
        return DeviceFilter()
    if len(text) > FILTER_CHARACTERS_MAX:
        raise BadInputError(
            f"A $filter must have at most {FILTER_CHARACTERS_MAX} characters, got {len(text)}."
        )
    ranges = _Ranges()
    reader = _Reader(tokens=_tokens(text))
    _read_all(reader, ranges, depth=0)
    if reader.next is not None:
        raise _unexpected("and, or the end", reader.next)
    return DeviceFilter(
        device_from=ranges.device_from,
        device_to=ranges.device_to,
        modified_from=ranges.modified_from,
        modified_to=ranges.modified_to,
    )


@dataclass(slots=True)
class _Ranges:
    """What the checks read so far leave."""

    device_from: str | None = None
    device_to: str | None = None
    modified_from: int | None = None
    modified_to: int | None = None

    def check_id(self, operator: str, value: str) -> None:
        bound = value + AFTER if operator in {"gt", "le"} else value
        if operator in {"gt", "ge"}:
            self.device_from = bound if self.device_from is None else max(self.device_from, bound)
        else:
            self.device_to = bound if self.device_to is None else min(self.device_to, bound)

    def check_modified(self, operator: str, value: int) -> None:
        bound = value + 1 if operator in {"gt", "le"} else value
        bound = min(max(bound, -MILLISECONDS_MAX), MILLISECONDS_MAX)
        if operator in {"gt", "ge"}:
            held = self.modified_from
            self.modified_from = bound if held is None else max(held, bound)
        else:
            held = self.modified_to
            self.modified_to = bound if held is None else min(held, bound)


@dataclass(frozen=True, slots=True)
class _Token:
    """A word, number, quoted text or parenthesis of a filter."""

    kind: str
    text: str


@dataclass(slots=True)
class _Reader:
    """The tokens that are not read yet."""

    tokens: list[_Token]
    place: int = field(default=0)

    @property
    def next(self) -> _Token | None:
        return self.tokens[self.place] if self.place < len(self.tokens) else None

    def take(self, wanted: str, kind: str, texts: tuple[str, ...] = ()) -> str:
        token = self.next
        if token is None or token.kind != kind or (texts and token.text not in texts):
            raise _unexpected(wanted, token)
        self.place += 1
        return token.text

    def skip(self, kind: str, text: str) -> bool:
        is_next = self.next == _Token(kind, text)
        self.place += is_next
        return is_next


def _tokens(text: str) -> list[_Token]:
    tokens = []
    place = 0
    end = len(text.rstrip())
    while place < end:
        found = _TOKENS.match(text, place)
        if found is None:
            raise BadInputError(
                "A $filter must be deviceId and lastModified with gt, ge, lt or le, joined by "
                f"and, such as lastModified ge 1447284263690L; got {_quoted(text[place:])}."
            )
        kind = ("parenthesis", "text", "number", "word")[(found.lastindex or 1) - 1]
        tokens.append(_Token(kind, found[found.lastindex or 0]))
        place = found.end()
    return tokens


def _read_all(reader: _Reader, ranges: _Ranges, *, depth: int) -> None:
    """Read checks joined by `and`."""
    if depth > FILTER_DEPTH_MAX:
        raise BadInputError(
            f"A $filter must nest at most {FILTER_DEPTH_MAX} deep, got more parentheses."
        )
    while True:
        if reader.skip("parenthesis", "("):
            _read_all(reader, ranges, depth=depth + 1)
            reader.take("`)`", "parenthesis", (")",))
        else:
            _read_check(reader, ranges)
        if not reader.skip("word", "and"):
            return


def _read_check(reader: _Reader, ranges: _Ranges) -> None:
    name = reader.take("deviceId or lastModified", "word", ("deviceId", "lastModified"))
    operator = reader.take("gt, ge, lt or le", "word", ("gt", "ge", "lt", "le"))
    if name == "deviceId":
        ranges.check_id(operator, _device_id(reader.take("an id in single quotes", "text")))
        return
    wanted = "milliseconds since 1970 followed by L"
    digits = reader.take(wanted, "number")
    number = int(digits.removesuffix("L"))
    if abs(number) > PLAIN_NUMBER_MAX and not digits.endswith("L"):
        raise BadInputError(f"A $filter needs {wanted}, got {_quoted(digits)} without it.")
    ranges.check_modified(operator, number)


def _device_id(text: str) -> str:
    """The id as the lake spells it, so that ids copied from elsewhere compare alike."""
    lower = text.lower()
    return lower.replace("-", "") if _DASHED.fullmatch(lower) else lower


def _unexpected(wanted: str, token: _Token | None) -> BadInputError:
    got = "the end" if token is None else _quoted(token.text)
    return BadInputError(f"A $filter needs {wanted} here, got {got}.")


def _quoted(text: str) -> str:
    return repr(text if len(text) <= _QUOTED_MAX else text[:_QUOTED_MAX] + "…")
