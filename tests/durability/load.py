"""A process that posts logs as devices do, and writes down what became of them.

    python tests/durability/load.py LOG PORT --app KEY… [--drop SHARE] [--seed N]

It shares no code with the service: plain sockets, two protocols, a log of its own. Every log has
a name of its own, so that an export tells which logs it holds. A batch that was not acknowledged is
sent again, the same, until it is. It ends when its standard input says `settle`, once every
batch is acknowledged, or at once when its standard input ends.
"""

import argparse
import asyncio
import base64
import json
import os
import random
import sys
import time
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

CONNECTIONS = 8
LOGS_MAX = 20
PAUSE_SECONDS = 0.02
"""Between two requests of a connection; with all of them about a thousand logs a second."""
AGAIN_SECONDS = 0.2
ANSWER_SECONDS_MAX = 240
"""Who waits longer takes it for a hang."""
SETTLE_SECONDS_MAX = 600
EXIT_UNSETTLED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Logs that are sent at once, the same bytes however often."""

    number: int
    """Its place in the run."""
    app: int
    """Which of the apps it is for."""
    logs: int
    """How many logs it holds, named `{number}.{place}`."""
    request: bytes
    """The whole request."""


def make_batch(seed: int, number: int, keys: list[str], pad: int) -> Batch:
    """The batch of a number, which follows from the seed but for its times."""
    dice = random.Random(f"{seed} {number}")  # noqa: S311 - a plan to be repeated, not a secret
    app, logs = dice.randrange(len(keys)), dice.randint(1, LOGS_MAX)
    make = dice.choice([_native, _tracking])
    return Batch(
        number=number,
        app=app,
        logs=logs,
        request=make(keys[app], f"{seed}-{number}", number, logs, pad),
    )


def _native(key: str, batch_id: str, number: int, logs: int, pad: int) -> bytes:
    now = datetime.now(UTC).isoformat()
    content = {
        "batchId": batch_id,
        "sentAt": now,
        "deviceId": f"device {number % 50}",
        "logs": [
            {
                "type": "activity" if place % 5 == 0 else "event",
                "name": f"{number}.{place}",
                "timestamp": now,
                "extras": {"pad": "x" * pad},
            }
            for place in range(logs)
        ],
    }
    return _request("/collect/v1/batch", f"Bearer {key}", content)


def _tracking(key: str, batch_id: str, number: int, logs: int, pad: int) -> bytes:
    now = datetime.now(UTC).isoformat()
    messages: list[dict[str, Any]] = [
        {
            "type": "screen" if place % 5 == 0 else "track",
            "name" if place % 5 == 0 else "event": f"{number}.{place}",
            "messageId": f"{batch_id}-{place}",
            "anonymousId": f"device {number % 50}",
            "timestamp": now,
            "properties": {"pad": "x" * pad},
        }
        for place in range(logs)
    ]
    basic = base64.b64encode(f"{key}:".encode()).decode()
    return _request("/v1/batch", f"Basic {basic}", {"batch": messages, "sentAt": now})


def _request(path: str, authorization: str, content: dict[str, Any]) -> bytes:
    body = json.dumps(content).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: collector\r\nAuthorization: {authorization}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class Log:
    """What happened, a JSON array a line; each line is the kernel's before anything follows."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def write(self, what: str, batch: Batch, *more: object) -> None:
        """Note what happened to a batch, with the instant on the clock that all processes share."""
        line = [time.monotonic(), what, batch.number, *more]
        os.write(self._file, json.dumps(line).encode() + b"\n")

    def close(self) -> None:
        """Return only when everything is on disk."""
        os.fsync(self._file)
        os.close(self._file)


class Load:
    """Devices that post over connections of their own."""

    def __init__(self, log: Log, given: argparse.Namespace) -> None:
        self._log = log
        self._given = given
        self._dice = random.Random(given.seed)  # noqa: S311
        self._made = 0
        self._again: deque[Batch] = deque()
        self._under_way = 0
        self._is_settling = False

    def settle(self) -> None:
        """Make no more batches."""
        self._is_settling = True

    async def run(self) -> None:
        """Post until everything is acknowledged after `settle`."""
        await asyncio.gather(*(self._device() for _ in range(self._given.connections)))

    async def _device(self) -> None:
        connection: _Connection | None = None
        while (batch := self._next()) is not None or self._under_way or self._again:
            if batch is None:
                await asyncio.sleep(PAUSE_SECONDS)
                continue
            self._under_way += 1
            try:
                connection = connection or await _Connection.open(self._given.port)
                is_kept = await self._post(connection, batch)
            except (OSError, EOFError, TimeoutError) as error:
                self._log.write("unknown", batch, type(error).__name__)
                is_kept = False
                self._again.append(batch)
            self._under_way -= 1
            if not is_kept and connection is not None:
                connection.close()
                connection = None
            await asyncio.sleep(PAUSE_SECONDS if is_kept else AGAIN_SECONDS)

    def _next(self) -> Batch | None:
        if self._again:
            return self._again.popleft()
        if self._is_settling:
            return None
        self._made += 1
        return make_batch(self._given.seed, self._made, self._given.app, self._given.pad)

    async def _post(self, connection: "_Connection", batch: Batch) -> bool:
        """Send a batch and note what became of it; whether the connection is still of use."""
        self._log.write("sent", batch, batch.app, batch.logs)
        if self._dice.random() < self._given.drop:
            await connection.send(batch.request, within=self._dice.uniform(0, 0.05))
            raise ConnectionAbortedError
        status, retry_after = await connection.ask(batch.request)
        self._log.write("answered", batch, status, retry_after)
        if status not in {200, 202}:
            self._again.append(batch)
            return False
        return True


class _Connection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, port: int) -> "_Connection":
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def send(self, request: bytes, *, within: float) -> None:
        """Send, and leave the answer alone."""
        self._writer.write(request)
        await self._writer.drain()
        await asyncio.sleep(within)

    async def ask(self, request: bytes) -> tuple[int, str | None]:
        """The answer's status and Retry-After."""
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            self._writer.write(request)
            await self._writer.drain()
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            lines = head.split("\r\n")
            headers = dict(line.split(": ", 1) for line in lines[1:] if line)
            await self._reader.readexactly(int(headers["content-length"]))
        return int(lines[0].split()[1]), headers.get("retry-after")

    def close(self) -> None:
        self._writer.transport.abort()


async def _run(load: Load) -> None:
    """Post until told otherwise on standard input."""
    orders = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    posting = asyncio.create_task(load.run())
    if await orders.readline():
        load.settle()
        async with asyncio.timeout(SETTLE_SECONDS_MAX):
            await posting
    posting.cancel()


def main() -> int:
    """Post, and leave the log."""
    parser = argparse.ArgumentParser()
    parser.add_argument("log", type=Path)
    parser.add_argument("port", type=int)
    parser.add_argument("--app", action="append", required=True, help="Key of an app.")
    parser.add_argument("--drop", type=float, default=0, help="Share of answers not waited for.")
    parser.add_argument("--pad", type=int, default=10, help="Characters to fill each log with.")
    parser.add_argument("--connections", type=int, default=CONNECTIONS)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    given = parser.parse_args()
    sys.stdout.write(f"seed {given.seed}\n")
    sys.stdout.flush()
    log = Log(given.log)
    try:
        asyncio.run(_run(Load(log, given)))
    except TimeoutError:
        return EXIT_UNSETTLED
    finally:
        log.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
