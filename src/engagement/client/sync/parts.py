# Generated from ../asynchronous/parts.py by `make generate`; edit that file instead.
"""Fetches delivered parts from a container and verifies each against its manifest."""

import hashlib
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from engagement.client.concurrency import run
from engagement.client.responses import NoResponseError
from engagement.client.sync.sending import RetryingSender
from engagement.exceptions import (
    BadInputError,
    DestinationError,
    ErrorCode,
    TransientDestinationError,
    VerificationError,
)
from engagement.model.exports import Receipt
from engagement.model.manifest import Manifest

_REFUSALS = {403: ErrorCode.SAS_PERMISSION_MISSING, 404: ErrorCode.CONTAINER_NOT_FOUND}


def fetch_part(
    sender: RetryingSender, manifest: Manifest, part: Receipt, container_url: str
) -> bytes:
    """Return the bytes of a part, exactly those that were delivered.

    Args:
        sender: Sends the requests.
        manifest: The manifest that lists the part.
        part: The part.
        container_url: The container, with a credential that may read: https, http or file, or
            the path of a folder.

    Raises:
        BadInputError: The container is of another kind.
        DestinationError: The container does not give the part.
        VerificationError: Size or SHA-256 is not that of the manifest.
    """
    folder = f"{manifest.export_type.value}/{manifest.task_id}"
    url = urlsplit(container_url if "://" in container_url else _folder_url(container_url))
    if url.scheme == "file":
        path = Path(unquote(url.path)) / folder / part.name
        data = run(_read_file, path, part)
    elif url.scheme in {"http", "https"} and url.hostname:
        key = quote(f"{folder}/{part.name}", safe="/")
        address = urlunsplit(url._replace(path=f"{url.path.rstrip('/')}/{key}", fragment=""))
        data = _fetch_object(sender, address, part)
    else:
        raise BadInputError(
            "Parts can be read from https, http and file containers, "
            f"got the scheme {url.scheme[:20]!r}."
        )
    digest = run(hashlib.sha256, data)
    if len(data) != part.bytes or digest.hexdigest() != part.sha256:
        raise VerificationError(
            f"The part {part.name} must have the {part.bytes} bytes and the SHA-256 of the "
            f"manifest, got {'another SHA-256' if len(data) == part.bytes else 'another size'}."
        )
    return data


def _folder_url(path: str) -> str:
    return Path(path).resolve().as_uri()


def _read_file(path: Path, part: Receipt) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(part.bytes + 1)
    except OSError as error:
        raise DestinationError(
            f"The part {part.name} must be a readable file, but: {error.strerror}.",
            code=ErrorCode.CONTAINER_NOT_FOUND,
        ) from error


def _fetch_object(sender: RetryingSender, address: str, part: Receipt) -> bytes:
    try:
        response = sender.send("GET", address, bytes_max=part.bytes)
    except NoResponseError as error:
        raise TransientDestinationError(
            f"The container must give the part {part.name}, but: {error}."
        ) from error
    if not response.is_success:
        # The storage's own words are left out: they may repeat the credential.
        is_passing = response.status == 429 or response.status >= 500  # noqa: PLR2004 - HTTP's own
        kind = TransientDestinationError if is_passing else DestinationError
        raise kind(
            f"The container must give the part {part.name}, got status {response.status}.",
            code=_REFUSALS.get(response.status, ErrorCode.DESTINATION_UNAVAILABLE),
        )
    return response.body
