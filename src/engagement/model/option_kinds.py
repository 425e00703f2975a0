"""The kinds of value that an option of an export takes, and checks them.

Each kind reads what a person or a program gives, text or value, and writes it as JSON has it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Any, Protocol

from engagement.exceptions import InvalidExportError
from engagement.model.choices import parse_choice
from engagement.model.instants import parse_rfc3339

_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


class OptionKind(Protocol):
    """How the value of an option is read and written."""

    def read(self, what: str, value: object) -> Any:
        """Return the value, checked.

        Raises:
            InvalidExportError: It is none of this kind; the message names `what`.
        """

    def write(self, value: Any) -> Any:
        """Return the value as JSON has it; `read` gives it back."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A word of an enumeration."""

    of: type[StrEnum]
    """The enumeration."""

    def read(self, what: str, value: object) -> StrEnum:
        """Return the member, whatever the case of its name."""
        return parse_choice(self.of, value, what=what, error=InvalidExportError)

    def write(self, value: StrEnum) -> str:
        """Return the word."""
        return value.value


@dataclass(frozen=True, slots=True)
class Switch:
    """On or off."""

    def read(self, what: str, value: object) -> bool:
        """Return it; a text like "no" would be true."""
        if not isinstance(value, bool):
            raise InvalidExportError(f"The {what} must be true or false, got {value!r:.100}.")
        return value

    def write(self, value: bool) -> bool:  # noqa: FBT001 - the value itself
        """Return it."""
        return value


@dataclass(frozen=True, slots=True)
class Text:
    """A text."""

    characters_max: int
    """How long it may be in a request over HTTP."""

    def read(self, what: str, value: object) -> str:
        """Return it."""
        if not isinstance(value, str):
            raise InvalidExportError(f"The {what} must be a text, got {value!r:.100}.")
        return value

    def write(self, value: str) -> str:
        """Return it."""
        return value


@dataclass(frozen=True, slots=True)
class Texts:
    """Several texts."""

    count_max: int
    """How many there may be in a request over HTTP."""

    def read(self, what: str, value: object) -> tuple[str, ...]:
        """Return them; one text alone would be taken as its letters."""
        return tuple(_checked_list(what, value, str, "texts"))

    def write(self, value: tuple[str, ...]) -> list[str]:
        """Return them."""
        return list(value)


@dataclass(frozen=True, slots=True)
class Numbers:
    """Several whole numbers."""

    count_max: int
    """How many there may be in a request over HTTP."""

    def read(self, what: str, value: object) -> tuple[int, ...]:
        """Return them."""
        return tuple(_checked_list(what, value, int, "whole numbers"))

    def write(self, value: tuple[int, ...]) -> list[int]:
        """Return them."""
        return list(value)


@dataclass(frozen=True, slots=True)
class Instant:
    """An instant."""

    def read(self, what: str, value: object) -> datetime:
        """Return it in UTC, from an aware date-time or a text of RFC 3339."""
        found = read_day_or_instant(what, value)
        if not isinstance(found, datetime):
            raise InvalidExportError(f"The {what} needs a time of day too, got {value!s:.100}.")
        return found

    def write(self, value: datetime) -> str:
        """Return it as RFC 3339, to the microsecond."""
        return write_instant(value)


@dataclass(frozen=True, slots=True)
class DayOrInstant:
    """A UTC day, or an instant."""

    def read(self, what: str, value: object) -> date:
        """Return the day, or the instant in UTC."""
        return read_day_or_instant(what, value)

    def write(self, value: date) -> str:
        """Return it as an ISO day or as RFC 3339."""
        return write_instant(value) if isinstance(value, datetime) else value.isoformat()


def read_day_or_instant(what: str, value: object) -> date:
    """Return a UTC day (`date`) or an instant in UTC (`datetime`), from one of these or from text.

    Text is an ISO day, 2026-11-01, or RFC 3339: a date, a time and an offset of at most 23:59.

    Raises:
        InvalidExportError: It names neither, or an instant beyond the years 1 to 9999.
    """
    try:
        if isinstance(value, datetime):
            if value.tzinfo is None:
                raise InvalidExportError(
                    f"The {what} needs its offset from UTC, got {value.isoformat()}."
                )
            return value.astimezone(UTC)
        if isinstance(value, date):
            return value
        if isinstance(value, str) and _DAY.fullmatch(value):
            return date.fromisoformat(value)
        if isinstance(value, str):
            return parse_rfc3339(value)
    except (ValueError, OverflowError):
        pass
    raise InvalidExportError(
        f"The {what} must be a day like 2026-11-01 or a date-time with an offset like "
        f"2026-11-01T08:30:00Z, got {value!r:.100}."
    )


def write_instant(instant: datetime) -> str:
    """Return a UTC instant as RFC 3339, to the microsecond."""
    return instant.isoformat().replace("+00:00", "Z")


def _checked_list(what: str, value: object, of: type, wanted: str) -> Sequence[Any]:
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        items: Sequence[Any] = value
        # In Python a boolean is an integer, for a person it is not.
        if all(isinstance(item, of) and not isinstance(item, bool) for item in items):
            return items
    raise InvalidExportError(f"The {what} must be a list of {wanted}, got {value!r:.100}.")
