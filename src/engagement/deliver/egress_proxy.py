"""The only way out to a user's container: a proxy that leads to one place alone.

The store's client follows redirects and resolves names by itself, and neither can be turned off.
So each destination gets a proxy of its own on loopback, which connects to the destination's host
and port and to nothing else, at an address that was checked: a redirect, a name that changes its
address and an address in disguise all end here. TLS to the container ends in it, and another one
leads from it to the client, so that nothing leaves this process in the clear: it must read along
to add digests and to heed `Retry-After`, which the client does not.
"""

import hmac
import secrets
import socket
import ssl
import threading
from base64 import b64encode
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from dataclasses import dataclass
from http.client import HTTPException
from io import BufferedReader
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import urlsplit
from weakref import finalize

from engagement.deliver.http_relay import (
    ALTERED,
    DEFAULT_PORTS,
    AlteredError,
    Container,
    Relay,
    RelayedRequest,
    read_request,
)
from engagement.deliver.inside_tls import inside_tls, outside_context
from engagement.deliver.pauses import Pauses
from engagement.exceptions import ErrorCode
from engagement.model.hosts import LOOPBACK_HOSTS

CONNECT_SECONDS_MAX = 10
IDLE_SECONDS_MAX = 120
"""How long either side may say nothing; the client gives a request as long."""
USER = "engagement"
"""A proxy's client has a name beside its secret."""
SECRET_BYTES = 24
MARK = "EgressRefused"
"""The code in the proxy's own answers, which tells them from those of the container."""

FORBIDDEN = tuple(
    ip_network(network)
    for network in (
        "168.63.129.16/32",  # Azure's wire server, which looks public
        "192.0.0.0/24",  # protocol assignments, where one cloud keeps its metadata
        "192.88.99.0/24",  # 6to4 relays
        "100.64.0.0/10",  # carrier-grade NAT
        "::ffff:0:0/96",  # IPv4-mapped
        "64:ff9b::/96",  # NAT64
        "64:ff9b:1::/48",  # NAT64, local
        "2001::/32",  # Teredo
        "2002::/16",  # 6to4
        "fc00::/7",  # unique local, where clouds keep their metadata
        "fec0::/10",  # site local
    )
)
"""Refused besides what is not global: Python counts several of them as global."""

PAUSES = Pauses()
"""Of this process: a container that asked for time is left alone by whoever opens it next."""

