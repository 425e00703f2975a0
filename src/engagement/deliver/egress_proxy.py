"""The only way out to a user's container: a proxy that leads to one place alone.

The store's client follows redirects and resolves names by itself, and neither can be turned off.
So each destination gets a proxy of its own on loopback, which connects to the destination's host
and port and to nothing else, at an address that was checked: a redirect, a name that changes its
address and an address in disguise all end here. TLS goes through it untouched, end to end.
"""

import socket
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import urlsplit
from weakref import finalize

from engagement.exceptions import ErrorCode
from engagement.model.hosts import LOOPBACK_HOSTS

CONNECT_SECONDS_MAX = 10
HEAD_SECONDS_MAX = 30
HEAD_BYTES_MAX = 65_536
COPY_BYTES = 256 * 1024
DEFAULT_PORTS = {"http": 80, "https": 443}
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

    def __init__(self, endpoint: str, *, resolve: Resolve = resolve_addresses) -> None:
        split = urlsplit(endpoint)
        listener = ProxyListener(
            host=split.hostname or "",
            port=split.port or DEFAULT_PORTS[split.scheme],
            resolve=resolve,
        )
        self._listener = listener
        self.proxy_url = f"http://127.0.0.1:{listener.port_inside}"
        finalize(self, listener.close)

    @property
    def failure(self) -> ConnectFailure | None:
        """Why the last connection did not come about; None if it did."""
        return self._listener.failure


class ProxyListener:
    """Listens on loopback and connects clients to the endpoint, if that is what they ask for."""

    def __init__(self, *, host: str, port: int, resolve: Resolve) -> None:
        self._host, self._port, self._resolve = host, port, resolve
        self.failure: ConnectFailure | None = None
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port_inside: int = self._listener.getsockname()[1]
        threading.Thread(target=self._listen, name="egress", daemon=True).start()

    def close(self) -> None:
        """Accept no more connections; those that are open go on to their end."""
        _shut_down(self._listener)  # wakes the thread that accepts
        self._listener.close()

    def _listen(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), name="egress", daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client:
            try:
                head, rest = _read_head(client)
                request = _Request.parse(head)
                outside = self._connect(request)
            except _ConnectRefusedError as refused:
                self.failure = refused.failure
                _answer(client, refused.failure)
                return
            except (OSError, ValueError):
                return
            self.failure = None
            with outside:
                if request.is_tunnel:
                    client.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
                else:
                    outside.sendall(request.rewritten)
                outside.sendall(rest)
                forward = threading.Thread(
                    target=_forward, args=(client, outside), name="egress", daemon=True
                )
                forward.start()
                self.failure = _backward(outside, client)
                _shut_down(outside)
                with suppress(OSError):
                    client.shutdown(socket.SHUT_WR)  # it may still be sending: let it read first
                forward.join()

    def _connect(self, request: "_Request") -> socket.socket:
        """A connection to the endpoint at an address that was checked.

        Raises:
            _ConnectRefusedError: The request names another place, or the endpoint may not be
                reached.
        """
        if (request.host, request.port) != (self._host, self._port):
            raise _refusal(
                ErrorCode.EGRESS_DENIED,
                f"the service led to another place, {request.host[:80]!r}, which is not followed",
            )
        for address in self._addresses():
            try:
                outside = socket.create_connection((address, self._port), CONNECT_SECONDS_MAX)
            except TimeoutError:
                failure = _refusal(
                    ErrorCode.DESTINATION_TIMEOUT, "no connection in time", may_pass=True
                )
            except OSError as error:
                words = error.strerror or "no connection"
                failure = _refusal(ErrorCode.DESTINATION_UNAVAILABLE, words, may_pass=True)
            else:
                outside.settimeout(None)
                outside.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return outside
        raise failure

    def _addresses(self) -> list[str]:
        """The endpoint's addresses, none of which may be forbidden: one bad answer spoils all."""
        try:
            found = [ip_address(text) for text in self._resolve(self._host, self._port)]
        except (OSError, ValueError, UnicodeError):
            found = []
        if not found:
            raise _refusal(ErrorCode.DNS_ERROR, "dns error: the name has no address", may_pass=True)
        is_emulator = self._host in LOOPBACK_HOSTS
        for address in found:
            if not (address.is_loopback if is_emulator else is_public(address)):
                raise _refusal(
                    ErrorCode.EGRESS_DENIED,
                    "its name leads to an address that is not of the public Internet",
                )
        return [str(address) for address in found]


