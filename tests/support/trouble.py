"""Stands between an SDK and a server, and makes trouble once."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx

from support.http_servers import serve
from support.waiting import WAIT_SECONDS_MAX


class Trouble(Enum):
    """What happens to a request."""

    TOLD_TO_COME_AGAIN = "it is answered with 503 and does not reach the server"
    LOST_ANSWER = "the server takes it in, but its answer is lost"


@dataclass(slots=True)
class Passage:
    """What went through."""

    address: str
    """Where requests go in."""
    bodies: list[bytes] = field(default_factory=list)
    """What was posted, in its order, the troubled request first."""


@contextmanager
def troubled(server: str, trouble: Trouble) -> Iterator[Passage]:
    """A way to the server on which the first request has trouble, and no other."""
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            with lock:
                is_first = not passage.bodies
                passage.bodies.append(body)
            if is_first and trouble is Trouble.TOLD_TO_COME_AGAIN:
                self._answer(503, b"", {"Retry-After": "1"})
                return
            headers = {name: self.headers[name] for name in self.headers if name != "Host"}
            answer = httpx.post(
                server + self.path,
                content=body,
                headers=headers,
                trust_env=False,
                timeout=WAIT_SECONDS_MAX,
            )
            if is_first and trouble is Trouble.LOST_ANSWER:
                self.close_connection = True
                return
            self._answer(answer.status_code, answer.content, {})

        def _answer(self, status: int, content: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(content))} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            """Nothing: the tests look at what went through."""

    with serve(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as proxy:
        passage = Passage(f"http://127.0.0.1:{proxy.server_port}")
        yield passage
