"""Tests that locks keep threads and processes apart, and let a holder in again."""

import threading

import pytest

from engagement.store.locks import LockPurpose, Locks, ThreadLocks


@pytest.fixture
def locks() -> Locks:
    return ThreadLocks()


@pytest.fixture
def others(locks: Locks) -> Locks:
    """What somebody else takes locks from."""
    return locks


def is_free(locks: Locks, *of: str) -> bool:
    """Whether another thread could have a lock now."""
    found: list[bool] = []

    def look() -> None:
        with locks.hold_if_free(LockPurpose.FLUSH, *of) as is_held:
            found.append(is_held)

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    return found[0]


def test_one_has_a_lock_at_a_time(locks: Locks, others: Locks) -> None:
    with locks.hold(LockPurpose.FLUSH, "app"):
        assert not is_free(others, "app")
        assert is_free(others, "another")

    assert is_free(others, "app")


def test_a_holder_may_take_its_lock_again(locks: Locks, others: Locks) -> None:
    with locks.hold(LockPurpose.FLUSH, "app"):
        with (
            locks.hold(LockPurpose.FLUSH, "app"),
            locks.hold_if_free(LockPurpose.FLUSH, "app") as is_held,
        ):
            assert is_held
        assert not is_free(others, "app")

    assert is_free(others, "app")


def test_what_is_for_something_else_is_another_lock(locks: Locks, others: Locks) -> None:
    with locks.hold(LockPurpose.COMMIT, "app"):
        assert is_free(others, "app")


def test_who_waits_gets_the_lock_in_the_end(locks: Locks, others: Locks) -> None:
    waiting, had = threading.Event(), threading.Event()

    def wait() -> None:
        waiting.set()
        with others.hold(LockPurpose.FLUSH, "app"):
            had.set()

    thread = threading.Thread(target=wait)
    with locks.hold(LockPurpose.FLUSH, "app"):
        thread.start()
        waiting.wait()
        assert not had.is_set()
    thread.join()

    assert had.is_set()