class _ConnectRefusedError(Exception):
    def __init__(self, failure: ConnectFailure) -> None:
        super().__init__(failure.words)
        self.failure = failure


def _refusal(code: ErrorCode, words: str, *, may_pass: bool = False) -> _ConnectRefusedError:
    return _ConnectRefusedError(ConnectFailure(code=code, words=words, may_pass=may_pass))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    """What the store's client asks of its proxy."""

    host: str
    port: int
    is_tunnel: bool
    rewritten: bytes
    """The request's head as the endpoint itself expects it."""

    @classmethod
    def parse(cls, head: bytes) -> "_Request":
        first, *fields = head.split(b"\r\n")
        method, target, version = first.split(b" ")
        is_tunnel = method == b"CONNECT"
        split = urlsplit(("//" if is_tunnel else "") + target.decode("ascii"))
        path = split.path or "/"
        origin = f"{path}?{split.query}" if split.query else path
        kept = [
            field
            for field in fields
            if field and not field.lower().startswith((b"proxy-", b"connection:"))
        ]
        lines = [b" ".join((method, origin.encode(), version)), *kept, b"Connection: close"]
        return cls(
            host=split.hostname or "",
            port=split.port or DEFAULT_PORTS.get(split.scheme, 443),
            is_tunnel=is_tunnel,
            rewritten=b"\r\n".join(lines) + b"\r\n\r\n",
        )


def _read_head(client: socket.socket) -> tuple[bytes, bytes]:
    """A request's head, and what of its body came with it."""
    client.settimeout(HEAD_SECONDS_MAX)
    data = b""
    while b"\r\n\r\n" not in data:
        more = client.recv(COPY_BYTES)
        if not more or len(data) > HEAD_BYTES_MAX:
            raise ValueError("A request must have a head of bounded size.")
        data += more
    client.settimeout(None)
    head, _, rest = data.partition(b"\r\n\r\n")
    return head, rest


def _answer(client: socket.socket, failure: ConnectFailure) -> None:
    """Answer as a container would; the client repeats a request upon 503, not upon 403."""
    status = "503 Service Unavailable" if failure.may_pass else "403 Forbidden"
    body = f"<Error><Code>{MARK}</Code><Message>{failure.words}</Message></Error>".encode()
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    with suppress(OSError):
        client.sendall(head.encode() + body)
        client.shutdown(socket.SHUT_WR)
        while client.recv(COPY_BYTES):  # a body on its way, or the answer would be cut off
            pass


def _forward(client: socket.socket, outside: socket.socket) -> None:
    """Copy requests; an endpoint that reads no more may still have an answer on the way."""
    buffer = memoryview(bytearray(COPY_BYTES))
    is_read = True
    try:
        while count := client.recv_into(buffer):
            is_read = is_read and _send(outside, buffer[:count])
        outside.shutdown(socket.SHUT_WR)
    except OSError:
        _shut_down(outside)


def _backward(outside: socket.socket, client: socket.socket) -> ConnectFailure | None:
    """Copy answers; why the endpoint broke the connection, if it did."""
    buffer = memoryview(bytearray(COPY_BYTES))
    try:
        while (count := outside.recv_into(buffer)) and _send(client, buffer[:count]):
            pass
    except OSError as error:
        return ConnectFailure(
            code=ErrorCode.DESTINATION_UNAVAILABLE,
            words=error.strerror or "broken connection",
            may_pass=True,
        )
    return None


def _send(target: socket.socket, data: memoryview) -> bool:
    try:
        target.sendall(data)
    except OSError:
        return False
    return True


def _shut_down(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
