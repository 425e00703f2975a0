"""Tests that running time never counts more than passed, whatever machines share a database."""

from datetime import timedelta

import sqlalchemy as sa

from engagement.store.queries.clock_readings import BOOTS_KEPT, ClockReadingQueries, Uptime
from engagement.store.tables import clock_boots
from support.batches import NOW

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def test_machines_that_share_a_database_count_each_time_once(engine: sa.Engine) -> None:
    queries = ClockReadingQueries(engine)
    for number in range(9):
        for boot_id, ahead in (("a", timedelta(0)), ("b", 5 * DAY)):
            uptime = Uptime(boot_id=boot_id, running=number * HOUR + ahead)
            reading, _ = queries.record(uptime, now=NOW + number * HOUR)

    assert (reading.running, reading.began_at) == (8 * HOUR, NOW)
    assert queries.last() == reading


def test_a_start_goes_on_from_its_own_last_reading(engine: sa.Engine) -> None:
    queries = ClockReadingQueries(engine)
    queries.record(Uptime(boot_id="a", running=DAY), now=NOW)
    queries.record(Uptime(boot_id="b", running=HOUR), now=NOW + HOUR)

    reading, last = queries.record(Uptime(boot_id="a", running=4 * DAY), now=NOW + 3 * DAY)

    assert reading.running == 3 * DAY
    assert last is not None
    assert last.running == timedelta(0)


def test_an_uptime_that_fell_counts_as_a_new_start(engine: sa.Engine) -> None:
    queries = ClockReadingQueries(engine)
    queries.record(Uptime(boot_id="a", running=5 * DAY), now=NOW)

    reading, _ = queries.record(Uptime(boot_id="a", running=DAY), now=NOW)

    assert reading.running == timedelta(0)


def test_the_least_of_each_day_is_kept(engine: sa.Engine) -> None:
    queries = ClockReadingQueries(engine)
    assert queries.last() is None
    assert queries.find_least_began_at(timedelta(0)) == (None, False)
    moves = {0: 5, 1: 3, 2: 4, 24: 9, 25: 8, 48: 7}
    for hours, moved in moves.items():
        now = NOW + hours * HOUR + moved * DAY
        queries.record(Uptime(boot_id="a", running=hours * HOUR), now=now)

    assert queries.find_least_began_at(2 * DAY) == (NOW + 7 * DAY, True)
    assert queries.find_least_began_at(DAY) == (NOW + 7 * DAY, True)
    assert queries.find_least_began_at(timedelta(0)) == (NOW + 3 * DAY, True)
    assert queries.find_least_began_at(-DAY) == (NOW + 3 * DAY, False)


def test_few_starts_of_machines_are_remembered(engine: sa.Engine) -> None:
    queries = ClockReadingQueries(engine)
    for number in range(BOOTS_KEPT + 5):
        for hours in (0, 1):
            queries.record(Uptime(boot_id=f"{number}", running=hours * HOUR), now=NOW)

    with engine.begin() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(clock_boots)) <= BOOTS_KEPT
