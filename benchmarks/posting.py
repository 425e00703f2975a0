"""Posts batches to a server as many devices do, and says what was acknowledged.

    python -m benchmarks.posting KIND ADDRESS KEY SECONDS CONNECTIONS [PER_SECOND]

One thread, one request under way on each connection. Every batch has an id of its own; its logs are
drawn from a few that were made before, and it is compressed anew, as devices do it.
"""

import base64
import json
import random
import re
import selectors
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from urllib.parse import urlsplit

from isal import igzip

LOGS_PER_BATCH = 100
TEMPLATES = 64
RECEIVED_BYTES = 65_536
ACKNOWLEDGED = {200, 202}

Measured = dict[str, object]
_LENGTH = re.compile(rb"content-length: *([0-9]+)", re.IGNORECASE)


def native_bodies() -> Callable[[int], bytes]:
    """Makes gzip bodies of native batches of 100 logs by their numbers."""
    templates = [_native_template(number) for number in range(TEMPLATES)]
    now = datetime.now(UTC).isoformat(timespec="milliseconds").encode()

    def body(number: int) -> bytes:
        device = f"{number % 50_000:032x}".encode()
        text = b'{"batchId":"%d-%d","sentAt":"%s","deviceId":"%s",%s' % (
            _RUN, number, now, device, templates[number % TEMPLATES],
        )  # fmt: skip
        return igzip.compress(text, compresslevel=1)

    return body


def _native_template(number: int) -> bytes:
    dice = random.Random(number)  # noqa: S311 - data, not secrets
    start = datetime.now(UTC) - timedelta(seconds=LOGS_PER_BATCH)
    session = f"{dice.getrandbits(128):032x}"
    logs = [
        {
            "type": "event",
            "name": f"purchase_{dice.randrange(50)}",
            "timestamp": (start + timedelta(seconds=place)).strftime("%Y-%m-%dT%H:%M:%S.000Z"),
            "sessionId": session,
            "extras": {"price": place, "item": f"{dice.getrandbits(48):x}", "ok": True},
        }
        for place in range(LOGS_PER_BATCH)
    ]
    rest = {"info": {"firmwareName": "Android", "phoneModel": "Pixel"}, "logs": logs}
    return json.dumps(rest, separators=(",", ":")).encode()[1:]


def segment_bodies() -> Callable[[int], bytes]:
    """Makes bodies of 100 tracking messages, as the Python SDK of Segment sends them."""
    dice = random.Random(0)  # noqa: S311 - data, not secrets
    now = datetime.now(UTC).isoformat()

    def message(number: int, place: int) -> str:
        return (
            f'{{"integrations":{{}},"anonymousId":null,"timestamp":"{now}","context":{{"library":'
            f'{{"name":"analytics-python","version":"2.4.0"}}}},"type":"track","userId":'
            f'"user {number % 50_000}","properties":{{"price":{place},'
            f'"item":"{dice.getrandbits(48):x}","nested":{{"a":1,"b":"two"}},"ok":true}},'
            f'"event":"purchase {place % 50}",'
            f'"messageId":"{dice.getrandbits(128):032x}"}}'
        )

    def body(number: int) -> bytes:
        messages = ",".join(message(number, place) for place in range(LOGS_PER_BATCH))
        return f'{{"batch":[{messages}],"sentAt":"{now}"}}'.encode()

    return body


_RUN = time.time_ns()
KINDS = {
    "native": ("/collect/v1/batch", native_bodies, "Content-Encoding: gzip\r\n"),
    "segment": ("/v1/batch", segment_bodies, ""),
}


class Target(NamedTuple):
    """What is posted where."""

    kind: str
    address: str
    key: str


class Connection:
    """One connection with at most one request under way."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.create_connection(address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.begun = 0.0
        self.request: bytes | None = None
        self._received = b""

    def post(self, make: Callable[[], bytes]) -> None:
        """Send a request: the last one again, unless it was acknowledged."""
        self._received = b""
        self.request = self.request or make()
        self.socket.sendall(self.request)

    def hear(self) -> int | None:
        """The status of the answer, or None if there is more to come."""
        received = self.socket.recv(RECEIVED_BYTES)
        if not received:
            raise SystemExit("The server must keep connections, but closed one.")
        self._received += received
        head, found, body = self._received.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if not found or length is None or len(body) < int(length[1]):
            return None
        return int(head[9:12])


class Load:
    """Requests on connections, as fast as answers come or at a rate."""

    def __init__(
        self, connections: list[Connection], send: Callable[[Connection, int], None]
    ) -> None:
        self._selector = selectors.DefaultSelector()
        for connection in connections:
            self._selector.register(connection.socket, selectors.EVENT_READ, connection)
        self._free = list(connections)
        self._count = len(connections)
        self._send = send
        self._sent = 0
        self.statuses: Counter[int] = Counter()
        self.taken: list[float] = []

    def run(self, seconds: float, per_second: float | None) -> float:
        """Send for a time and hear every answer; how long it all took.

        At a rate, a request that finds no connection free waits for one; its time counts from when
        it is sent.
        """
        begin = time.perf_counter()
        while (now := time.perf_counter() - begin) < seconds:
            due = len(self._free) if per_second is None else int(now * per_second) - self._sent
            for _ in range(min(due, len(self._free))):
                connection = self._free.pop()
                connection.begun = time.perf_counter()
                self._send(connection, self._sent)
                self._sent += 1
            self._hear()
        while len(self._free) < self._count:
            self._hear()
        self._selector.close()
        return time.perf_counter() - begin

    def _hear(self) -> None:
        for event, _ in self._selector.select(timeout=0.001):
            status = event.data.hear()
            if status is not None:
                self.statuses[status] += 1
                if status in ACKNOWLEDGED:
                    self.taken.append(time.perf_counter() - event.data.begun)
                    event.data.request = None
                self._free.append(event.data)


def _request(head: str, body: bytes) -> bytes:
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def post(target: Target, *, seconds: float, connections: int, per_second: float | None) -> Measured:
    """What became of the logs that were posted to a server for a time."""
    path, make, header = KINDS[target.kind]
    url = urlsplit(target.address)
    basic = base64.b64encode(f"{target.key}:".encode()).decode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {url.netloc}\r\nAuthorization: Basic {basic}\r\n"
        f"Content-Type: application/json\r\n{header}"
    )
    body = make()
    address = (url.hostname or "", url.port or 0)
    load = Load(
        [Connection(address) for _ in range(connections)],
        lambda connection, number: connection.post(lambda: _request(head, body(number))),
    )
    elapsed = load.run(seconds, per_second)
    taken = sorted(load.taken)
    return {
        "logs_per_second": len(taken) * LOGS_PER_BATCH / elapsed,
        "logs": len(taken) * LOGS_PER_BATCH,
        "p50_ms": taken[len(taken) // 2] * 1_000 if taken else None,
        "p99_ms": taken[len(taken) * 99 // 100] * 1_000 if taken else None,
        "statuses": dict(load.statuses),
    }


def main() -> None:
    """Print what became of it as JSON."""
    kind, address, key, seconds, connections, *rate = sys.argv[1:]
    measured = post(
        Target(kind, address, key),
        seconds=float(seconds),
        connections=int(connections),
        per_second=float(rate[0]) if rate else None,
    )
    print(json.dumps(measured))


if __name__ == "__main__":
    main()
