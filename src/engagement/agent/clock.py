"""The agent's clock: what time it is, and waiting for it to pass."""

import threading
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """The device's clock."""

    def now(self) -> datetime:
        """The instant, aware."""

    def wait(self, event: threading.Event, seconds: float) -> None:
        """Return when the event is set or the seconds are over."""


class SystemClock:
    """The clock of this machine."""

    def now(self) -> datetime:
        """The instant, in UTC."""
        return datetime.now(UTC)

    def wait(self, event: threading.Event, seconds: float) -> None:
        """Return when the event is set or the seconds are over."""
        event.wait(seconds)
