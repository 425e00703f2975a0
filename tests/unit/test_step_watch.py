"""Tests which steps are taken for stalled, on a clock that the tests move."""

from hypothesis import given
from hypothesis import strategies as st

from engagement.step_watch import LOOK_SECONDS_MAX, StepWatch

STALL_SECONDS = 60.0


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def look_after(watch: StepWatch, clock: Clock, *seconds: float) -> list[str]:
    """What the last of several looks finds."""
    found: list[str] = []
    for passed in seconds:
        clock.now += passed
        found = watch.find_stalled()
    return found


def test_a_step_without_progress_is_found_until_it_is_given_up() -> None:
    watch = StepWatch(STALL_SECONDS, clock=(clock := Clock()))
    with watch.watch("stalled"), watch.watch("going on") as note_progress:
        assert look_after(watch, clock, 20.0, 20.0, 20.0) == []
        note_progress()
        assert look_after(watch, clock, 20.0, 20.0) == ["stalled"]
        assert look_after(watch, clock, 1.0) == ["stalled"]
        assert not watch.has_stalled

        watch.give_up("stalled")

        assert look_after(watch, clock, 1.0) == []
        assert watch.has_stalled
    assert not watch.has_stalled


def test_a_process_that_was_stopped_finds_no_step_stalled() -> None:
    watch = StepWatch(STALL_SECONDS, clock=(clock := Clock()))
    with watch.watch("task"):
        assert look_after(watch, clock, 1.0, 86_400.0) == []


@given(st.lists(st.floats(0, LOOK_SECONDS_MAX), max_size=50))
def test_a_step_that_goes_on_between_all_looks_never_stalls(waits: list[float]) -> None:
    watch = StepWatch(0.0, clock=(clock := Clock()))
    with watch.watch("task") as note_progress:
        for seconds in waits:
            note_progress()
            assert look_after(watch, clock, seconds) == []
