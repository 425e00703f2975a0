"""Answers storage requests over loopback as a test scripts it, and records them."""

import ssl
import struct
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import SO_LINGER, SOL_SOCKET

from support.http_servers import serve


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the server says to a request."""

    status: int = 201
    """The HTTP status."""
    code: str = ""
    """The store's error code; no body if empty."""
    message: str = ""
    """The store's words."""
    detail: str = ""
    """Azure: AuthenticationErrorDetail."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Besides the length."""
    is_reset: bool = False
    """Break the connection instead of answering."""

    @property
    def body(self) -> bytes:
        """The error as Azure and S3 word it."""
        if not self.code:
            return b""
        detail = f"<AuthenticationErrorDetail>{self.detail}</AuthenticationErrorDetail>"
        return (
            '\ufeff<?xml version="1.0" encoding="utf-8"?>'
            f"<Error><Code>{self.code}</Code><Message>{self.message}\n"
            "RequestId:d96d8a2c-701e-0012-5dc2-9a1b2c000000\n"
            "Time:2026-11-24T03:04:05.0000000Z</Message>"
            f"{detail if self.detail else ''}</Error>"
        ).encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request that came."""

    method: str
    """The HTTP method, CONNECT if the server was taken for a proxy."""
    target: str
    """Path and query."""
    headers: dict[str, str]
    """With names in lower case."""
    at: float
    """When it came, by the clock that only goes forward."""
    client: tuple[str, int]
    """Which connection it came over."""


class ScriptedServer(ThreadingHTTPServer):
    """Says the same to every request, after it has accepted the first few."""

    daemon_threads = True

    def __init__(
        self, answer: Answer, *, tls: ssl.SSLContext | None = None, accepted: int = 0
    ) -> None:
        self.answer = answer
        self.accepted = accepted
        self.first: list[Answer] = []
        self.calls: list[Call] = []
        super().__init__(("127.0.0.1", 0), _Handler)
        self.endpoint = f"{'https' if tls else 'http'}://127.0.0.1:{self.server_port}"
        if tls:
            self.socket = tls.wrap_socket(
                self.socket, server_side=True, do_handshake_on_connect=False
            )

    def next_answer(self) -> Answer:
        """What is said now: what was scripted to come first, then the same for ever."""
        return self.first.pop(0) if self.first else self.answer

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: a client that goes away is what some tests are about."""


def scripted(
    answer: Answer, *, tls: ssl.SSLContext | None = None, accepted: int = 0
) -> AbstractContextManager[ScriptedServer]:
    """A server that listens until the end of the block."""
    return serve(ScriptedServer(answer, tls=tls, accepted=accepted))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ScriptedServer

    def _answer(self) -> None:
        is_accepted = len(self.server.calls) < self.server.accepted
        answer = Answer(status=201) if is_accepted else self.server.next_answer()
        self.rfile.read(int(self.headers.get("content-length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.calls.append(
            Call(
                method=self.command,
                target=self.path,
                headers=headers,
                at=time.monotonic(),
                client=self.client_address,
            )
        )
        if answer.is_reset:
            # With no time to linger, closing sends RST instead of FIN.
            self.connection.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            self.connection.close()
            return
        self.send_response(answer.status)
        self.send_header("Content-Length", str(len(answer.body)))
        self.send_header("ETag", '"0x8DC"')
        if answer.code:
            self.send_header("Content-Type", "application/xml")
            self.send_header("x-ms-error-code", answer.code)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)

    do_CONNECT = do_DELETE = do_GET = do_HEAD = do_POST = do_PUT = _answer  # noqa: N815 - http.server

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as http.server has it
        """Say nothing."""
