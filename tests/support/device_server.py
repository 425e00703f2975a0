"""A server that devices report to, as a test scripts it, and a clock for devices.

Batches are decoded by the real decoder and told apart by their ids, so the protocol is the real
one; what is scripted is how the server answers, or fails to.
"""

import gzip
import json
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from engagement.collect.payload import Batch, decode_batch
from engagement.exceptions import CorruptInputError
from support.http_servers import serve
from support.waiting import WAIT_SECONDS_MAX

APP_KEY = "key-of-the-shop"
RECEIVED_AT = datetime(2026, 3, 2, 12, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """How the server treats one request."""

    status: int | None = None
    """Answer with this and keep nothing; None is what the protocol says."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Besides the length."""
    body: bytes = b""
    """What comes with a status."""
    is_dropped: bool = False
    """Keep the batch, and close the connection without an answer."""
    is_held: bool = False
    """Answer only when the test lets it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A request that came."""

    headers: Mapping[str, str]
    """With names in lower case."""
    body: bytes
    """As it was before it was compressed."""

    @property
    def content(self) -> dict[str, Any]:
        """The batch as JSON."""
        content: dict[str, Any] = json.loads(self.body)
        return content

    @property
    def sent_at(self) -> str:
        """When it was sent, as it says."""
        return str(self.content["sentAt"])

    @property
    def rest(self) -> bytes:
        """Its very bytes but for when it was sent."""
        return self.body.replace(self.sent_at.encode(), b"", 1)


class DeviceServer(ThreadingHTTPServer):
    """Treats requests as scripted, and as the protocol says when the script is over."""

    daemon_threads = True

    def __init__(self, *replies: Reply, port: int = 0) -> None:
        self.script = deque(replies)
        self.attempts: list[Attempt] = []
        self.batches: dict[str, Batch] = {}
        self.logs: list[dict[str, Any]] = []
        self.held = threading.Event()
        self.release = threading.Event()
        self.mutex = threading.Lock()
        super().__init__(("127.0.0.1", port), _Handler)
        self.address = f"http://127.0.0.1:{self.server_port}"

    def keep(self, body: bytes) -> bytes:
        """The protocol's answer to a batch, which is kept if its id is new."""
        batch = decode_batch(body, received_at=RECEIVED_AT, live=True)
        content = json.loads(body)
        with self.mutex:
            if batch.batch_id not in self.batches:
                self.batches[batch.batch_id] = batch
                refused = {refusal.index for refusal in batch.refused}
                head = {name: content.get(name) for name in ("deviceId", "userId", "info")}
                self.logs += [
                    {**log, "head": head}
                    for index, log in enumerate(content["logs"])
                    if index not in refused
                ]
        refusals = [
            {"index": refusal.index, "code": refusal.code, "message": refusal.message}
            for refusal in batch.refused
        ]
        return json.dumps({"accepted": batch.accepted, "refused": refusals}).encode()

    @property
    def names(self) -> list[str]:
        """The names of the logs that were kept, in their order."""
        return [log["name"] for log in self.logs if "name" in log]

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: a device that goes away is what some tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 65_536  # so that an answer is one packet, which nobody waits to acknowledge
    server: DeviceServer

    def do_POST(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(headers["content-length"]))
        if headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        with self.server.mutex:
            self.server.attempts.append(Attempt(headers=headers, body=body))
            reply = self.server.script.popleft() if self.server.script else Reply()
        if reply.is_held:
            self.server.held.set()
            self.server.release.wait(WAIT_SECONDS_MAX)
        if reply.status is not None:
            self._say(reply.status, reply.body, reply.headers)
        elif (
            self.path != "/collect/v1/batch" or headers.get("authorization") != f"Bearer {APP_KEY}"
        ):
            self._say(401, b"", {})
        else:
            self._keep(body, reply)

    def _keep(self, body: bytes, reply: Reply) -> None:
        try:
            answer = self.server.keep(body)
        except CorruptInputError as error:
            self._say(400, json.dumps({"error": {"message": str(error)}}).encode(), {})
            return
        if reply.is_dropped:
            self.close_connection = True
        else:
            self._say(202, answer, reply.headers)

    def _say(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as http.server has it
        """Say nothing."""


@contextmanager
def device_server(*replies: Reply, port: int = 0) -> Iterator[DeviceServer]:
    """A server that listens until the end of the block."""
    with serve(DeviceServer(*replies, port=port)) as server:
        try:
            yield server
        finally:
            server.release.set()


class DeviceClock:
    """A clock that the test sets, by which waits are over when the test says."""

    def __init__(self, *, is_hasty: bool = True) -> None:
        self.at = datetime(2026, 3, 1, 12, tzinfo=UTC)
        """What it shows."""
        self.waits: list[float] = []
        """Every wait that was asked for, in seconds."""
        self.is_waited_for = threading.Event()
        """Set when the first wait begins: nothing waits to be sent, or the server is silent."""
        self.is_hasty = is_hasty
        """Whether waits are over in a moment; otherwise only their event ends them."""

    def now(self) -> datetime:
        """What it shows."""
        return self.at

    def wait(self, event: threading.Event, seconds: float) -> None:
        """Wait a moment for the event, however long was asked; without haste, until it comes."""
        self.waits.append(seconds)
        self.is_waited_for.set()
        event.wait(0.005 if self.is_hasty else None)

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.at += timedelta(seconds=seconds)
