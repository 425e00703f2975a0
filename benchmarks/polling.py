"""Asks an HTTP server for the same thing over and over and says how fast it answers.

    python -m benchmarks.polling ADDRESS PATH SECONDS CONNECTIONS < headers

One thread, one request under way on each connection, no parsing beyond the length: the asker must
cost little beside the server that it measures.
"""

import json
import re
import selectors
import socket
import sys
import time
from urllib.parse import urlsplit

WARM_UP_SECONDS = 1.0
RECEIVED_BYTES = 65_536
_LENGTH = re.compile(rb"content-length: *([0-9]+)", re.IGNORECASE)


class Connection:
    """One connection with one request under way."""

    def __init__(self, address: tuple[str, int], request: bytes) -> None:
        self.socket = socket.create_connection(address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._request = request
        self._received = b""
        self._begun = 0.0

    def ask(self) -> None:
        """Send the request again."""
        self._received = b""
        self._begun = time.perf_counter()
        self.socket.sendall(self._request)

    def hear(self) -> float | None:
        """Seconds from the request to the whole answer, or None if there is more to come."""
        self._received += self.socket.recv(RECEIVED_BYTES)
        head, found, body = self._received.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if not found or length is None or len(body) < int(length[1]):
            return None
        if not head.startswith(b"HTTP/1.1 200"):
            raise SystemExit(f"The server must answer 200, got {head[:200]!r}.")
        return time.perf_counter() - self._begun


def poll(address: str, request: bytes, *, seconds: float, connections: int) -> list[float]:
    """The seconds that each answer took, of requests that were sent within the time."""
    url = urlsplit(address)
    taken: list[float] = []
    with selectors.DefaultSelector() as selector:
        for _ in range(connections):
            connection = Connection((url.hostname or "", url.port or 0), request)
            selector.register(connection.socket, selectors.EVENT_READ, connection)
            connection.ask()
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            for key, _ in selector.select(timeout=1):
                if (heard := key.data.hear()) is not None:
                    taken.append(heard)
                    key.data.ask()
        for key in list(selector.get_map().values()):
            key.data.socket.close()
    return taken


def main() -> None:
    """Print requests a second and the 50th and 99th percentile in milliseconds."""
    address, path, seconds, connections = sys.argv[1:]
    host = urlsplit(address).netloc
    lines = [f"GET {path} HTTP/1.1", f"Host: {host}", *sys.stdin.read().splitlines()]
    request = ("\r\n".join(lines) + "\r\n\r\n").encode()
    poll(address, request, seconds=WARM_UP_SECONDS, connections=int(connections))
    taken = sorted(poll(address, request, seconds=float(seconds), connections=int(connections)))
    print(
        json.dumps(
            {
                "per_second": len(taken) / float(seconds),
                "p50_ms": taken[len(taken) // 2] * 1_000,
                "p99_ms": taken[len(taken) * 99 // 100] * 1_000,
            }
        )
    )


if __name__ == "__main__":
    main()
