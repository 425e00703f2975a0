"""Tells how old things are by how long machines were seen running, not by the clock alone."""

import hashlib
import secrets
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import structlog

from engagement.store.queries.clock_readings import ClockReadingQueries, Reading, Uptime

CONFIRMED_AFTER = timedelta(days=7)
"""Running time after which what the clock shows since a jump is taken for right."""
CLOCK_MOVED_MIN = timedelta(hours=1)
"""By how much a clock must have moved by itself to be told; restarts and corrections move less."""

_log = structlog.get_logger()


def read_uptime() -> Uptime:
    """How long this machine has run, asleep or awake; what its clock is set to does not count."""
    nanoseconds = time.clock_gettime_ns(_UPTIME_CLOCK)
    return Uptime(boot_id=_BOOT_ID, running=timedelta(microseconds=nanoseconds // 1_000))


class RunningTime:
    """Ages of what is to be forgotten, which may come out too low but never too high.

    A clock that jumps and a machine that was off look alike, so neither makes anything older. Old
    is what was kept before everything that the clock has shown in so much time of running.
    """

    def __init__(
        self,
        readings: ClockReadingQueries,
        *,
        clock: Callable[[], datetime],
        uptime: Callable[[], Uptime],
    ) -> None:
        self._readings = readings
        self._clock = clock
        self._uptime = uptime

    def look(self) -> Reading:
        """Record what the clock shows, which is to be done often; a jump is logged."""
        reading, last = self._readings.record(self._uptime(), now=self._clock())
        if last is not None and abs(reading.began_at - last.began_at) >= CLOCK_MOVED_MIN:
            _log.warning(
                "clock_moved",
                seconds=(reading.began_at - last.began_at) // timedelta(seconds=1),
                message="The clock moved by more than this machine was seen running. It was off, "
                "or its clock was set; nothing is forgotten by the new time until that is running "
                "time too.",
            )
        return reading

    def old_before(self, age: timedelta) -> datetime | None:
        """The instant such that all that was kept before it is of an age at least.

        Returns:
            It; None while machines have not been seen running for that long.
        """
        running = self.look().running
        least, is_enough = self._readings.find_least_began_at(running - age)
        return least + (running - age) if least is not None and is_enough else None

    def estimate_now(self) -> datetime:
        """What the clock shows, less the jumps that running has not confirmed yet."""
        reading = self.look()
        least = self._least_confirmed(reading)
        return least + reading.running

    def measure_unconfirmed(self) -> timedelta:
        """How much of what the clock showed last is a jump that running has not confirmed yet."""
        last = self._readings.last()
        return timedelta(0) if last is None else last.began_at - self._least_confirmed(last)

    def _least_confirmed(self, reading: Reading) -> datetime:
        least, _ = self._readings.find_least_began_at(reading.running - CONFIRMED_AFTER)
        return reading.began_at if least is None else least


def _find_boot_id() -> str:
    """Which start of which machine this is; where the system doesn't tell, of which process."""
    try:
        boot_id = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
    except OSError:
        return secrets.token_hex(16)
    # A container may have a time of its own, which must not be compared with that of its host.
    own_time = Path("/proc/self/ns/time")
    name = own_time.readlink().name if own_time.is_symlink() else ""
    return hashlib.sha256(f"{boot_id.strip()} {name}".encode()).hexdigest()[:32]


_BOOT_ID = _find_boot_id()
_UPTIME_CLOCK: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""The one that goes on while the machine sleeps, where there is one."""
