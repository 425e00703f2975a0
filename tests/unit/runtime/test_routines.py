"""Tests that a routine outlives whatever its effect raises."""

import threading

import pytest
from polars.exceptions import PanicException

from engagement.exceptions import StorageFullError
from engagement.runtime import routines
from engagement.runtime.routines import running_routine
from support.waiting import wait_for_event


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
