"""Stands between us and a storage server, and lets some requests fail in the ways that lines do."""

import random
import threading
from contextlib import AbstractContextManager

from support.http_servers import Relay, RelayedAnswer, RelayHandler, serve

FAULTS = ("unavailable", "throttled", "refused", "cut", "unanswered")
"""503; 429 with Retry-After; closed at once; half of it passed on; passed on and not answered."""


class FaultyServer(Relay):
    """Passes requests on, but for those that the dice choose."""

    def __init__(self, endpoint: str, *, percent: int, seed: float) -> None:
        self._percent = percent
        self._dice = random.Random(seed)  # noqa: S311 - faults, not secrets
        self._lock = threading.Lock()
        self.faults = 0
        super().__init__(endpoint, _Handler)

    def choose(self) -> str | None:
        """What happens to the next request; None if nothing."""
        with self._lock:
            if self._dice.randrange(100) >= self._percent:
                return None
            self.faults += 1
            return self._dice.choice(FAULTS)


def faulty(endpoint: str, *, percent: int, seed: float) -> AbstractContextManager[FaultyServer]:
    """A server before another one, of which so many requests in a hundred fail."""
    return serve(FaultyServer(endpoint, percent=percent, seed=seed))


class _Handler(RelayHandler):
    server: FaultyServer

    def relay(self, body: bytes) -> None:
        fault = self.server.choose()
        if fault == "refused":
            self.break_line()
        elif fault in {"unavailable", "throttled"}:
            status = 503 if fault == "unavailable" else 429
            headers = [("Retry-After", "0")]
            self.answer(RelayedAnswer(status=status, headers=headers, body=b"", length="0"))
        else:
            answer = self.pass_on(body, is_cut=fault == "cut")
            if answer is not None and fault == "unanswered":
                self.break_line()
            elif answer is not None:
                self.answer(answer)
