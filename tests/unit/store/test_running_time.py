"""Tests that nothing gets old by a clock alone, and that what is old is found in the end."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from engagement.store.queries.clock_readings import ClockReadingQueries, Uptime
from engagement.store.running_time import CONFIRMED_AFTER, RunningTime, read_uptime
from engagement.store.state import open_state
from engagement.store.tables import clock_boots, clock_readings
from support.batches import NOW

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
AGE = 7 * DAY


class Machine:
    """A machine with a clock, both of which may be wrong about the time that really passes."""

    def __init__(self, engine: sa.Engine) -> None:
        self.clock = NOW
        self.passed = timedelta(0)
        """How much time really passed."""
        self._running = timedelta(0)
        self._boots = 0
        self.time = RunningTime(
            ClockReadingQueries(engine), clock=lambda: self.clock, uptime=self._uptime
        )

    def _uptime(self) -> Uptime:
        return Uptime(boot_id=f"boot {self._boots}", running=self._running)

    def run(self, span: timedelta) -> None:
        """Let time pass while the machine runs."""
        self.clock += span
        self.passed += span
        self._running += span

    def serve(self, span: timedelta) -> None:
        """Let time pass as a server does, which looks at the clock again and again."""
        for _ in range(span // (12 * HOUR)):
            self.run(12 * HOUR)
            self.time.look()

    def rest(self, span: timedelta) -> None:
        """Let time pass while the machine is off."""
        self.clock += span
        self.passed += span
        self._running = timedelta(0)
        self._boots += 1

    def set_clock(self, by: timedelta) -> None:
        """Set the clock, rightly or wrongly."""
        self.clock += by


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sa.Engine]:
    engine = open_state(f"sqlite:///{tmp_path_factory.mktemp('running')}/state.db")
    yield engine
    engine.dispose()


@pytest.fixture
def machine(engine: sa.Engine) -> Machine:
    return new_machine(engine)


def new_machine(engine: sa.Engine) -> Machine:
    with engine.begin() as connection:
        connection.execute(clock_boots.delete())
        connection.execute(clock_readings.delete())
    made = Machine(engine)
    made.time.look()
    return made


SPANS = st.integers(1, 24 * 12).map(lambda hours: hours * HOUR)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("run"), SPANS),
        st.tuples(st.just("rest"), SPANS),
        st.tuples(st.just("set_clock"), SPANS | SPANS.map(lambda span: -span)),
    ),
    max_size=12,
)


@given(steps=STEPS)
def test_what_is_younger_never_counts_as_old_and_in_the_end_all_does(
    engine: sa.Engine, steps: list[tuple[str, timedelta]]
) -> None:
    machine = new_machine(engine)
    kept = [(machine.clock, machine.passed)]
    for step, span in steps:
        getattr(machine, step)(span)
        machine.time.look()
        kept.append((machine.clock, machine.passed))
        before = machine.time.old_before(AGE)
        young = [at for at, passed in kept if machine.passed - passed < AGE]
        assert before is None or min(young, default=before) >= before

    machine.serve(AGE + 2 * DAY)

    before = machine.time.old_before(AGE)
    assert before is not None
    assert machine.clock - AGE - DAY <= before <= machine.clock - AGE


def test_nothing_is_old_before_machines_ran_for_so_long(machine: Machine) -> None:
    machine.run(AGE - HOUR)
    assert machine.time.old_before(AGE) is None
    machine.run(HOUR)
    assert machine.time.old_before(AGE) == NOW


def test_a_jump_makes_nothing_old_until_as_much_running_confirms_it(machine: Machine) -> None:
    machine.serve(30 * DAY)
    before = machine.time.old_before(AGE)

    machine.set_clock(9 * DAY)

    assert machine.time.old_before(AGE) == before == NOW + 23 * DAY
    machine.serve(AGE + DAY)
    assert machine.time.old_before(AGE) == machine.clock - AGE


def test_commands_of_a_machine_that_goes_on_count_the_time_between_them(machine: Machine) -> None:
    for _ in range(8):
        machine.run(DAY)
        machine.time.look()

    assert machine.time.old_before(AGE) == machine.clock - AGE


def test_a_machine_that_was_off_makes_nothing_old(machine: Machine) -> None:
    machine.run(AGE)
    machine.time.look()

    machine.rest(30 * DAY)

    assert machine.time.old_before(AGE) == NOW
    machine.serve(AGE + DAY)
    assert machine.time.old_before(AGE) == machine.clock - AGE


def test_a_jump_is_told_and_shown_until_it_is_confirmed(
    machine: Machine,
) -> None:
    machine.run(DAY)
    with capture_logs() as logs:
        machine.time.look()
    assert logs == []

    machine.set_clock(9 * DAY)
    with capture_logs() as logs:
        machine.time.look()

    assert [(each["event"], each["seconds"]) for each in logs] == [("clock_moved", 9 * 86_400)]
    assert machine.time.measure_unconfirmed() == 9 * DAY
    assert machine.time.estimate_now() == machine.clock - 9 * DAY
    machine.serve(CONFIRMED_AFTER + DAY)
    assert machine.time.measure_unconfirmed() == timedelta(0)
    assert machine.time.estimate_now() == machine.clock


def test_the_uptime_of_this_machine_goes_on_from_process_to_process() -> None:
    before = read_uptime()
    after = read_uptime()

    assert after.boot_id == before.boot_id
    assert after.running >= before.running
    is_told = Path("/proc/uptime").exists()
    assert not is_told or after.running > HOUR / 3600
