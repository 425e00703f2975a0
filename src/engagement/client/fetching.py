"""Fetches delivered parts from a container and proves each against its manifest."""

import hashlib
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from engagement.client.retrying import send_repeatedly
from engagement.client.steps import Answer, Lost, Send, Steps, Work
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
    manifest: Manifest, part: Receipt, container_url: str, *, retries: int
) -> Steps[bytes]:
    """The bytes of a part, exactly those that were delivered.

    Args:
        manifest: The manifest that lists the part.
        part: The part.
        container_url: The container, with a credential that may read: https, http or file, or
            the path of a folder.
        retries: How often to repeat a request at most.

    Raises:
        BadInputError: The container is of another kind.
        DestinationError: The container does not give the part.
        VerificationError: Size or SHA-256 is not that of the manifest.
    """
    folder = f"{manifest.export_type.value}/{manifest.task_id}"
    url = urlsplit(container_url if "://" in container_url else _folder_url(container_url))
    data: bytes
    if url.scheme == "file":
        path = Path(unquote(url.path)) / folder / part.name
        data = yield Work(run=lambda: _file(path, part))
    elif url.scheme in {"http", "https"} and url.hostname:
        key = quote(f"{folder}/{part.name}", safe="/")
        address = urlunsplit(url._replace(path=f"{url.path.rstrip('/')}/{key}", fragment=""))
        data = yield from _object(address, part, retries=retries)
    else:
        raise BadInputError(
            "Parts can be read from https, http and file containers, "
            f"got the scheme {url.scheme[:20]!r}."
        )
    digest: str = yield Work(run=lambda: hashlib.sha256(data).hexdigest())
    if len(data) != part.bytes or digest != part.sha256:
        raise VerificationError(
            f"The part {part.name} must have the {part.bytes} bytes and the SHA-256 of the "
            f"manifest, got {'another SHA-256' if len(data) == part.bytes else 'another size'}."
        )
    return data


def _folder_url(path: str) -> str:
    return Path(path).resolve().as_uri()


def _file(path: Path, part: Receipt) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(part.bytes + 1)
    except OSError as error:
        raise DestinationError(
            f"The part {part.name} must be a readable file, but: {error.strerror}.",
            code=ErrorCode.CONTAINER_NOT_FOUND,
        ) from error


def _object(address: str, part: Receipt, *, retries: int) -> Steps[bytes]:
    send = Send(method="GET", url=address, bytes_max=part.bytes)
    outcome: Answer | Lost
    outcome, _ = yield from send_repeatedly(send, retries=retries)
    if isinstance(outcome, Lost):
        raise TransientDestinationError(
            f"The container must give the part {part.name}, but: {outcome.reason}."
        )
    if not outcome.is_success:
        # The storage's own words are left out: they may repeat the credential.
        is_passing = outcome.status == 429 or outcome.status >= 500  # noqa: PLR2004 - HTTP's own
        kind = TransientDestinationError if is_passing else DestinationError
        raise kind(
            f"The container must give the part {part.name}, got status {outcome.status}.",
            code=_REFUSALS.get(outcome.status, ErrorCode.DESTINATION_UNAVAILABLE),
        )
    return outcome.body
