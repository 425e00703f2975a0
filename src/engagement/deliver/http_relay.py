"""Passes requests on to a container, with a digest of what they carry, and its answers back.

The store's client gives no digest to Azure, and heeds no `Retry-After`. Here each body is whole
before it goes on, so both can be done for every service in one place.
"""

import hashlib
import re
import select
import socket
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection, HTTPResponse, parse_headers
from io import BufferedReader, BytesIO
from urllib.parse import urlsplit

from engagement.deliver.pauses import Pauses

HEAD_BYTES_MAX = 65_536
"""Of a request's line and header together, however they come."""
BODY_BYTES_MAX = 64 * 1024 * 1024
"""More than any block that is uploaded, and what one request may take of the memory."""
COPY_BYTES = 256 * 1024
DEFAULT_PORTS = {"http": 80, "https": 443}
ALTERED = "the service got other bytes than were sent"
_BETWEEN_TWO = {"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade"}
"""Fields that are about one connection, not about what passes over it."""
_ASKS_FOR_TIME = {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}
_MD5 = re.compile("[0-9a-f]{32}")


class AlteredError(Exception):
    """The service's answer proves that it got other bytes than were sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayedRequest:
    """What the store's client asks of its proxy."""

    method: str
    """The HTTP method."""
    target: str
    """Path and query, as the container expects them."""
    host: str
    """The host that is asked for; empty inside a tunnel, which has one already."""
    port: int
    """Its port."""
    fields: tuple[tuple[str, str], ...]
    """The header's fields that concern the container."""
    body: memoryview
    """What is sent, whole."""
    proxy_authorization: str = ""
    """Whom the client says to be to a proxy."""

    @property
    def is_tunnel(self) -> bool:
        """Whether a way to a place is asked for, instead of something of it."""
        return self.method == "CONNECT"


def read_request(stream: BufferedReader) -> RelayedRequest | None:
    """The next request, whole; None at the end.

    Raises:
        OSError: The connection broke.
        HTTPException: It is no HTTP.
        ValueError: Likewise.
    """
    head = _read_head(stream)
    if not head:
        return None
    line, _, header = head.partition(b"\n")
    method, target, _ = line.decode("ascii").rstrip("\r").split(" ")
    is_tunnel = method == "CONNECT"
    split = urlsplit(("//" if is_tunnel else "") + target)
    fields = parse_headers(BytesIO(header))
    length = int(fields.get("content-length") or 0)
    if "transfer-encoding" in fields or not 0 <= length <= BODY_BYTES_MAX:
        raise ValueError("A request must say how long its bounded body is.")
    path = split.path or "/"
    return RelayedRequest(
        method=method,
        target=f"{path}?{split.query}" if split.query else path,
        host=split.hostname or "",
        port=split.port or DEFAULT_PORTS.get(split.scheme, 443),
        fields=tuple(
            (name, value)
            for name, value in fields.items()
            if name.lower() not in _BETWEEN_TWO and not name.lower().startswith("proxy-")
        ),
        body=_read_body(stream, length),
        proxy_authorization=fields.get("proxy-authorization") or "",
    )


def _read_head(stream: BufferedReader) -> bytes:
    """The line and the header of a request, to the empty line behind them; empty at the end."""
    head = bytearray()
    while line := stream.readline(HEAD_BYTES_MAX + 1 - len(head)):
        head += line
        if len(head) > HEAD_BYTES_MAX:
            raise ValueError(f"A request's head must have at most {HEAD_BYTES_MAX} bytes.")
        if line in {b"\r\n", b"\n"}:
            break
    return bytes(head)


def _read_body(stream: BufferedReader, length: int) -> memoryview:
    body = memoryview(bytearray(length))
    filled = 0
    while filled < length:
        count = stream.readinto(body[filled:])
        if not count:
            raise ConnectionAbortedError("The client went away.")
        filled += count
    return body


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """Whom requests are passed on to."""

    name: str
    """Tells it from others that may be asked at the same endpoint."""
    tag_is_md5: bool = False
    """Whether it answers an upload with the MD5 as `ETag`, as S3 does unless a key encrypts it."""


