"""Remembers until when each container asked to be left alone, by `Retry-After`."""

import re
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

PAUSE_SECONDS_MAX = 60.0
"""A container that asks for longer is tried again after this, so that it cannot hold a task."""
_SECONDS = re.compile(r"\d{1,9}", re.ASCII)


def parse_retry_after(value: str | None, *, now: datetime) -> float:
    """Return the seconds that a `Retry-After` asks for, bounded; 0 if it is none.

    Args:
        value: Whole seconds or an HTTP date.
        now: What an HTTP date is compared with.
    """
    text = (value or "").strip()
    if _SECONDS.fullmatch(text):
        return min(float(text), PAUSE_SECONDS_MAX)
    try:
        instant = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return 0.0
    if instant.tzinfo is None:  # a date of HTTP is in GMT, whether it says so or not
        instant = instant.replace(tzinfo=UTC)
    return min(max((instant - now).total_seconds(), 0.0), PAUSE_SECONDS_MAX)


class Pauses:
    """Who is to be left alone, and until when; containers do not stop one another."""

    def __init__(
        self,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._monotonic, self._now = monotonic, now
        self._until: dict[str, float] = {}
        self._lock = threading.Lock()

    def note(self, container: str, retry_after: str | None) -> None:
        """Ask nothing more of a container before the time that it said."""
        seconds = parse_retry_after(retry_after, now=self._now())
        if not seconds:
            return
        with self._lock:
            now = self._monotonic()
            # What has passed is forgotten here, so that it never is more than one pause holds.
            self._until = {name: until for name, until in self._until.items() if until > now}
            self._until[container] = max(self._until.get(container, 0.0), now + seconds)

    def seconds_left(self, container: str) -> float:
        """How long the container still is to be left alone."""
        with self._lock:
            return max(0.0, self._until.get(container, 0.0) - self._monotonic())
