"""Tests that whoever hands in much work waits for turns with the others."""

import asyncio
import threading
from collections.abc import Sequence

import pytest

from engagement.server.body_threads import BodyThreads
from support.waiting import wait_for_event


def order_of(senders: Sequence[str], *, cancelled: Sequence[int] = ()) -> list[str]:
    """In what order work is done that is handed in while the one thread is busy."""
    done: list[str] = []
    may_begin = threading.Event()

    async def hand_in() -> None:
        threads = BodyThreads(1, name="test")
        busy = asyncio.create_task(
            threads.run("busy", lambda: wait_for_event(may_begin, "others that wait"))
        )
        tasks = [
            asyncio.create_task(threads.run(sender, lambda sender=sender: done.append(sender)))
            for sender in senders
        ]
        await asyncio.sleep(0)  # each has asked for its turn
        for place in cancelled:
            tasks[place].cancel()
        may_begin.set()
        await asyncio.gather(busy, *tasks, return_exceptions=True)

    asyncio.run(hand_in())
    return done


def test_senders_take_turns_however_much_each_hands_in() -> None:
    assert order_of(["a", "a", "a", "a", "b", "c", "b"]) == ["a", "b", "c", "a", "b", "a", "a"]


def test_who_goes_away_leaves_its_turn_to_the_next() -> None:
    assert order_of(["a", "a", "b"], cancelled=[0]) == ["b", "a"]
    assert order_of(["a", "b"], cancelled=[0, 1]) == []


def test_no_more_runs_at_once_than_there_are_threads() -> None:
    all_run = threading.Barrier(2)

    async def hand_in() -> int:
        threads = BodyThreads(2, name="test")
        # Three at once would leave one alone at the barrier, which breaks then.
        return len(
            await asyncio.gather(*(threads.run(f"{number}", all_run.wait) for number in range(4)))
        )

    assert asyncio.run(hand_in()) == 4


def test_what_fails_gives_its_turn_on() -> None:
    def fail() -> None:
        raise ValueError("no such body")

    async def hand_in() -> str:
        threads = BodyThreads(1, name="test")
        with pytest.raises(ValueError, match="no such body"):
            await threads.run("a", fail)
        return await threads.run("a", lambda: "done")

    assert asyncio.run(hand_in()) == "done"
