"""What both clients know of the wire: addresses, limits, and what is not logged."""

import logging
from collections.abc import Mapping
from typing import TypedDict

import httpx

from engagement.client.conversation import Conversation
from engagement.client.credentials import TokenSource, credentials_of
from engagement.client.exchange import Exchange
from engagement.client.steps import Answer, Send
from engagement.model.servers import server_address

TIMEOUT_SECONDS = 60.0
RETRIES = 4
TASKS_A_PAGE = 40
DEFAULT_SUBSCRIPTION = "default"
_SENT_HEADERS = {"User-Agent": "engagement-export", "Accept-Encoding": "identity"}


class Access(TypedDict, total=False):
    """How a client gets in, besides the server's address."""

    tenant_id: str | None
    """With `client_id` and `client_secret`: what `engagement clients create` shows."""
    client_id: str | None
    """See `tenant_id`."""
    client_secret: str | None
    """See `tenant_id`."""
    token: TokenSource | None
    """Instead of these, an access token or a function that gives one."""
    subscription: str
    """Where apps are looked for that are given by their id; `default` if absent."""
    retries: int
    """How often a request is repeated at most where that may help; 4 if absent."""
    allow_http: bool
    """Let secrets go over http to other hosts than this one."""


def conversation(server: str, access: Access) -> Conversation:
    """A conversation with a server.

    Raises:
        BadInputError: The address or the credentials cannot work.
    """
    credentials = credentials_of(
        tenant_id=access.get("tenant_id"),
        client_id=access.get("client_id"),
        client_secret=access.get("client_secret"),
        token=access.get("token"),
    )
    address = server_address(server, allow_http=access.get("allow_http", False))
    exchange = Exchange(address, credentials, retries=access.get("retries", RETRIES))
    return Conversation(exchange, subscription=access.get("subscription", DEFAULT_SUBSCRIPTION))


def request_of(http: httpx.Client | httpx.AsyncClient, send: Send) -> httpx.Request:
    """The request of a step."""
    headers = {**_SENT_HEADERS, **send.headers}
    return http.build_request(send.method, send.url, headers=headers, content=send.body)


def answer_of(response: httpx.Response, body: bytes) -> Answer:
    """The answer of a response whose body was read."""
    headers: Mapping[str, str] = {name.lower(): one for name, one in response.headers.items()}
    return Answer(status=response.status_code, headers=headers, body=body)


def lost_reason(error: httpx.TransportError) -> str:
    """Why no answer came; never an address, which may hold a credential."""
    return f"{type(error).__name__} after {TIMEOUT_SECONDS:.0f} s at the most"


class _WithoutQueries(logging.Filter):
    """Takes queries out of what httpx logs: a container's is its credential."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record pass, changed."""
        if isinstance(record.args, tuple):
            record.args = tuple(
                one.copy_with(query=None) if isinstance(one, httpx.URL) else one
                for one in record.args
            )
        return True


logging.getLogger("httpx").addFilter(_WithoutQueries())
