"""Tells open pages what changed, by one look a second at all that they watch together."""

import asyncio
import json
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from typing import Any

import structlog
from starlette.concurrency import run_in_threadpool

LOOK_SECONDS = 1.0
KEEP_ALIVE_SECONDS = 15.0
STREAM_SECONDS_MAX = 600.0
"""After so long the browser comes again, and its rights are read anew."""
STREAMS_MAX = 500
SESSION_STREAMS_MAX = 20
TOPICS_MAX = 20
RETRY_MILLISECONDS = (2_000, 5_000)
"""Browsers come back at different moments after a restart."""
_log = structlog.get_logger()

Values = Mapping[str, Any]
Reader = Callable[[frozenset[str]], Values]
"""Returns what each topic holds now; a topic that is gone is left out."""


class TooManyStreamsError(Exception):
    """The session, or the process, has as many streams as it may."""


class Stream:
    """What one page watches; it only ever waits for the newest value of each topic."""

    def __init__(self, topics: frozenset[str]) -> None:
        self.topics = topics
        self._offered: dict[str, Any] = {}
        self._pending: dict[str, Any] = {}
        self._is_changed = asyncio.Event()

    def offer(self, topic: str, value: Any) -> None:
        """Replace what waits to be sent of a topic, if it differs from what was offered last."""
        if topic in self._offered and self._offered[topic] == value:
            return
        self._offered[topic] = self._pending[topic] = value
        self._is_changed.set()

    def offer_all(self, topics: frozenset[str], values: Values) -> None:
        """Offer what of these topics the page watches; one that is gone has no value."""
        for topic in sorted(self.topics & topics):
            self.offer(topic, values.get(topic))

    async def take(self, seconds: float) -> dict[str, Any]:
        """Return what changed, as soon as something did; nothing when the time is over."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._is_changed.wait()
        self._is_changed.clear()
        taken, self._pending = self._pending, {}
        return taken


class LiveHub:
    """Asks for all watched topics once a second, and for nothing while nobody watches."""

    def __init__(self, read: Reader, *, is_stopping: Callable[[], bool]) -> None:
        self._read = read
        self.is_stopping = is_stopping
        self._streams: dict[Stream, str] = {}
        self._task: asyncio.Task[None] | None = None

    def read_now(self, topics: frozenset[str]) -> Values:
        """Return what topics hold now."""
        return self._read(topics)

    async def watch(self, session_id: str, topics: frozenset[str]) -> AsyncIterator[bytes]:
        """Return the lines of an event stream, each topic's value first.

        Raises:
            TooManyStreamsError: There are as many as there may be.
        """
        of_session = Counter(self._streams.values())[session_id]
        if len(self._streams) >= STREAMS_MAX or of_session >= SESSION_STREAMS_MAX:
            raise TooManyStreamsError
        return self._lines(session_id, Stream(topics))

    async def _lines(self, session_id: str, stream: Stream) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + STREAM_SECONDS_MAX
        spread = RETRY_MILLISECONDS[1] - RETRY_MILLISECONDS[0]
        self._streams[stream] = session_id  # only now, so that a stream nobody reads is none
        try:
            yield f"retry: {RETRY_MILLISECONDS[0] + secrets.randbelow(spread)}\n\n".encode()
            stream.offer_all(stream.topics, await run_in_threadpool(self._read, stream.topics))
            yield _lines_of(await stream.take(0))
            self._begin()
            silent = 0.0
            while loop.time() < ends_at and not self.is_stopping():
                changed = await stream.take(LOOK_SECONDS)
                if changed:
                    yield _lines_of(changed)
                    silent = 0.0
                    continue
                silent += LOOK_SECONDS
                if silent >= KEEP_ALIVE_SECONDS:
                    yield b":\n\n"
                    silent = 0.0
        finally:
            self._streams.pop(stream, None)

    def _begin(self) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._look_on())

    async def _look_on(self) -> None:
        """Look once a second for as long as somebody watches."""
        while self._streams and not self.is_stopping():
            await asyncio.sleep(LOOK_SECONDS)
            topics = frozenset().union(*(stream.topics for stream in self._streams))
            try:
                values = await run_in_threadpool(self._read, topics)
            except Exception as error:  # noqa: BLE001 - the database may be back in a second
                _log.warning("live_values_not_read", error=type(error).__name__)
                continue
            for stream in self._streams:
                stream.offer_all(topics, values)


def _lines_of(changed: Values) -> bytes:
    return b"".join(_event(topic, value) for topic, value in changed.items())


def _event(topic: str, value: Any) -> bytes:
    """An event with a topic's whole new value; one that is gone says so."""
    name = "gone" if value is None else "state"
    return f"event: {name}\ndata: {json.dumps({'topic': topic, 'value': value})}\n\n".encode()
