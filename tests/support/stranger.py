"""Attacks a server from one address, with no key and with a public one, until told to end.

python -m support.stranger ADDRESS SOURCE KEY IDLE SLOW BOMBS < INPUT-THAT-ENDS-THE-ATTACK
"""

import asyncio
import gzip
import json
import resource
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import cycle
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from support.bombs import MIB, repeated
from support.waiting import WAIT_SECONDS_MAX, waiting_for

PATHS = ("/collect/v1/batch", "/v1/batch", "/v1/track")
TRACKING_PATHS = PATHS[1:]
KEPT_ASIDE = "kept aside"
"""Counts answers to bodies of tracking messages with a known key, which are kept as they are."""
ANSWER_BYTES_MAX = 65_536
SLOW_SECONDS = 1.0
"""Between two bytes of a slow body."""
AGAIN_SECONDS = 0.05
"""Before what was closed, or refused, is tried again."""


@contextmanager
def attacking(  # noqa: PLR0913 - what an attack is made of
    address: str, *, source: str, key: str, idle: int, slow: int, bombs: int
) -> Iterator[dict[str, Any]]:
    """An attack by a process of its own; what became of it is in the mapping at the end.

    Args:
        address: The server.
        source: The address of this machine that it comes from.
        key: A public key.
        idle: Connections on which nothing is said.
        slow: Requests whose body does not end.
        bombs: Connections on which one bomb follows another.
    """
    words = [address, source, key, *map(str, (idle, slow, bombs))]
    process = subprocess.Popen(
        [sys.executable, "-m", "support.stranger", *words],
        cwd=Path(__file__).parents[1],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    seen: dict[str, Any] = {}
    try:
        if process.stdout is None:
            raise TypeError("The attack must have an output.")
        with waiting_for("the first answers to an attack"):
            process.stdout.readline()
        yield seen
        output, _ = process.communicate(timeout=WAIT_SECONDS_MAX)  # which ends its input
        seen |= json.loads(output)
    finally:
        process.kill()
        process.wait()


class _Stranger:
    def __init__(self, address: str, source: str, key: str) -> None:
        place = urlsplit(address)
        self._host, self._port = place.hostname or "", place.port or 0
        self._source = source
        self._key = key
        lines = f"Authorization: Bearer {key}\r\n"
        plain = self._head(PATHS[0], 10**6, lines)
        whole = self._head(f"http://x{PATHS[0]}", 10**6, lines)
        # A share must hold however an address is written, and for what comes before an answer.
        self._slow_heads = cycle((plain, whole, self._head(PATHS[0], 0, lines) + plain))
        self.seen: Counter[str] = Counter()
        self.has_bombed = asyncio.Event()

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(
            self._host, self._port, local_addr=(self._source, 0), limit=ANSWER_BYTES_MAX
        )

    async def idle(self) -> None:
        """Hold a connection, and take another when it is closed."""
        while True:
            with suppress(OSError):
                reader, writer = await self.open()
                self.seen["idle"] += 1
                await reader.read()
                writer.close()
            await asyncio.sleep(AGAIN_SECONDS)

    async def slow(self) -> None:
        """Send a body a byte at a time, and another when it is refused."""
        for head in self._slow_heads:
            with suppress(OSError):
                reader, writer = await self.open()
                writer.write(head)
                self.seen["slow"] += 1
                answer = asyncio.ensure_future(reader.read())
                while not answer.done():
                    writer.write(b" ")
                    await asyncio.wait([answer], timeout=SLOW_SECONDS)
                with suppress(OSError):  # of a connection that the server closed
                    answer.result()
                writer.close()
            await asyncio.sleep(AGAIN_SECONDS)

    async def bomb(self) -> None:
        """Send bodies of 65 kB that are 64 MiB, with no key, a wrong one and the public one."""
        zeros = repeated(b"\0", 64 * MIB)
        keyed = gzip.compress(json.dumps({"writeKey": self._key}).encode()[:-1] + b"," + bytes(MIB))
        keys = ("", "Authorization: Bearer nobody\r\n", f"Authorization: Bearer {self._key}\r\n")
        while True:
            for path in PATHS:
                for lines, body in [*((line, zeros) for line in keys), ("", keyed)]:
                    status = await self._post(path, lines, body)
                    # Senders of tracking messages that have a key are told so of every body.
                    is_told = path in TRACKING_PATHS and (lines == keys[-1] or body is keyed)
                    self.seen[KEPT_ASIDE if is_told and status == "200" else status] += 1
            self.has_bombed.set()

    async def _post(self, path: str, lines: str, body: bytes) -> str:
        """The status of an answer, or what came in its place."""
        try:
            reader, writer = await self.open()
            try:
                lines += "Content-Encoding: gzip\r\nConnection: close\r\n"
                writer.write(self._head(path, len(body), lines) + body)
                words = (await reader.read()).split(b" ", 2)
                return words[1].decode() if len(words) > 1 else "closed"
            finally:
                writer.close()
        except OSError:
            await asyncio.sleep(AGAIN_SECONDS)
            return "closed"

    def _head(self, path: str, length: int, lines: str) -> bytes:
        return (
            f"POST {path} HTTP/1.1\r\nHost: x\r\n{lines}Content-Length: {length}\r\n\r\n"
        ).encode()


async def _attack(stranger: _Stranger, *, idle: int, slow: int, bombs: int) -> None:
    """Attack until standard input ends."""
    every = [stranger.idle] * idle + [stranger.slow] * slow + [stranger.bomb] * bombs
    tasks = [asyncio.create_task(each()) for each in every]
    if bombs:
        await stranger.has_bombed.wait()
    sys.stdout.write("attacking\n")
    sys.stdout.flush()
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    sys.stdout.write(json.dumps(stranger.seen))


def main() -> None:
    """Attack as the words say."""
    address, source, key, *counts = sys.argv[1:]
    idle, slow, bombs = map(int, counts)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    stranger = _Stranger(address, source, key)
    asyncio.run(_attack(stranger, idle=idle, slow=slow, bombs=bombs))


if __name__ == "__main__":
    main()
