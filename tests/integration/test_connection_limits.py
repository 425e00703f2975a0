"""Tests what a connection may hold, with short times, on a real server in this process."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass

import pytest
import uvicorn
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from engagement.server import uvicorn_protocol
from engagement.server.client_addresses import sender_at
from engagement.server.shares import Shares
from engagement.server.uvicorn_protocol import (
    HEAD_BYTES_MAX,
    URL_BYTES_MAX,
    ConnectionLimits,
    LimitedHttpProtocol,
)
from engagement.settings import Settings
from support.bombs import MIB
from support.waiting import WAIT_SECONDS_MAX, wait_for

SECONDS_MAX = 0.3
HOST = "127.0.0.1"
POST = b"POST /v1/track HTTP/1.1\r\nHost: x\r\n"
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the length of the body, or with very much."""
    request = Request(scope, receive)
    pieces = (bytes(MIB) for _ in range(64))
    response = (
        StreamingResponse(pieces)
        if scope["path"] == "/much"
        else Response(str(len(await request.body())))
    )
    await response(scope, receive, send)


@dataclass(frozen=True, slots=True)
class LimitedServer:
    """A server, and what its connections share."""

    port: int
    limits: ConnectionLimits

    def connect(self) -> socket.socket:
        """A connection."""
        return socket.create_connection((HOST, self.port), timeout=WAIT_SECONDS_MAX)

    def ask(self, sent: bytes, ending: bytes = b"") -> bytes:
        """All that is said until the connection ends, or until it ends so."""
        with self.connect() as connection:
            connection.sendall(sent)
            heard = b""
            while not (ending and heard.endswith(ending)) and (more := connection.recv(MIB)):
                heard += more
            return heard


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[LimitedServer]:
    monkeypatch.setattr(uvicorn_protocol, "MESSAGE_SECONDS_MAX", SECONDS_MAX)
    monkeypatch.setattr(uvicorn_protocol, "WRITE_SECONDS_MAX", SECONDS_MAX)
    limits = ConnectionLimits.of(Settings(), [], descriptors_max=1_024)
    config = uvicorn.Config(
        application,
        http=LimitedHttpProtocol.with_limits(limits, count_refused=lambda: None),
        log_config=None,
        lifespan="off",
    )
    server = uvicorn.Server(config)
    with closing(socket.create_server((HOST, 0))) as listener:
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            yield LimitedServer(listener.getsockname()[1], limits)
        finally:
            server.should_exit = True
            thread.join()


def use_up(shares: Shares) -> None:
    """Let this address have all that it may have."""
    sender = sender_at(HOST)
    while shares.has_room(sender):
        shares.take(sender)


@pytest.mark.parametrize(
    "address", [b"/v1/track", b"http://x/v1/track", b"//v1//track", b"/v1/track?a=/healthz"]
)
def test_a_share_holds_however_an_address_is_written(server: LimitedServer, address: bytes) -> None:
    use_up(server.limits.device_requests)
    request = b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n1" % address

    assert b" 503 " in server.ask(request, b"}}")


def test_what_comes_before_an_answer_has_no_further_share(server: LimitedServer) -> None:
    use_up(server.limits.device_requests)
    heard = server.ask(HEALTH + POST + b"Content-Length: 9\r\n\r\n{")

    assert [heard.count(b" 200 "), heard.count(b" 503 ")] == [1, 1]
    use_up(server.limits.other_requests)
    heard = server.ask(HEALTH + HEALTH + b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", b"}}")
    assert [heard.count(b" 200 "), heard.count(b" 503 ")] == [2, 1]


def test_a_body_that_is_refused_and_does_not_end_ends_the_connection(server: LimitedServer) -> None:
    use_up(server.limits.device_requests)

    assert server.ask(POST + b"Content-Length: 9\r\n\r\n{") == b""


@pytest.mark.parametrize(
    ("first", "again"),
    [
        pytest.param(b"0\r\n", b"a: " + b"b" * 60_000 + b"\r\n", id="trailers"),
        pytest.param(b"0\r\na: ", b"b" * 65_536, id="a trailer that does not end"),
        pytest.param(b"1;a=", b"b" * 65_536, id="a chunk's extension"),
    ],
)
def test_there_is_an_end_of_what_is_around_a_body(
    server: LimitedServer, monkeypatch: pytest.MonkeyPatch, first: bytes, again: bytes
) -> None:
    monkeypatch.setattr(uvicorn_protocol, "MESSAGE_SECONDS_MAX", WAIT_SECONDS_MAX)
    with server.connect() as connection:
        connection.sendall(POST + CHUNKED + first)

        assert sends_are_cut_off(connection, lambda: again)


def sends_are_cut_off(connection: socket.socket, make: Callable[[], bytes]) -> bool:
    """Whether the other end stops to listen before very much was sent."""
    try:
        for _ in range(2_000):
            connection.sendall(make())
    except OSError:
        return True
    return False


def test_a_body_in_small_chunks_is_read(server: LimitedServer) -> None:
    chunks = b"64\r\n%s\r\n" % (b"x" * 100) * 2_000
    heard = server.ask(POST + b"Connection: close\r\n" + CHUNKED + chunks + b"0\r\na: b\r\n\r\n")

    assert heard.endswith(b"200000")


def test_who_takes_nothing_of_an_answer_holds_nothing_for_long(server: LimitedServer) -> None:
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        connection.connect((HOST, server.port))
        connection.sendall(b"GET /much HTTP/1.1\r\nHost: x\r\n\r\n")
        wait_for(lambda: server.limits.other_requests.taken == 1, "a request under way")

        wait_for(lambda: server.limits.other_requests.taken == 0, "the end of a request")


def test_an_address_and_a_head_have_lengths(server: LimitedServer) -> None:
    long_address = b"GET /healthz?" + b"a" * URL_BYTES_MAX + b" HTTP/1.1\r\nHost: x\r\n\r\n"
    assert b" 414 " in server.ask(long_address)

    long_head = HEALTH[:-2] + b"A: " + b"a" * HEAD_BYTES_MAX + b"\r\n\r\n"
    assert b" 400 " in server.ask(long_head)

    body = b"x" * (HEAD_BYTES_MAX + 1)
    whole = POST + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    assert server.ask(whole).endswith(b"%d" % len(body)), "a body is no part of a head"
