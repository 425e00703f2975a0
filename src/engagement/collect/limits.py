"""Checks the values of a batch against its limits."""

import re
from collections.abc import Sequence, Sized
from datetime import UTC, datetime, timedelta

from engagement.model.instants import format_rfc3339, rfc3339_microseconds
from engagement.model.limits import CONTROL, NAME_CHARACTERS_MAX
from engagement.model.records import derive_guid

CLOCK_SKEW_KEPT_SECONDS_MAX = 5
"""By how much a device's clock may differ from ours without its times being corrected."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECONDS_END = (datetime(9999, 12, 31, tzinfo=UTC) - _EPOCH + timedelta(days=1)) // timedelta(
    microseconds=1
)
_DAY_MICROSECONDS = 86_400_000_000
_SHOWN_CHARACTERS_MAX = 60
_WHOLE_DIGITS_MAX = 20
_NUMBER = re.compile(r"(-?)([0-9]+)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]{1,6}))?", re.ASCII)
_GUID = re.compile(
    r"[0-9a-fA-F]{32}|[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"
)


class RefusedRecordError(Exception):
    """One record cannot be accepted; its neighbours can."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        """The refusal's stable code."""
        self.message = message
        """What was wanted and what was got."""


def parse_instant(text: str, field: str) -> int:
    """Return the microseconds since 1970, whole milliseconds, that an RFC 3339 time names.

    Digits beyond the millisecond are cut, never rounded, so a time cannot move to the next day.

    Raises:
        RefusedRecordError: It is no such time, or names no offset.
    """
    try:
        return rfc3339_microseconds(text)
    except ValueError as error:
        raise RefusedRecordError(
            "bad_timestamp",
            f"{field} must be an RFC 3339 time with Z or an offset, got {quote_value(text)}.",
        ) from error


def check_range(microseconds: int, field: str) -> None:
    """Return only if the instant lies in the years that can be kept.

    Raises:
        RefusedRecordError: It is before 1970 or after 9999.
    """
    if not 0 <= microseconds < _MICROSECONDS_END:
        raise RefusedRecordError(
            "bad_timestamp", f"{field} must lie in the years 1970 to 9999, in UTC."
        )


def earliest_of(received_at: datetime, age_days_max: int | None) -> int | None:
    """Return the earliest time that is kept of what came at a time, in microseconds since 1970.

    Each day that records name becomes a file of its own, and anybody may send with an app's public
    key: so there is a bound on how many days records can name, in whatever number of batches.

    Returns:
        None if records may be as old as they like.
    """
    if age_days_max is None:
        return None
    return to_microseconds(received_at) - age_days_max * _DAY_MICROSECONDS


def check_age(microseconds: int, earliest: int | None, field: str) -> None:
    """Return only if the instant is not before the earliest that is kept, if there is one.

    Raises:
        RefusedRecordError: It is.
    """
    if earliest is not None and microseconds < earliest:
        oldest = format_rfc3339(_EPOCH + timedelta(microseconds=earliest))
        raise RefusedRecordError(
            "too_old",
            f"{field} must not be before {oldest} by our clock; older records are imported.",
        )


def whole_number(digits: str) -> int | None:
    """Return the integer that a JSON number is, by its digits and not by a double.

    So `1080.0` and `1e3` are integers, and `9007199254740993.0` is not its neighbour.

    Returns:
        None if it is none, or one of far more than 64 bits.
    """
    match = _NUMBER.fullmatch(digits)
    if match is None:
        return None
    sign, whole, fraction, exponent = match.groups()
    fraction = (fraction or "").rstrip("0")
    zeros = int(exponent or 0) - len(fraction)
    significant = (whole + fraction).lstrip("0")
    if zeros < 0:
        significant, lost = significant[:zeros], significant[zeros:]
        if lost.strip("0"):
            return None
        zeros = 0
    if significant and len(significant) + zeros > _WHOLE_DIGITS_MAX:
        return None
    return int(f"{sign}{significant or 0}{'0' * zeros if significant else ''}")


def to_microseconds(when: datetime) -> int:
    """The microseconds since 1970 of an aware time, cut to whole milliseconds."""
    return (when - _EPOCH) // timedelta(milliseconds=1) * 1000


def clock_shift(sent_at: int, received_at: int) -> int:
    """The microseconds to add to a device's times, so that they are by our clock.

    A small difference is as likely the time that the request took, which says nothing of the
    device's clock; times that are right are then left alone.

    Args:
        sent_at: When the device sent its times, by its own clock.
        received_at: When they came, by ours; both in microseconds since 1970.
    """
    skew = received_at - sent_at
    return 0 if abs(skew) <= CLOCK_SKEW_KEPT_SECONDS_MAX * 1_000_000 else skew


def check_name(name: str) -> None:
    """Return only if this can name a record.

    Raises:
        RefusedRecordError: It is empty, too long or holds control characters.
    """
    if not 0 < len(name) <= NAME_CHARACTERS_MAX:
        raise RefusedRecordError(
            "bad_name", f"name must have 1 to {NAME_CHARACTERS_MAX} characters, got {len(name)}."
        )
    # Most names are printable, which costs less to see than to search.
    if not name.isprintable() and has_control(name):
        raise RefusedRecordError(
            "bad_name", f"name must have no control characters, got {quote_value(name)}."
        )


def check_names(names: Sequence[str]) -> None:
    """Return only if each can name a record.

    Raises:
        RefusedRecordError: One cannot.
    """
    are_sized = all(names) and max(map(len, names), default=0) <= NAME_CHARACTERS_MAX
    if not (are_sized and "".join(names).isprintable()):
        for name in names:
            check_name(name)


def check_length(value: Sized, field: str, code: str, longest: int, shortest: int = 1) -> None:
    """Return only if the value's length is within bounds.

    Raises:
        RefusedRecordError: It is not.
    """
    if not shortest <= len(value) <= longest:
        raise RefusedRecordError(
            code, f"{field} must have {shortest} to {longest} characters, got {len(value)}."
        )


def has_control(text: str) -> bool:
    """Whether the text holds a control character (C0, DEL or C1)."""
    return CONTROL.search(text) is not None


def remove_control(text: str) -> str:
    """The text without its control characters."""
    return CONTROL.sub("", text)


def guid(text: str, *scope: str) -> str:
    """The id that a sender's text stands for, 32 lower-case hexadecimal digits.

    A GUID stays itself, with or without dashes and in any case. Any other text becomes an id
    that depends on the scope and the text alone, so that the same text is the same id again.
    """
    if _GUID.fullmatch(text) is not None:
        return text.replace("-", "").lower()
    return derive_guid(*scope, text)


def quote_value(value: object) -> str:
    """A value as a message quotes it: escaped, and not longer than a line."""
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARACTERS_MAX else text[:_SHOWN_CHARACTERS_MAX] + "…"
