"""Waits for things in tests, never for ever, and says what it waited for."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import pytest

WAIT_SECONDS_MAX = 600
"""After so long it is taken that something never comes.

Nothing is measured by it: it is far more than anything takes on one core beside other work, and no
more than what a test may take, so that a wait ends before its test is ended.
"""
POLL_SECONDS = 0.02

Found = TypeVar("Found")

_NAMES: list[str] = []
"""What is being waited for, the longest first."""


@contextmanager
def waiting_for(what: str) -> Iterator[None]:
    """Let a test that is ended meanwhile say what it waited for."""
    _NAMES.append(what)
    try:
        yield
    finally:
        _NAMES.remove(what)


def names_of_waits() -> list[str]:
    """What is being waited for now, the longest first."""
    return list(_NAMES)


def wait_for(
    look: Callable[[], Found | None], what: str, *, seconds_max: float = WAIT_SECONDS_MAX
) -> Found:
    """Look again and again, and return the first value that is true.

    Args:
        look: What looks; an exception of it ends the wait.
        what: What is waited for, as a reader of a failure should know it.
        seconds_max: When to give up; the test fails then, and names what it waited for.
    """
    deadline = time.monotonic() + seconds_max
    with waiting_for(what):
        while True:
            if found := look():
                return found
            if time.monotonic() > deadline:
                pytest.fail(f"Waited {seconds_max:g} s for {what}; the last look saw {found!r}.")
            time.sleep(POLL_SECONDS)


def join_threads(threads: Iterable[threading.Thread], what: str) -> None:
    """Return only when threads have ended; the test fails if they do not."""
    for thread in threads:
        with waiting_for(what):
            thread.join(WAIT_SECONDS_MAX)
        if thread.is_alive():
            pytest.fail(f"Waited {WAIT_SECONDS_MAX} s for {what} in {thread.name}.")


def wait_for_event(event: threading.Event, what: str) -> None:
    """Return only when an event is set; the test fails if it is not."""
    with waiting_for(what):
        is_set = event.wait(WAIT_SECONDS_MAX)
    if not is_set:
        pytest.fail(f"Waited {WAIT_SECONDS_MAX} s for {what}.")
