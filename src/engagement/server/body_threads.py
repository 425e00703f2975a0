"""Threads that decode bodies, in which whoever sends much waits for turns with the others."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Result = TypeVar("Result")


class BodyThreads:
    """Runs work in a few threads; those who wait take turns, whoever came first.

    One sender of many costly bodies delays another's by those that run already, and by no more
    than one of his own for each of the other's.
    """

    def __init__(self, threads: int, *, name: str) -> None:
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._idle = threads
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    async def run(self, sender: str, work: Callable[[], Result]) -> Result:
        """Return what the work gives, when it is the sender's turn.

        Args:
            sender: Whose turn it takes.
            work: What to do.
        """
        if self._idle > 0:
            self._idle -= 1
        else:
            await self._wait_for_turn(sender)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, work)
        finally:
            self._give_turn()

    async def _wait_for_turn(self, sender: str) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(sender, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # it came, and nobody uses it
                self._give_turn()
            raise

    def _give_turn(self) -> None:
        """Give the thread to the next sender, who is then the last of those who wait."""
        while self._waiting:
            sender, turns = self._waiting.popitem(last=False)
            turn = turns.popleft()
            if turns:
                self._waiting[sender] = turns
            if not turn.done():
                turn.set_result(None)
                return
        self._idle += 1
