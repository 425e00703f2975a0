"""Stands between us and a real storage server, and alters what is uploaded on its way."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

Alter = Callable[[bytes], bytes | None]
"""The body as it goes on; None: half of it, and then the line breaks."""


def flip_a_bit(body: bytes) -> bytes:
    """Another byte in the middle."""
    middle = len(body) // 2
    return body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :]


def cut(body: bytes) -> bytes:
    """Half of it, as if that were all."""
    return body[: len(body) // 2]


def break_off(body: bytes) -> None:
    """Half of it, and then the line breaks."""
    del body


class AlteringServer(ThreadingHTTPServer):
    """Passes requests on, and alters the first uploads that have a body."""

    daemon_threads = True

    def __init__(self, endpoint: str, alter: Alter, *, times: int) -> None:
        self.behind = urlsplit(endpoint).netloc
        self.alter, self.left = alter, times
        self.altered = 0
        self.lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), _Handler)
        self.endpoint = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: broken lines are what this is about."""

    def has_turn(self) -> bool:
        """Whether the next upload is to be altered."""
        with self.lock:
            if not self.left:
                return False
            self.left -= 1
            self.altered += 1
            return True


@contextmanager
def altering(endpoint: str, alter: Alter, *, times: int) -> Iterator[AlteringServer]:
    """A server before another one, which alters so many uploads."""
    with AlteringServer(endpoint, alter, times=times) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: AlteringServer

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        self.close_connection = True
        is_upload = self.command == "PUT" and body and "comp=blocklist" not in self.path
        sent = self.server.alter(body) if is_upload and self.server.has_turn() else body
        behind = HTTPConnection(self.server.behind, timeout=60)
        try:
            behind.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() != "content-length":
                    behind.putheader(name, value)
            behind.putheader("Content-Length", str(len(body if sent is None else sent)))
            if sent is None:
                behind.endheaders(body[: len(body) // 2])
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            behind.endheaders(sent)
            answer = behind.getresponse()
            data = answer.read()
        except (OSError, HTTPException):
            return
        finally:
            behind.close()
        self.send_response_only(answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() not in {"transfer-encoding", "connection", "content-length"}:
                self.send_header(name, value)
        length = answer.getheader("content-length") if self.command == "HEAD" else len(data)
        self.send_header("Content-Length", str(length or 0))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(data)

    do_DELETE = do_GET = do_HEAD = do_POST = do_PUT = _pass_on  # noqa: N815 - http.server's names

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as http.server has it
        """Say nothing."""
