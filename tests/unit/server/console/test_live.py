"""Tests what pages that listen are told, how often is asked for it, and what ends it."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest

from engagement.server.console import live
from engagement.server.console.live import LiveHub, TooManyStreamsError


class Source:
    """Values by topic, and how often they were asked for."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {"a": 1, "b": 2}
        self.looks: list[frozenset[str]] = []
        self.failures = 0
        self.is_stopping = False
        self.hub = LiveHub(self.read, is_stopping=lambda: self.is_stopping)

    def read(self, topics: frozenset[str]) -> dict[str, Any]:
        if self.failures:
            self.failures -= 1
            raise OSError
        self.looks.append(topics)
        return {topic: self.values[topic] for topic in topics if topic in self.values}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "LOOK_SECONDS", 0.01)


def _run(test: Callable[[Source], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(test(Source()))


async def _next_events(lines: AsyncIterator[bytes]) -> list[tuple[str, Any]]:
    """What the next events say, as topics with their values."""
    async for chunk in lines:
        data = [line[6:] for line in chunk.decode().splitlines() if line.startswith("data: ")]
        if data:
            return [(item["topic"], item["value"]) for item in map(json.loads, data)]
    return []


def test_each_topic_is_told_at_once_and_then_when_it_changes() -> None:
    async def test(source: Source) -> None:
        lines = await source.hub.watch("s", frozenset("ab"))

        assert await _next_events(lines) == [("a", 1), ("b", 2)]
        source.values["b"] = 3
        assert await _next_events(lines) == [("b", 3)]
        del source.values["a"]
        assert await _next_events(lines) == [("a", None)]

    _run(test)


def test_a_page_that_is_opened_takes_no_change_from_one_that_is_open() -> None:
    async def test(source: Source) -> None:
        lines = await source.hub.watch("s", frozenset("a"))
        await _next_events(lines)
        source.values["a"] = 2
        others = await source.hub.watch("s", frozenset("a"))

        assert await _next_events(others) == [("a", 2)]
        assert await _next_events(lines) == [("a", 2)]
        await others.aclose()

    _run(test)


def test_browsers_come_back_at_different_moments() -> None:
    async def test(source: Source) -> None:
        first = [
            await anext(await source.hub.watch(str(number), frozenset("a"))) for number in range(9)
        ]

        waits = {int(line.decode().split()[1]) for line in first}
        assert len(waits) > 1
        assert all(2_000 <= wait < 5_000 for wait in waits)

    _run(test)


def test_all_who_watch_share_one_look_and_nobody_is_looked_for_none() -> None:
    async def test(source: Source) -> None:
        streams = [
            await source.hub.watch(str(number), frozenset(topic))
            for number, topic in enumerate("aab")
        ]
        for lines in streams:
            await _next_events(lines)
        source.looks.clear()
        source.values |= {"a": 5, "b": 6}
        heard = await asyncio.gather(*map(_next_events, streams))

        assert heard == [[("a", 5)], [("a", 5)], [("b", 6)]]
        assert set(source.looks) == {frozenset("ab")}
        for lines in streams:
            await lines.aclose()

    _run(test)


def test_a_slow_reader_gets_the_newest_value_alone() -> None:
    async def test(source: Source) -> None:
        stream = live.Stream(frozenset("a"))
        for number in range(1_000):
            stream.offer("a", number)

        assert await stream.take(1) == {"a": 999}
        assert await stream.take(0) == {}

    _run(test)


def test_streams_end_when_the_server_does() -> None:
    async def test(source: Source) -> None:
        lines = await source.hub.watch("s", frozenset("a"))
        await _next_events(lines)

        source.is_stopping = True

        assert [line async for line in lines] == []

    _run(test)


def test_a_session_has_so_many_streams_and_no_more() -> None:
    async def test(source: Source) -> None:
        streams = [
            await source.hub.watch("s", frozenset("a")) for _ in range(live.SESSION_STREAMS_MAX)
        ]
        for lines in streams:
            await _next_events(lines)

        with pytest.raises(TooManyStreamsError):
            await source.hub.watch("s", frozenset("a"))
        await source.hub.watch("other", frozenset("a"))

    _run(test)


def test_a_look_that_fails_is_not_the_last() -> None:
    async def test(source: Source) -> None:
        lines = await source.hub.watch("s", frozenset("a"))
        await _next_events(lines)
        source.failures = 2
        source.values["a"] = 7

        assert await _next_events(lines) == [("a", 7)]
        assert source.failures == 0

    _run(test)