Resolve = Callable[[str, int], Iterable[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectFailure:
    """Why the proxy did not connect, which the store's client does not report."""

    code: ErrorCode
    """The reason."""
    words: str
    """The reason in words."""
    may_pass: bool
    """Whether a repeat may succeed."""


def resolve_addresses(host: str, port: int) -> list[str]:
    """Return the addresses of a name, each once.

    Raises:
        OSError: The name has none.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Return whether an address is of the public Internet, and not one of ours in disguise."""
    in_forbidden = any(
        address in network for network in FORBIDDEN if network.version == address.version
    )
    return address.is_global and not address.is_multicast and not in_forbidden


class EgressProxy:
    """A proxy to one endpoint alone; it stops listening when nobody holds it any more."""

    def __init__(
        self,
        endpoint: str,
        *,
        resolve: Resolve = resolve_addresses,
        container: str = "",
        tag_is_md5: bool = False,
        pauses: Pauses = PAUSES,
    ) -> None:
        split = urlsplit(endpoint)
        host = split.hostname or ""
        listener = ProxyListener(
            host=host,
            port=split.port or DEFAULT_PORTS[split.scheme],
            is_tls=split.scheme == "https",
            resolve=resolve,
            container=Container(name=f"{endpoint}/{container}", tag_is_md5=tag_is_md5),
            pauses=pauses,
        )
        self._listener = listener
        self.proxy_url = f"http://{USER}:{listener.secret}@127.0.0.1:{listener.port_inside}"
        self.certificate = inside_tls(host).certificate if split.scheme == "https" else None
        finalize(self, listener.close)

    @property
    def failure(self) -> ConnectFailure | None:
        """Why the last request got no answer of the container's; None if it did."""
        return self._listener.failure


class ProxyListener:
    """Listens on loopback and passes requests on to the endpoint, if they are for it."""

    def __init__(  # noqa: PLR0913 - what an endpoint is, and whose
        self,
        *,
        host: str,
        port: int,
        is_tls: bool,
        resolve: Resolve,
        container: Container,
        pauses: Pauses,
    ) -> None:
        self._host, self._port, self._is_tls, self._resolve = host, port, is_tls, resolve
        self._container, self._pauses = container, pauses
        self.secret = secrets.token_urlsafe(SECRET_BYTES)
        """What a client has to know; others on this machine can reach the port too."""
        credentials = b64encode(f"{USER}:{self.secret}".encode()).decode()
        self._authorization = f"Basic {credentials}".encode()
        self.failure: ConnectFailure | None = None
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port_inside: int = self._listener.getsockname()[1]
        threading.Thread(target=self._listen, name="egress", daemon=True).start()

    def close(self) -> None:
        """Accept no more connections; those that are open go on to their end."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that accepts
        self._listener.close()

    def _listen(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), name="egress", daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        client.settimeout(IDLE_SECONDS_MAX)
        relay = Relay(self._open_socket, container=self._container, pauses=self._pauses)
        # A client that breaks off, or that speaks no HTTP, is let go without a word.
        with client, closing(relay), suppress(OSError, ValueError, HTTPException):
            stream = client.makefile("rb")
            while self._serve_next(relay, client, stream):
                pass

    def _serve_next(
        self, relay: Relay, client: socket.socket, stream: BufferedReader, *, is_known: bool = False
    ) -> bool:
        """Whether a request was answered and another may come; its body is let go here."""
        request = read_request(stream)
        if request is None or (self._is_here(request) and not (is_known or self._is_ours(request))):
            return False
        if request.is_tunnel:
            if self._is_open(request, relay, client):
                self._serve_tunnel(relay, client)
            return False
        return self._has_answered(request, relay, client)

    def _is_here(self, request: RelayedRequest) -> bool:
        """Whether it is the endpoint that is asked for; elsewhere nobody is led."""
        return (request.host, request.port) == (self._host, self._port)

    def _is_ours(self, request: RelayedRequest) -> bool:
        """Whether the client knows the secret; a stranger is let go without a word.

        The client itself leaves it out where a service led it elsewhere, which it must be told.
        """
        given = request.proxy_authorization.encode("latin-1", "replace")
        return hmac.compare_digest(given, self._authorization)

    def _is_open(self, request: RelayedRequest, relay: Relay, client: socket.socket) -> bool:
        """Whether a tunnel was granted, after the container itself was reached."""
        try:
            self._check_place(request)
            relay.open()
        except _ConnectRefusedError as refused:
            self._refuse(client, refused.failure)
            return False
        self.failure = None
        client.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
        return True

    def _serve_tunnel(self, relay: Relay, client: socket.socket) -> None:
        """Serve what comes through a tunnel, whose other end is here."""
        if self._is_tls:
            client = inside_tls(self._host).context.wrap_socket(client, server_side=True)
        with client, client.makefile("rb") as stream:
            while self._serve_next(relay, client, stream, is_known=True):
                pass

    def _has_answered(self, request: RelayedRequest, relay: Relay, client: socket.socket) -> bool:
        """Whether the client got the container's own answer, and may ask on."""
        try:
            if request.host:  # it names none inside a tunnel, which leads to one place alone
                self._check_place(request)
            relay.pass_on(request, client)
        except _ConnectRefusedError as refused:
            self._refuse(client, refused.failure)
        except AlteredError:
            failure = _failure(ErrorCode.DESTINATION_UNAVAILABLE, ALTERED)
            self._refuse(client, failure, store_code="BadDigest")
        except TimeoutError:
            self.failure = _failure(ErrorCode.DESTINATION_TIMEOUT, "no answer in time")
        except (OSError, HTTPException) as error:
            words = getattr(error, "strerror", None) or str(error) or "broken connection"
            self.failure = _failure(ErrorCode.DESTINATION_UNAVAILABLE, words)
        else:
            self.failure = None
            return True
        return False

    def _refuse(
        self, client: socket.socket, failure: ConnectFailure, *, store_code: str | None = None
    ) -> None:
        """Answer as a container would; the client repeats a request upon 503, not upon 403.

        The answer itself says why: `failure` may be another connection's by the time it is read.
        """
        self.failure = failure
        store_code = store_code or f"{MARK}{failure.code.value}"
        status = "503 Service Unavailable" if failure.may_pass else "403 Forbidden"
        words = f"<Code>{store_code}</Code><Message>{failure.words}</Message>"
        body = f"<Error>{words}</Error>".encode()
        head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        client.sendall(head.encode() + body)

    def _check_place(self, request: RelayedRequest) -> None:
        """Raise unless it is the endpoint that is asked for."""
        if not self._is_here(request):
            raise _ConnectRefusedError(
                _failure(
                    ErrorCode.EGRESS_DENIED,
                    f"the service led to another place, {request.host[:80]!r}, "
                    "which is not followed",
                    may_pass=False,
                )
            )

    def _open_socket(self) -> socket.socket:
        """A connection to the endpoint at an address that was checked.

        Raises:
            _ConnectRefusedError: The endpoint may not be reached, or cannot be now.
        """
        for address in self._addresses():
            try:
                outside = socket.create_connection((address, self._port), CONNECT_SECONDS_MAX)
            except TimeoutError:
                failure = _failure(ErrorCode.DESTINATION_TIMEOUT, "no connection in time")
            except OSError as error:
                words = error.strerror or "no connection"
                failure = _failure(ErrorCode.DESTINATION_UNAVAILABLE, words)
            else:
                outside.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if self._is_tls:
                    outside = self._secure(outside)
                outside.settimeout(IDLE_SECONDS_MAX)
                return outside
        raise _ConnectRefusedError(failure)

    def _secure(self, outside: socket.socket) -> socket.socket:
        """The connection, now with TLS to whom the system trusts to be the endpoint."""
        try:
            return outside_context().wrap_socket(outside, server_hostname=self._host)
        except TimeoutError:
            failure = _failure(ErrorCode.DESTINATION_TIMEOUT, "TLS was not agreed in time")
        except ssl.SSLEOFError:
            failure = _failure(ErrorCode.DESTINATION_UNAVAILABLE, "broken connection")
        except ssl.SSLError as error:
            words = getattr(error, "verify_message", None) or error.reason or "no TLS"
            failure = _failure(ErrorCode.TLS_ERROR, f"TLS: {words}", may_pass=False)
        except OSError as error:
            words = error.strerror or "broken connection"
            failure = _failure(ErrorCode.DESTINATION_UNAVAILABLE, words)
        outside.close()
        raise _ConnectRefusedError(failure)

    def _addresses(self) -> list[str]:
        """The endpoint's addresses, none of which may be forbidden: one bad answer spoils all."""
        try:
            found = [ip_address(text) for text in self._resolve(self._host, self._port)]
        except (OSError, ValueError, UnicodeError):
            found = []
        if not found:
            raise _ConnectRefusedError(
                _failure(ErrorCode.DNS_ERROR, "dns error: the name has no address")
            )
        is_emulator = self._host in LOOPBACK_HOSTS
        for address in found:
            if not (address.is_loopback if is_emulator else is_public(address)):
                words = "its name leads to an address that is not of the public Internet"
                raise _ConnectRefusedError(_failure(ErrorCode.EGRESS_DENIED, words, may_pass=False))
        return [str(address) for address in found]


class _ConnectRefusedError(Exception):
    def __init__(self, failure: ConnectFailure) -> None:
        super().__init__(failure.words)
        self.failure = failure


def _failure(code: ErrorCode, words: str, *, may_pass: bool = True) -> ConnectFailure:
    return ConnectFailure(code=code, words=words, may_pass=may_pass)