class Relay:
    """One client's connection to its container; it is opened anew when the container closes it."""

    def __init__(
        self, open_socket: Callable[[], socket.socket], *, container: "Container", pauses: Pauses
    ) -> None:
        self._open_socket = open_socket
        self._container, self._pauses = container, pauses
        self._outside: HTTPConnection | None = None
        self._is_used = False

    def open(self) -> None:
        """Return only when there is a connection, whose other end has not closed it."""
        if self._outside is not None and not (self._is_used and _has_news(self._outside.sock)):
            return
        self.close()
        # The name is for its messages alone: the socket leads to an address that was checked.
        self._outside = HTTPConnection("container")
        self._outside.sock = self._open_socket()
        self._is_used = False

    def close(self) -> None:
        """End the connection."""
        if self._outside is not None:
            self._outside.close()
            self._outside = None

    def pass_on(self, request: RelayedRequest, inside: socket.socket) -> None:
        """Return only when the container's answer has been passed back whole.

        A container that asked for time is not asked before it is over.

        Raises:
            AlteredError: The answer's digest is not of what was sent; it is not passed back.
            OSError: The connection to the container broke.
            HTTPException: What it said is no HTTP.
        """
        time.sleep(self._pauses.seconds_left(self._container.name))
        self.open()
        digest = hashlib.md5(request.body, usedforsecurity=False).digest()
        answer = self._answer(request, digest_fields(request, digest))
        if answer.status in _ASKS_FOR_TIME:
            self._pauses.note(self._container.name, answer.getheader("retry-after"))
        if request.method == "PUT" and answer.status // 100 == 2:  # noqa: PLR2004 - a success
            check_digest(answer, digest, tag_is_md5=self._container.tag_is_md5)
        self._pass_back(answer, inside, has_body=request.method != "HEAD")

    def _answer(self, request: RelayedRequest, digests: dict[str, str]) -> HTTPResponse:
        if self._outside is None:
            raise ConnectionAbortedError("There is no connection.")
        self._is_used = True
        self._outside.putrequest(
            request.method, request.target, skip_host=True, skip_accept_encoding=True
        )
        for name, value in (*request.fields, *digests.items()):
            self._outside.putheader(name, value)
        # A container that refuses may read no more of the body, and its answer is on the way.
        with suppress(BrokenPipeError, ConnectionResetError):
            self._outside.endheaders(request.body)
        return self._outside.getresponse()

    def _pass_back(self, answer: HTTPResponse, inside: socket.socket, *, has_body: bool) -> None:
        fields = [
            f"{name}: {value}"
            for name, value in answer.getheaders()
            if name.lower() not in _BETWEEN_TWO
        ]
        is_chunked = has_body and answer.length is None
        if is_chunked:
            fields.append("Transfer-Encoding: chunked")
        head = "\r\n".join([f"HTTP/1.1 {answer.status} {answer.reason}", *fields])
        inside.sendall(f"{head}\r\n\r\n".encode("latin-1"))
        for data in _body_of(answer):
            inside.sendall(b"%x\r\n%b\r\n" % (len(data), data) if is_chunked else data)
        if is_chunked:
            inside.sendall(b"0\r\n\r\n")
        if answer.will_close:
            self.close()


def digest_fields(request: RelayedRequest, digest: bytes) -> dict[str, str]:
    """The digest of an upload as every service checks it, before it keeps anything."""
    return {"Content-MD5": b64encode(digest).decode()} if request.method == "PUT" else {}


def _body_of(answer: HTTPResponse) -> Iterator[bytes]:
    while data := answer.read(COPY_BYTES):
        yield data
    if answer.length:
        raise ConnectionAbortedError("The answer was cut off.")


def check_digest(answer: HTTPResponse, digest: bytes, *, tag_is_md5: bool) -> None:
    """Raise if the answer tells of other bytes; a service may tell nothing."""
    received = answer.getheader("content-md5")
    if received is not None and received != b64encode(digest).decode():
        raise AlteredError
    tag = (answer.getheader("etag") or "").strip('"').lower()
    is_encrypted = any(
        name.lower().startswith("x-amz-server-side-encryption") and value != "AES256"
        for name, value in answer.getheaders()
    )
    if tag_is_md5 and not is_encrypted and _MD5.fullmatch(tag) and tag != digest.hex():
        raise AlteredError


def _has_news(outside: socket.socket) -> bool:
    """Whether something came without being asked for, as its end does."""
    poll = select.poll()
    poll.register(outside, select.POLLIN)
    return bool(poll.poll(0))
