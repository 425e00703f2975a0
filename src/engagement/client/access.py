"""How a client gets in at a server, and what httpx must not log of it."""

import logging
from typing import TypedDict

import httpx

from engagement.client.concurrency import TokenFunction

TIMEOUT_SECONDS = 60.0
RETRIES = 4
DEFAULT_SUBSCRIPTION = "default"


class Access(TypedDict, total=False):
    """How a client gets in, besides the server's address."""

    tenant_id: str | None
    """With `client_id` and `client_secret`: what `engagement clients create` shows."""
    client_id: str | None
    """See `tenant_id`."""
    client_secret: str | None
    """See `tenant_id`."""
    token: str | TokenFunction | None
    """Instead of these, an access token or a function that gives one."""
    subscription: str
    """Where apps are looked for that are given by their id; `default` if absent."""
    retries: int
    """How often a request is repeated at most where that may help; 4 if absent."""
    allow_http: bool
    """Let secrets go over http to other hosts than this one."""


class _WithoutQueries(logging.Filter):
    """Takes queries out of what httpx logs: a container's is its credential."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record pass, changed."""
        if isinstance(record.args, tuple):
            record.args = tuple(
                value.copy_with(query=None) if isinstance(value, httpx.URL) else value
                for value in record.args
            )
        return True


logging.getLogger("httpx").addFilter(_WithoutQueries())
