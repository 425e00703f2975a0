"""This module turns words of the command line into values of the model."""

import re
import sys
from datetime import UTC, date, datetime, time
from enum import StrEnum
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from engagement.exceptions import BadInputError, InvalidContainerError, InvalidExportError
from engagement.model.exports import TimeRange

CONTAINER_URL_CHARACTERS_MAX = 16_384

AppId = Annotated[str, typer.Option("--app", metavar="APP_ID", help="The app, by its id.")]
TaskId = Annotated[str, typer.Argument(metavar="TASK_ID", help="The export task, by its id.")]

_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_DATE_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?([Zz]|[+-]\d\d:\d\d)")

Choice = TypeVar("Choice", bound=StrEnum)


def choice(kind: type[Choice], text: str, *, what: str) -> Choice:
    """The member that a word names, by its value or its name, in any case.

    Raises:
        InvalidExportError: It names none.
    """
    for one in kind:
        if text.lower() in {one.value.lower(), one.name.lower()}:
            return one
    wanted = ", ".join(one.value for one in kind)
    raise InvalidExportError(f"The {what} must be one of {wanted}, got {text!r}.")


def time_range(first: str | None, last: str | None) -> TimeRange | None:
    """The range between two words; days mean whole UTC days, both included.

    A date-time as the end is the first instant outside.

    Raises:
        InvalidExportError: Only one is given, one is not a time, or the range is impossible.
    """
    if first is None and last is None:
        return None
    if first is None or last is None:
        raise InvalidExportError("A range needs a start and an end, got only one of them.")
    start, end = _date_or_instant(first), _date_or_instant(last)
    if not isinstance(start, datetime) and not isinstance(end, datetime):
        return TimeRange.of_days(start, end)
    return TimeRange(
        start=start if isinstance(start, datetime) else _midnight(start),
        end=end if isinstance(end, datetime) else TimeRange.of_days(end, end).end,
    )


def utc_instant(text: str) -> datetime:
    """The instant that a date-time with an offset names.

    Raises:
        InvalidExportError: It names none.
    """
    found = _date_or_instant(text)
    if not isinstance(found, datetime):
        raise InvalidExportError(f"A time of day is needed too, got {text!r}.")
    return found


def container_url(given: str | None, file: Path | None) -> str:
    """The container URL, from the option itself, standard input or a file.

    A SAS is a secret that does not belong into a list of processes; `-` and a file keep it out.

    Raises:
        BadInputError: None, or two, were given.
    """
    if (given is None) == (file is None):
        raise BadInputError("Give the container with either --container or --container-file.")
    if file is not None:
        text = _first_line(file)
    elif given == "-":
        text = sys.stdin.readline(CONTAINER_URL_CHARACTERS_MAX)
    else:
        text = str(given)
    text = text.strip()
    if not text:
        raise InvalidContainerError("The container URL must not be empty.")
    return text if "://" in text else Path(text).resolve().as_uri()


def _first_line(file: Path) -> str:
    try:
        with file.open(encoding="utf-8") as stream:
            return stream.readline(CONTAINER_URL_CHARACTERS_MAX)
    except (OSError, UnicodeDecodeError) as error:
        raise BadInputError(f"The container file {file} cannot be read: {error}.") from error


def _date_or_instant(text: str) -> date | datetime:
    try:
        if _DATE.fullmatch(text):
            return date.fromisoformat(text)
        if _DATE_TIME.fullmatch(text):
            return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise InvalidExportError(
        "A time must be a day like 2026-11-01 or a date-time with an offset like "
        f"2026-11-01T08:30:00Z, got {text!r}."
    )


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(0), UTC)
