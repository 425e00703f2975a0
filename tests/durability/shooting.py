"""Posts bodies to a server over connections that stay open, and judges the answers."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from collector import planting

from support.garbage import Garbage
from support.server_process import RunningServer, running_server

CONNECTIONS = 8
ANSWER_SECONDS_MAX = 240
"""Who waits longer takes it for a hang. The promise is 1 s on a machine of its own; the measured
maximum is printed."""
SHOWN_BYTES_MAX = 300
WRONG_MAX = 5
"""So many say enough."""


@dataclass(slots=True, kw_only=True)
class Volley:
    """What became of bodies that were posted."""

    statuses: Counter[int] = field(default_factory=Counter)
    """How often each was answered."""
    kinds: Counter[str] = field(default_factory=Counter)
    """How many there were of each kind."""
    good: list[str] = field(default_factory=list)
    """Names of what must be kept."""
    wrong: list[str] = field(default_factory=list)
    """Each answer that should not have been, and each that did not come."""
    slowest_seconds: float = 0
    """The longest that an answer took."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a server said."""

    status: int
    """Its status code."""
    body: bytes
    """Its content."""
    is_last: bool
    """Whether the connection ends with it."""


@contextmanager
def target(folder: Path, *, plant: str | None = None) -> Iterator[tuple[RunningServer, str]]:
    """A server that may export below a folder, and the key of its one app."""
    settings = {
        "ENGAGEMENT_LOCAL_ROOTS": str(folder),
        "ENGAGEMENT_COLLECT_REQUESTS_PER_MINUTE": "100000000",
        "ENGAGEMENT_REFUSED_BYTES": str(2**36),  # a full one would refuse what comes after
        **planting(plant),
    }
    with running_server(folder / "home", **settings) as server:
        yield server, server.app()["appKey"]


def shoot(
    address: str,
    key: str,
    bodies: Iterable[Garbage],
    *,
    answer_seconds_max: float = ANSWER_SECONDS_MAX,
) -> Volley:
    """Post bodies, several at a time, and compare each answer with what it must be."""
    host, port = address.removeprefix("http://").split(":")
    volley = Volley()

    async def device(left: Iterator[Garbage]) -> None:
        await _device(host, int(port), key, left, volley, answer_seconds_max)

    async def run() -> None:
        left = iter(bodies)
        await asyncio.gather(*(device(left) for _ in range(CONNECTIONS)))

    asyncio.run(run())
    return volley


async def _device(  # noqa: PLR0913, PLR0917
    host: str,
    port: int,
    key: str,
    left: Iterator[Garbage],
    volley: Volley,
    answer_seconds_max: float,
) -> None:
    connection: Connection | None = None
    for item in left:
        if len(volley.wrong) >= WRONG_MAX:
            break
        started = time.monotonic()
        try:
            connection = connection or await Connection.open(host, port, answer_seconds_max)
            answer = await connection.ask(request(item.path, key, item.body, item.headers))
        except (OSError, EOFError, TimeoutError) as error:
            volley.wrong.append(_told(item, type(error).__name__))
            if connection is not None:
                connection.close()
            connection = None
            continue
        volley.slowest_seconds = max(volley.slowest_seconds, time.monotonic() - started)
        volley.statuses[answer.status] += 1
        volley.kinds[item.kind] += 1
        volley.good += item.good
        if not _is_right(item, answer):
            volley.wrong.append(_told(item, f"{answer.status} {answer.body[:SHOWN_BYTES_MAX]!r}"))
        if answer.is_last:
            connection.close()
            connection = None
    if connection is not None:
        connection.close()


def _is_right(item: Garbage, answer: Answer) -> bool:
    if answer.status not in item.statuses:
        return False
    if item.bad is None or answer.status != 202:
        return True
    content = json.loads(answer.body)
    return (content["accepted"], len(content["refused"])) == (len(item.good), item.bad)


def _told(item: Garbage, what: str) -> str:
    headers = {name: value[:20] for name, value in item.headers.items()}
    shown = item.body[:SHOWN_BYTES_MAX]
    return f"{item.kind} at {item.path}: {what} of {len(item.body)} bytes {shown!r} {headers}"


def request(path: str, key: str, body: bytes, headers: Mapping[str, str] | None = None) -> bytes:
    """A whole request with the key of an app; its length is right unless the headers tell it."""
    defaults = {
        "Host": "collector",
        "Authorization": f"Bearer {key}",
        "Content-Length": str(len(body)),
    }
    lines = [f"{name}: {value}" for name, value in {**defaults, **(headers or {})}.items()]
    return "\r\n".join([f"POST {path} HTTP/1.1", *lines, "", ""]).encode("latin-1") + body


class Connection:
    """A connection that stays open from one request to the next."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        answer_seconds_max: float,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._answer_seconds_max = answer_seconds_max

    @classmethod
    async def open(
        cls, host: str, port: int, answer_seconds_max: float = ANSWER_SECONDS_MAX
    ) -> "Connection":
        """A new one."""
        return cls(*await asyncio.open_connection(host, port), answer_seconds_max)

    async def ask(self, sent: bytes, *, is_all: bool = False) -> Answer:
        """What is answered to something.

        Args:
            sent: The bytes of a request, or of what is none.
            is_all: Whether the server is told that nothing else will come.

        Raises:
            EOFError: The connection ended without an answer.
            TimeoutError: None came in time.
        """
        async with asyncio.timeout(self._answer_seconds_max):
            self._writer.write(sent)
            if is_all:
                self._writer.write_eof()
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            lines = head.split("\r\n")
            headers = dict(line.split(": ", 1) for line in lines[1:] if line)
            if "content-length" in headers:
                body = await self._reader.readexactly(int(headers["content-length"]))
            else:
                body = await self._reader.read()
        return Answer(
            status=int(lines[0].split()[1]),
            body=body,
            is_last=headers.get("connection") == "close" or "content-length" not in headers,
        )

    def close(self) -> None:
        """End it at once."""
        self._writer.transport.abort()
