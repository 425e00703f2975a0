"""Reads and writes times: strictly as RFC 3339 has them, or as senders really do.

Every time that comes from outside is read here, so that no place takes what another refuses.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from functools import lru_cache

EPOCH_SECONDS_MIN, EPOCH_SECONDS_MAX = 10**8, 10**11
"""A number from the one to below the other is seconds since 1970: the years 1973 to 5138."""
EPOCH_MILLISECONDS_MAX = 10**14
"""A number from there to below this is milliseconds since 1970, of the same years."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EARLIEST = (datetime(1, 1, 1, tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)
_LATEST = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // timedelta(microseconds=1)
_SECOND_CHARACTERS = len("1970-01-01T00:00:00")
_REMEMBERED_CHARACTERS_MAX = 40
_LENIENT_CHARACTERS_MAX = 100
_SIGNS = {"+": 1, "-": -1}

_SECOND = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt ]([0-9]{2}):([0-9]{2}):([0-9]{2})",
)
_REST = re.compile(r"(?:\.([0-9]+))?(?:[Zz]|([+-])([01][0-9]|2[0-3]):([0-5][0-9]))")
_ISO_8601 = re.compile(
    r"([0-9]{4})(?:-([0-9]{2})-([0-9]{2})|([0-9]{2})([0-9]{2}))"
    r"(?:[Tt ]([0-9]{2})(?::?([0-9]{2})(?::?([0-9]{2})(?:[.,]([0-9]+))?)?)?"
    r"(?: ?(?:[Zz]|([+-])([01][0-9]|2[0-3])(?::?([0-5][0-9]))?))?)?"
)
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,2})?")


def parse_rfc3339(text: str) -> datetime:
    """Return the instant that an RFC 3339 time names, in UTC; digits beyond the sixth are cut.

    The time must have an offset of at most 23 hours and 59 minutes, or `Z`. A `t` or `z` may be
    small, and a space may stand for the `T`.

    Raises:
        ValueError: It is no such time, or lies outside the years 1 to 9999.
    """
    fraction, offset = _fraction_and_offset(text[_SECOND_CHARACTERS:])
    since = _second.__wrapped__(text[:_SECOND_CHARACTERS]) + fraction - offset
    if not _EARLIEST <= since <= _LATEST:
        raise ValueError("a time must lie in the years 1 to 9999, in UTC")
    return _EPOCH + timedelta(microseconds=since)


def rfc3339_microseconds(text: str) -> int:
    """Return the microseconds since 1970, whole milliseconds, that an RFC 3339 time names.

    Digits beyond the millisecond are cut, never rounded, so a time cannot move to the next day.
    It takes the same times as `parse_rfc3339`, and some hours before the year 1 and after 9999.

    Raises:
        ValueError: It is no such time.
    """
    if len(text) <= _REMEMBERED_CHARACTERS_MAX:
        # The logs of a batch share most of their seconds, and all of them their offset.
        return _second(text[:_SECOND_CHARACTERS]) + _rest(text[_SECOND_CHARACTERS:])
    second = _second.__wrapped__(text[:_SECOND_CHARACTERS])
    return second + _rest.__wrapped__(text[_SECOND_CHARACTERS:])


def all_rfc3339_microseconds(texts: Sequence[str]) -> list[int]:
    """Return what `rfc3339_microseconds` does of each text.

    Raises:
        ValueError: One of them is no such time.
    """
    if max(map(len, texts), default=0) > _REMEMBERED_CHARACTERS_MAX:
        return list(map(rfc3339_microseconds, texts))
    return [_second(text[:_SECOND_CHARACTERS]) + _rest(text[_SECOND_CHARACTERS:]) for text in texts]


def read_lenient_time(text: str) -> int | None:
    """Return the instant of a time as SDKs write it, in whole-millisecond microseconds since 1970.

    Besides RFC 3339 these are ISO 8601 dates and times in the extended or the basic form, without
    seconds or minutes, with a comma before the fraction, with an offset of hours alone or without
    a colon; and seconds or milliseconds since 1970. What names no offset is taken for UTC, a date
    alone for its midnight. Eight digits are a date.

    Returns:
        None if it is none of these, or lies outside the years 1 to 9999.
    """
    try:
        since = rfc3339_microseconds(text)
    except ValueError:
        text = text.strip()
        if len(text) > _LENIENT_CHARACTERS_MAX:
            return None
        found = _iso8601_microseconds(text)
        if found is None:
            found = _epoch_microseconds(text)
        if found is None:
            return None
        since = found
    return since if _EARLIEST <= since <= _LATEST else None


def format_rfc3339(when: datetime) -> str:
    """Return the instant in UTC as RFC 3339 writes it, cut to milliseconds, with `Z`.

    Args:
        when: Aware.
    """
    return f"{when.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"


@lru_cache(maxsize=65_536)
def _second(text: str) -> int:
    """What a time says up to its second, as if it were of UTC."""
    match = _SECOND.fullmatch(text)
    if match is None:
        raise ValueError("not RFC 3339")
    return _microseconds(*match.groups())


@lru_cache(maxsize=65_536)
def _rest(text: str) -> int:
    """What a time says after its second: its whole milliseconds, and how far from UTC it is."""
    fraction, offset = _fraction_and_offset(text)
    return fraction // 1000 * 1000 - offset


def _fraction_and_offset(text: str) -> tuple[int, int]:
    match = _REST.fullmatch(text)
    if match is None:
        raise ValueError("not RFC 3339")
    digits, sign, hours, minutes = match.groups()
    return _fraction(digits), _offset(sign, hours, minutes)


def _iso8601_microseconds(text: str) -> int | None:
    match = _ISO_8601.fullmatch(text)
    if match is None:
        return None
    year, month, day, basic_month, basic_day, *clock, digits, sign, hours, minutes = match.groups()
    try:
        second = _microseconds(year, month or basic_month, day or basic_day, *clock)
    except ValueError:
        return None
    return second + _fraction(digits) // 1000 * 1000 - _offset(sign, hours, minutes)


def _epoch_microseconds(text: str) -> int | None:
    if _NUMBER.fullmatch(text) is None:
        return None
    number = Fraction(text)
    if EPOCH_SECONDS_MIN <= number < EPOCH_SECONDS_MAX:
        return int(number * 1000) * 1000
    if EPOCH_SECONDS_MAX <= number < EPOCH_MILLISECONDS_MAX:
        return int(number) * 1000
    return None


def _microseconds(*parts: str | None) -> int:
    """The microseconds since 1970 of year, month, day and as much of the clock as there is."""
    numbers = [int(part or 0) for part in parts]
    since = datetime(*numbers, tzinfo=UTC) - _EPOCH  # type: ignore[arg-type,misc]
    return (since.days * 86_400 + since.seconds) * 1_000_000


def _fraction(digits: str | None) -> int:
    """The microseconds of the digits behind a second."""
    return int(digits[:6].ljust(6, "0")) if digits else 0


def _offset(sign: str | None, hours: str | None, minutes: str | None) -> int:
    """The microseconds by which a clock is ahead of UTC."""
    return _SIGNS[sign] * (int(hours or 0) * 60 + int(minutes or 0)) * 60_000_000 if sign else 0
