"""Splits the URL of a blob into a container URL and the blob's key."""

from urllib.parse import urlunsplit

from engagement.deliver.parameters import decode_escapes
from engagement.deliver.urls import split_plain_url
from engagement.exceptions import InvalidContainerError


def split_blob_url(text: str) -> tuple[str, str]:
    """Return the URL of the folder of a blob, with the same credential, and the blob's name.

    Nothing is checked but the form: what is returned first is a container URL as users give it,
    to be parsed and judged like any other.

    Raises:
        InvalidContainerError: The URL names no blob.
    """
    split, _ = split_plain_url(text)
    if "#" in text:
        raise InvalidContainerError("A blob's URL must not have a fragment (`#…`), got one.")
    folder, slash, name = split.path.rpartition("/")
    key = decode_escapes(name)
    if not slash or key in {"", ".", ".."} or "/" in key or not key.isprintable():
        raise InvalidContainerError(
            "The URL must name a blob, such as "
            "https://ACCOUNT.blob.core.windows.net/CONTAINER/BLOB?SAS."
        )
    return urlunsplit(split._replace(path=folder or "/")), key
