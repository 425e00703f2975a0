"""Runs HTTP servers on loopback in threads of the tests, and passes requests on to other ones."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import BaseServer
from typing import TypeVar
from urllib.parse import urlsplit

AnyServer = TypeVar("AnyServer", bound=BaseServer)

_OF_THE_LINE = {"transfer-encoding", "connection", "content-length"}
"""Headers that say how an answer comes, which is another way on another line."""


@contextmanager
def serve(server: AnyServer) -> Iterator[AnyServer]:
    """A server that answers until the end of the block."""
    with server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayedAnswer:
    """What a server behind a relay answered."""

    status: int
    """The HTTP status."""
    headers: list[tuple[str, str]]
    """But for those of the line."""
    body: bytes
    """The whole body."""
    length: str
    """How long the body is; for HEAD, how long it would be."""


class Relay(ThreadingHTTPServer):
    """Stands on loopback before another server."""

    daemon_threads = True

    def __init__(self, behind: str, handler: type["RelayHandler"]) -> None:
        self.behind = urlsplit(behind).netloc
        super().__init__(("127.0.0.1", 0), handler)
        self.endpoint = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: broken lines are what relays are about."""


class RelayHandler(BaseHTTPRequestHandler):
    """One request on each line; what happens to it is for those that derive from this."""

    protocol_version = "HTTP/1.1"
    server: Relay

    def relay(self, body: bytes) -> None:
        """Do with a request, of which the body has been read, what this relay is for."""
        raise NotImplementedError

    def pass_on(self, body: bytes, *, is_cut: bool = False) -> RelayedAnswer | None:
        """The answer to a request that was passed on; None if the line broke.

        Args:
            body: What goes on.
            is_cut: Let half of the body go on, and then break both lines.
        """
        behind = HTTPConnection(self.server.behind, timeout=60)
        try:
            behind.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() != "content-length":
                    behind.putheader(name, value)
            behind.putheader("Content-Length", str(len(body)))
            if is_cut:
                behind.endheaders(body[: len(body) // 2])
                self.break_line()
                return None
            behind.endheaders(body)
            answer = behind.getresponse()
            data = answer.read()
        except (OSError, HTTPException):
            return None
        finally:
            behind.close()
        length = answer.getheader("content-length") if self.command == "HEAD" else None
        headers = [pair for pair in answer.getheaders() if pair[0].lower() not in _OF_THE_LINE]
        return RelayedAnswer(
            status=answer.status, headers=headers, body=data, length=length or str(len(data))
        )

    def answer(self, answer: RelayedAnswer) -> None:
        """Answer the request."""
        self.send_response_only(answer.status)
        for name, value in answer.headers:
            self.send_header(name, value)
        self.send_header("Content-Length", answer.length)
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(answer.body)

    def break_line(self) -> None:
        """End the connection to the client, whatever it waits for."""
        self.connection.shutdown(socket.SHUT_RDWR)

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        self.close_connection = True
        self.relay(body)

    do_DELETE = do_GET = do_HEAD = do_POST = do_PUT = _handle  # noqa: N815 - http.server's names

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as http.server has it
        """Say nothing."""
