"""Keeps for a moment what a look at the database found, however many ask for it."""

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

RECENT_SECONDS = 1.0
"""How old an answer to those who watch over the server may be."""

Found = TypeVar("Found")


class RecentLook(Generic[Found]):
    """Looks at most once at a time and once a second; whoever asks meanwhile shares what is found.

    Anybody may ask, so what it costs must not grow with how often they do, and those who wait must
    not take the threads that others need.
    """

    def __init__(
        self,
        look: Callable[[], Found],
        *,
        seconds: float = RECENT_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Look at nothing yet.

        Args:
            look: Finds what is asked for; may take long.
            seconds: How long that is good for, from before the look.
            clock: Seconds that only grow.
        """
        self._look = look
        self._seconds = seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._last: tuple[Found, float] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="look")
        self._looking: asyncio.Future[Found] | None = None

    def read(self) -> Found:
        """Return what was found a moment ago, or is found now; for threads, which may wait.

        Whatever the look raises is raised, and the next who asks looks again.
        """
        with self._lock:
            now = self._clock()
            if self._last is None or now >= self._last[1]:
                self._last = (self._look(), now + self._seconds)
            return self._last[0]

    async def wait(self) -> Found:
        """Return the same in the event loop, which goes on meanwhile.

        Whatever the look raises is raised to all who wait for it.
        """
        last = self._last
        if last is not None and self._clock() < last[1]:
            return last[0]
        if self._looking is None or self._looking.done():
            self._looking = asyncio.get_running_loop().run_in_executor(self._thread, self.read)
        return await asyncio.shield(self._looking)
