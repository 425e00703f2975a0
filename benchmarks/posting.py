"""This module posts batches to a server as many devices do, and says what was acknowledged.

    python -m benchmarks.posting KIND ADDRESS KEY SECONDS CONNECTIONS [PER_SECOND]

One thread, one request under way on each connection. Every batch has an id of its own; its logs are
drawn from a few that were made before, and it is compressed anew, as devices do it.
"""

import base64
import heapq
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
from urllib.parse import urlsplit

from isal import igzip

LOGS_PER_BATCH = 100
TEMPLATES = 64
RECEIVED_BYTES = 65_536
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
    logs = [
        {
            "type": "event",
            "name": f"purchase_{dice.randrange(50)}",
            "timestamp": (start + timedelta(seconds=place)).strftime("%Y-%m-%dT%H:%M:%S.000Z"),
            "sessionId": f"{dice.getrandbits(128):032x}",
            "extras": {"price": place, "title": "a title of some length", "ok": True},
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
            f'"user {number % 50_000}","properties":{{"price":{place},"title":"a title of some length",'
            f'"nested":{{"a":1,"b":"two"}},"ok":true}},"event":"purchase {place % 50}",'
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


class Connection:
    """One connection with at most one request under way."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self._connect()

    def _connect(self) -> None:
        self.socket = socket.create_connection(self._address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def post(self, head: str, body: bytes) -> None:
        """Send a request."""
        self._received = b""
        self.begun = time.perf_counter()
        self.socket.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)

    def hear(self) -> tuple[int, bytes] | None:
        """The status and the body of the answer, or None if there is more to come."""
        received = self.socket.recv(RECEIVED_BYTES)
        if not received:
            raise SystemExit("The server must keep connections, but closed one.")
        self._received += received
        head, found, body = self._received.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if not found or length is None or len(body) < int(length[1]):
            return None
        return int(head[9:12]), body


def post(  # noqa: PLR0913 - what a load is made of
    kind: str, address: str, key: str, *, seconds: float, connections: int, per_second: float | None
) -> dict[str, object]:
    """Post for a time, as fast as answers come or at a rate; what became of it.

    At a rate, a request that finds no connection free waits for one, and its time counts from
    when it should have been sent.
    """
    path, make, header = KINDS[kind]
    url = urlsplit(address)
    basic = base64.b64encode(f"{key}:".encode()).decode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {url.netloc}\r\nAuthorization: Basic {basic}\r\n"
        f"Content-Type: application/json\r\n{header}"
    )
    body = make()
    statuses: Counter[int] = Counter()
    taken: list[float] = []
    number = 0
    with selectors.DefaultSelector() as selector:
        free: list[Connection] = []
        for _ in range(connections):
            one = Connection((url.hostname or "", url.port or 0))
            selector.register(one.socket, selectors.EVENT_READ, one)
            free.append(one)
        begin = time.perf_counter()
        due: list[float] = []
        scheduled = 0
        under_way = 0
        while True:
            now = time.perf_counter()
            over = now - begin > seconds
            if over and not under_way:
                break
            if per_second is not None:
                while not over and scheduled < (now - begin) * per_second:
                    heapq.heappush(due, begin + scheduled / per_second)
                    scheduled += 1
            while free and not over and (per_second is None or due):
                one = free.pop()
                one.post(head, body(number))
                if per_second is not None:
                    one.begun = heapq.heappop(due)
                number += 1
                under_way += 1
            for event, _ in selector.select(timeout=0.001):
                if (heard := event.data.hear()) is not None:
                    statuses[heard[0]] += 1
                    if heard[0] in {200, 202}:
                        taken.append(time.perf_counter() - event.data.begun)
                    free.append(event.data)
                    under_way -= 1
        elapsed = time.perf_counter() - begin
        for event in list(selector.get_map().values()):
            event.data.socket.close()
    taken.sort()
    return {
        "logs_per_second": len(taken) * LOGS_PER_BATCH / elapsed,
        "logs": len(taken) * LOGS_PER_BATCH,
        "p50_ms": taken[len(taken) // 2] * 1_000 if taken else None,
        "p99_ms": taken[len(taken) * 99 // 100] * 1_000 if taken else None,
        "statuses": dict(statuses),
    }


def main() -> None:
    """Print what became of it as JSON."""
    kind, address, key, seconds, connections, *rate = sys.argv[1:]
    measured = post(
        kind,
        address,
        key,
        seconds=float(seconds),
        connections=int(connections),
        per_second=float(rate[0]) if rate else None,
    )
    print(json.dumps(measured))


if __name__ == "__main__":
    main()
