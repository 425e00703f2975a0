"""What the client and the agent need of HTTP: a server's address, and how long it asks to wait."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from engagement.exceptions import BadInputError
from engagement.model.hosts import LOOPBACK_HOSTS


def server_address(server: str, *, allow_http: bool) -> str:
    """The address without a slash at its end.

    Raises:
        BadInputError: It is none, or would send the secret over a line that others can read.
    """
    try:
        url = urlsplit(server)
        host = url.hostname
        url.port  # noqa: B018 - reading it checks it
    except ValueError:
        host = None
    if host is None or url.scheme not in {"http", "https"} or url.query or url.fragment:
        raise BadInputError("A server must be given like https://HOST[:PORT].")
    if url.username is not None or url.password is not None:
        raise BadInputError("A server must be given without a user and a password.")
    if url.scheme == "http" and host not in LOOPBACK_HOSTS and not allow_http:
        raise BadInputError(
            f"The server {host} must be reached by https, since http shows the secret to everyone "
            "on the way; allow_http permits it."
        )
    return server.rstrip("/")


def retry_after_seconds(header: str) -> float | None:
    """How long a Retry-After header asks to wait, in seconds or until a date; None if it does not.

    Args:
        header: Its value; empty if there is none.
    """
    text = header.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        until = parsedate_to_datetime(text)
    except ValueError:
        return None
    if until.tzinfo is None:
        return None
    return max(0.0, (until - datetime.now(UTC)).total_seconds())
