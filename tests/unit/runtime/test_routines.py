"""Tests that a routine outlives whatever its effect raises."""

import threading
from unittest.mock import patch

import pytest
from polars.exceptions import PanicException

from engagement.exceptions import StorageFullError
from engagement.runtime import routines
from engagement.runtime.routines import running_routine
from support.waiting import WAIT_SECONDS_MAX, wait_for_event


@pytest.mark.parametrize("error", [StorageFullError("full"), PanicException("a panic")])
def test_a_routine_goes_on_after_a_failure(
    error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(routines, "FAILED_SECONDS", 0.001)
    again, calls = threading.Event(), 0

    def fail_once() -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise error
        again.set()

    with running_routine("failing", 0.001, fail_once):
        wait_for_event(again, "a second call")


def test_a_routine_that_must_not_be_late_is_repeated_soon_after_a_failure() -> None:
    again, calls = threading.Event(), 0

    def fail_once() -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise StorageFullError("full")
        again.set()

    with (
        patch.object(routines, "FAILED_SECONDS", WAIT_SECONDS_MAX),
        running_routine("failing", 0.001, fail_once, failed_seconds=0.001),
    ):
        wait_for_event(again, "a second call")
