"""This module turns words of the command line into values of the model."""

import re
import sys
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated

import typer

from engagement.exceptions import BadInputError, InvalidContainerError, InvalidExportError

CONTAINER_URL_CHARACTERS_MAX = 16_384

AppId = Annotated[str, typer.Option("--app", metavar="APP_ID", help="The app, by its id.")]
TaskId = Annotated[str, typer.Argument(metavar="TASK_ID", help="The export task, by its id.")]

_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_DATE_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?([Zz]|[+-]\d\d:\d\d)")


def utc_instant(text: str) -> datetime:
    """The instant that a date-time with an offset names.

    Raises:
        InvalidExportError: It names none.
    """
    found = day_or_instant(text)
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


def day_or_instant(text: str) -> date | datetime:
    """What a word of the command line names: a UTC day, or an instant.

    Raises:
        InvalidExportError: It names neither.
    """
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
