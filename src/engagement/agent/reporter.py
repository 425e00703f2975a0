"""What all reports go through: one thread at a time, in the name of one device."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from engagement.agent.clock import Clock
from engagement.agent.device import device_head
from engagement.agent.queue import Queue
from engagement.agent.records import add_end
from engagement.model.records import new_guid


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """An activity or a job that has not ended."""

    number: int | None
    """Its record's number in the queue; None if that was lost."""
    record: str
    """Its record so far."""
    started_at: datetime
    """When it began."""


class Reporter:
    """Puts records into a queue, each with who reports it."""

    def __init__(
        self,
        queue: Queue,
        clock: Clock,
        *,
        device_id: str | None,
        info: Mapping[str, str | int],
    ) -> None:
        """Report into a queue.

        Args:
            queue: What was reported and not yet delivered.
            clock: What tells the time.
            device_id: The device; the one that the queue remembers if None, which is made once.
            info: What the device is like.
        """
        self.queue = queue
        """What was reported and not yet delivered."""
        self.device_id = device_id or queue.fact("device_id") or new_guid()
        """The device, as batches name it."""
        self._clock = clock
        self._info = info
        self._mutex = threading.RLock()
        self._head = device_head(self.device_id, queue.fact("user_id"), info)
        queue.remember("device_id", self.device_id)

    @contextmanager
    def turn(self) -> Iterator[datetime]:
        """The instant, while no other thread reports anything.

        Raises:
            BadInputError: The agent is closed, or belongs to another process.
        """
        self.queue.check_is_ours()
        with self._mutex:
            yield self._clock.now()

    def set_user_id(self, user_id: str | None) -> None:
        """Return when all later records, in later runs too, will name this user.

        Raises:
            BadInputError: It is none that a batch can hold.
        """
        self._head = device_head(self.device_id, user_id, self._info)
        self.queue.remember("user_id", user_id)

    def report(self, record: str, *, is_crash: bool = False) -> None:
        """Return when the record is on disk, or counted as lost."""
        self.queue.add(self._head, record, is_crash=is_crash)

    def begin(self, record: str, at: datetime) -> Running:
        """Return when the record is on disk, to be reported without an end if none comes."""
        number = self.queue.add(self._head, record, is_open=True)
        return Running(number=number, record=record, started_at=at)

    def end(self, running: Running, at: datetime) -> datetime:
        """Return when the end is on disk.

        Returns:
            The end, which is not before the start even if the clock was set back.
        """
        end = max(at, running.started_at)
        if running.number is not None:
            self.queue.end(running.number, self._head, add_end(running.record, end))
        return end

    def report_last(self, record: str) -> None:
        """Return when the crash of this process is on disk, even if the agent is closed already.

        A forked process has no agent, so nothing happens there.

        Raises:
            BadInputError: The folder cannot be used any more.
            HomeBusyError: Another agent has it by now.
        """
        if self.queue.is_ours:
            self.report(record, is_crash=True)
        elif self.queue.is_of_this_process:
            queue = self.queue.reopen()
            queue.add(self._head, record, is_crash=True)
            queue.close()
