"""This module takes the URL of one blob apart: the container URL it lies below, and its key."""

from urllib.parse import unquote, urlsplit, urlunsplit

from engagement.deliver.urls import URL_CHARACTERS_MAX
from engagement.exceptions import InvalidContainerError


def split_blob_url(text: str) -> tuple[str, str]:
    """The URL of what a blob lies in, with the same credential, and the blob's name there.

    Nothing is checked but the form: what is returned first is a container URL as users give it,
    to be parsed and judged like any other.

    Raises:
        InvalidContainerError: The URL names no blob.
    """
    # The parser leaves some characters out, so that another URL would be judged than was given.
    if not 0 < len(text) <= URL_CHARACTERS_MAX or any(not "!" <= one <= "~" for one in text):
        raise InvalidContainerError(
            f"A blob's URL must have 1 to {URL_CHARACTERS_MAX} printable ASCII characters without "
            "spaces."
        )
    try:
        split = urlsplit(text)
    except ValueError:  # it quotes the URL, so it is left behind
        split = None
    folder, slash, name = ("", "", "") if split is None else split.path.rpartition("/")
    key = unquote(name)
    if split is None or not slash or not key or not key.isprintable() or "/" in key:
        raise InvalidContainerError(
            "The URL must name a blob, such as "
            "https://ACCOUNT.blob.core.windows.net/CONTAINER/BLOB?SAS."
        )
    return urlunsplit(split._replace(path=folder or "/")), key
