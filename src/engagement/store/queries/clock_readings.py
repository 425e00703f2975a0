"""Keeps in the state database what the clock showed while machines were running."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from engagement.store.tables import clock_boots, clock_readings

BOOTS_KEPT = 100
"""Starts of machines that are remembered; one that is not counts as new, which makes ages less."""
DAY = timedelta(days=1)
_MICROSECOND = timedelta(microseconds=1)

CLOCK_LOCK = 0xC10C
"""The PostgreSQL advisory lock of whoever records what the clock shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Uptime:
    """How long a machine has run, which no setting of its clock changes."""

    boot_id: str
    """Which start of which machine this is."""
    running: timedelta
    """How long it has run since."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What the clock showed at a time."""

    running: timedelta
    """How long machines have been seen running until then, ever; never more than really passed."""
    began_at: datetime
    """When that began by what the clock shows: what it shows, less that long."""


class ClockReadingQueries:
    """How long machines have been seen running, and what their clocks showed meanwhile."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._reading = engine.execution_options(read_only=True)

    def record(self, uptime: Uptime, *, now: datetime) -> tuple[Reading, Reading | None]:
        """Keep what the clock shows now; that reading, and the one before it if there is one."""
        with self._engine.begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(CLOCK_LOCK)))
            last = _last(connection)
            # Each machine goes on from its own last reading, so that none counts for another.
            of_boot = clock_boots.c.boot_id == uptime.boot_id
            own = connection.execute(sa.select(clock_boots).where(of_boot)).one_or_none()
            running = timedelta(0) if last is None else last.running
            uptime_now = uptime.running // _MICROSECOND
            if own is not None and uptime_now >= own.uptime:
                passed = uptime_now - own.uptime
                running = max(running, (own.running + passed) * _MICROSECOND)
            reading = Reading(running=running, began_at=now - running)
            connection.execute(clock_boots.delete().where(of_boot))
            connection.execute(
                clock_boots.insert().values(
                    boot_id=uptime.boot_id,
                    uptime=uptime_now,
                    running=running // _MICROSECOND,
                    began_at=reading.began_at,
                )
            )
            _keep_least(connection, reading)
            if own is None:
                _forget_boots(connection)
        return reading, last

    def last(self) -> Reading | None:
        """The newest reading; None if there is none."""
        with self._reading.begin() as connection:
            return _last(connection)

    def find_least_began_at(self, since: timedelta) -> tuple[datetime | None, bool]:
        """The least `began_at` of all readings since machines had been seen running for so long.

        Returns:
            It, and whether there is a reading from then or from before.
        """
        query = sa.select(clock_readings).order_by(clock_readings.c.day.desc())
        first = since // DAY
        least: datetime | None = None
        with self._reading.begin() as connection:
            for row in connection.execute(query):
                least = row.began_at if least is None else min(least, row.began_at)
                if row.day <= first:
                    return least, True
        return least, False


def _last(connection: sa.Connection) -> Reading | None:
    newest = sa.select(clock_boots).order_by(clock_boots.c.running.desc()).limit(1)
    row = connection.execute(newest).one_or_none()
    if row is None:
        return None
    return Reading(running=row.running * _MICROSECOND, began_at=row.began_at)


def _keep_least(connection: sa.Connection, reading: Reading) -> None:
    """A row for each day of running is enough, and stays few however long the service runs."""
    day = reading.running // DAY
    query = sa.select(clock_readings.c.began_at).filter_by(day=day)
    known = connection.scalar(query)
    if known is None:
        added = clock_readings.insert().values(day=day, began_at=reading.began_at)
        connection.execute(added)
    elif reading.began_at < known:
        changed = clock_readings.update().filter_by(day=day).values(began_at=reading.began_at)
        connection.execute(changed)


def _forget_boots(connection: sa.Connection) -> None:
    newest = sa.select(clock_boots.c.boot_id).order_by(clock_boots.c.running.desc())
    old = connection.scalars(newest.offset(BOOTS_KEPT)).all()
    connection.execute(clock_boots.delete().where(clock_boots.c.boot_id.in_(old)))
