"""Writes instants as the devices of the sample do."""

from datetime import date, timedelta
from functools import lru_cache

MILLISECONDS_PER_DAY = 86_400_000

_EPOCH = date(1970, 1, 1)


def start_of(day: date) -> int:
    """Milliseconds since 1970 at the start of a UTC day."""
    return (day - _EPOCH).days * MILLISECONDS_PER_DAY


def rfc_3339(at: int, offset_minutes: int | None) -> str:
    """An instant in milliseconds as RFC 3339 text, in UTC or with a local offset."""
    days, rest = divmod(at + (offset_minutes or 0) * 60_000, MILLISECONDS_PER_DAY)
    seconds, milliseconds = divmod(rest, 1000)
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    zone = "Z" if offset_minutes is None else _offset(offset_minutes)
    return f"{_day(days)}T{hour:02}:{minute:02}:{second:02}.{milliseconds:03}{zone}"


@lru_cache(maxsize=64)
def _day(days: int) -> str:
    return (_EPOCH + timedelta(days=days)).isoformat()


@lru_cache(maxsize=64)
def _offset(minutes: int) -> str:
    hours, rest = divmod(abs(minutes), 60)
    return f"{'-' if minutes < 0 else '+'}{hours:02}:{rest:02}"
