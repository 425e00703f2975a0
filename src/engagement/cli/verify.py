"""The command that verifies a delivered export."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import unquote, urlsplit, urlunsplit

import typer

from engagement.cli.arguments import container_url
from engagement.cli.opening import open_service
from engagement.cli.output import AsJson, byte_count, plain, print_fields, print_json
from engagement.exceptions import BadInputError

if TYPE_CHECKING:
    from engagement.settings import Settings

FOLDER_SEGMENTS = 2
"""An export's folder is its type and its task id."""

_TASK_ID = re.compile(r"[0-9a-f]{32}")


def verify(
    location: Annotated[
        str | None,
        typer.Argument(
            metavar="CONTAINER/PREFIX",
            help="Container URL followed by the export's folder; - reads it from stdin.",
        ),
    ] = None,
    container_file: Annotated[
        Path | None,
        typer.Option("--container-file", metavar="PATH", help="A file whose first line is it."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Read a delivered export again and prove that it is what its manifest says.

    It may lie in any folder, also one that it was copied to.

    Counts, sizes and SHA-256 of every part are checked, and where the task was this home
    folder's own also that the rows equal the table versions that it pinned.
    """
    from engagement import operations

    container, folder = split_location(container_url(location, container_file))
    with open_service(_settings_for(container), run_tasks=False) as runtime:
        proof = operations.verify_export(runtime, container_url=container, folder=folder)
    if as_json:
        described = plain(proof)
        print_json({"verified": True, **(described if isinstance(described, dict) else {})})
        return
    lake = "equal to the pinned versions" if proof.compared_with_lake else "not compared"
    print_fields(
        [
            ("verified", folder),
            ("parts", f"{proof.parts:,}"),
            ("rows", f"{proof.rows:,}"),
            ("size", byte_count(proof.bytes)),
            ("lake", lake),
        ]
    )


def split_location(location: str) -> tuple[str, str]:
    """Return the container URL, with its credential, and the export's folder inside.

    Raises:
        BadInputError: The location does not end in a folder.
    """
    url = urlsplit(location)
    segments = url.path.removesuffix("/manifest.json").rstrip("/").split("/")
    # A copy may lie in any folder, which is a container's own then.
    count = FOLDER_SEGMENTS if _TASK_ID.fullmatch(segments[-1]) else 1
    if len(segments) <= count or not segments[-1]:
        raise BadInputError(
            "The location must be a container URL followed by the folder of an export, "
            f"got the path {url.path!r}."
        )
    path = "/".join(segments[:-count])
    folder = unquote("/".join(segments[-count:]))
    return urlunsplit(url._replace(path=path)), folder


def _settings_for(container: str) -> "Settings":
    """Return the settings, with leave to read the local folder that the command names."""
    from engagement.settings import Settings

    settings = Settings.from_environment()
    url = urlsplit(container)
    if url.scheme != "file":
        return settings
    roots = (*settings.local_roots, Path(unquote(url.path)))
    return settings.model_copy(update={"local_roots": roots})
