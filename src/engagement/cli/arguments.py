"""Turns words of the command line into values of the model."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engagement.exceptions import BadInputError, InvalidContainerError
from engagement.model.executors import ProcessRole, parse_roles

if TYPE_CHECKING:
    from engagement.settings import Settings

CONTAINER_URL_CHARACTERS_MAX = 16_384

AppName = Annotated[
    str, typer.Option("--app", metavar="APP", help="The app, by its name, id or resource path.")
]
AppArgument = Annotated[
    str, typer.Argument(metavar="APP", help="The app, by its name, id or resource path.")
]
TaskId = Annotated[str, typer.Argument(metavar="TASK_ID", help="The export task, by its id.")]


def choose_roles(
    given: str, settings: "Settings", possible: tuple[ProcessRole, ...]
) -> tuple[ProcessRole, ...]:
    """Return the roles of the option, else of the setting, else all that are possible.

    Raises:
        BadInputError: A role cannot be, or the process is none of a cluster's.
    """
    names = tuple(word.strip() for word in given.split(",") if word.strip()) or settings.roles
    if names and not settings.is_cluster:
        raise BadInputError(
            "Only a process of a cluster has roles: ENGAGEMENT_STATE_URL names none."
        )
    return parse_roles(names, possible)


def container_url(given: str | None, file: Path | None) -> str:
    """Return the container URL, from the option itself, standard input or a file.

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
