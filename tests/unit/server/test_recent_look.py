"""Tests that a look is shared by all who ask within a moment."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from engagement.server.recent_look import RECENT_SECONDS, RecentLook
from support.waiting import wait_for, wait_for_event


class CountedLook:
    """Counts how often it is looked at, and lets nobody see before it may."""

    def __init__(self) -> None:
        self.now = 0.0
        self.looks = 0
        self.may_be_seen = threading.Event()
        self.may_be_seen.set()
        self.is_broken = False
        self.recent = RecentLook(self.look, clock=lambda: self.now)

    def look(self) -> int:
        self.looks += 1
        wait_for_event(self.may_be_seen, "a place that may be seen")
        if self.is_broken:
            raise OSError("broken")
        return self.looks


@pytest.fixture
def counted() -> CountedLook:
    return CountedLook()


def test_who_asks_within_a_second_is_told_the_same(counted: CountedLook) -> None:
    assert counted.looks == 0
    assert [counted.recent.read() for _ in range(3)] == [1, 1, 1]

    counted.now += RECENT_SECONDS
    assert asyncio.run(counted.recent.wait()) == counted.recent.read() == 2


def test_those_who_come_during_a_look_share_it(counted: CountedLook) -> None:
    async def ask() -> list[int]:
        calls = [asyncio.create_task(counted.recent.wait()) for _ in range(300)]
        given_up = asyncio.create_task(counted.recent.wait())
        await asyncio.to_thread(lambda: wait_for(lambda: counted.looks == 1, "the first look"))
        given_up.cancel()  # whose look others go on with
        counted.may_be_seen.set()
        return await asyncio.gather(*calls)

    counted.may_be_seen.clear()
    assert asyncio.run(ask()) == [1] * 300

    counted.now += RECENT_SECONDS
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(lambda _: counted.recent.read(), range(8))) == [2] * 8


def test_a_look_that_fails_is_told_to_those_who_wait_and_then_made_again(
    counted: CountedLook,
) -> None:
    async def ask() -> list[int | BaseException]:
        waiting = (counted.recent.wait() for _ in range(9))
        return await asyncio.gather(*waiting, return_exceptions=True)

    counted.is_broken = True
    assert {type(found) for found in asyncio.run(ask())} == {OSError}
    assert counted.looks == 1

    counted.is_broken = False
    assert counted.recent.read() == 2
