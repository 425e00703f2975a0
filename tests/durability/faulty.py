"""Stands between us and a storage server, and lets some requests fail in the ways that lines do."""

import random
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

FAULTS = ("unavailable", "throttled", "refused", "cut", "unanswered")
"""503; 429 with Retry-After; closed at once; half of it passed on; passed on and not answered."""


class FaultyServer(ThreadingHTTPServer):
    """Passes requests on, but for those that the dice choose."""

    daemon_threads = True

    def __init__(self, endpoint: str, *, percent: int, seed: float) -> None:
        self.behind = urlsplit(endpoint).netloc
        self._percent = percent
        self._dice = random.Random(seed)  # noqa: S311 - faults, not secrets
        self._lock = threading.Lock()
        self.faults = 0
        super().__init__(("127.0.0.1", 0), _Handler)
        self.endpoint = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: broken lines are what this is about."""

    def choose(self) -> str | None:
        """What happens to the next request; None if nothing."""
        with self._lock:
            if self._dice.randrange(100) >= self._percent:
                return None
            self.faults += 1
            return self._dice.choice(FAULTS)


@contextmanager
def faulty(endpoint: str, *, percent: int, seed: float) -> Iterator[FaultyServer]:
    """A server before another one, of which so many requests in a hundred fail."""
    with FaultyServer(endpoint, percent=percent, seed=seed) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FaultyServer

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        self.close_connection = True
        fault = self.server.choose()
        if fault == "refused":
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        if fault in {"unavailable", "throttled"}:
            self._answer(503 if fault == "unavailable" else 429, [("Retry-After", "0")], b"")
            return
        behind = HTTPConnection(self.server.behind, timeout=60)
        try:
            behind.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                behind.putheader(name, value)
            if fault == "cut":
                behind.endheaders(body[: len(body) // 2])
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            behind.endheaders(body)
            answer = behind.getresponse()
            data = answer.read()
        except (OSError, HTTPException):
            return
        finally:
            behind.close()
        if fault == "unanswered":
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        left_out = {"transfer-encoding", "connection", "content-length"}
        headers = [pair for pair in answer.getheaders() if pair[0].lower() not in left_out]
        length = answer.getheader("content-length") if self.command == "HEAD" else None
        self._answer(answer.status, headers, data, length=length)

    def _answer(
        self, status: int, headers: list[tuple[str, str]], data: bytes, *, length: str | None = None
    ) -> None:
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", length or str(len(data)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(data)

    do_DELETE = do_GET = do_HEAD = do_POST = do_PUT = _pass_on  # noqa: N815 - http.server's names

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as http.server has it
        """Say nothing."""
