"""Runs the tests of tests/unit/store/test_locks.py between two processes' sessions, and more."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from engagement.store.locks import AdvisoryLocks, LockPurpose
from engagement.store.queries.executors import ExecutorQueries, session_name
from engagement.store.state import open_state
from support.waiting import wait_for
from unit.store.test_locks import *  # noqa: F403
from unit.store.test_locks import is_free


def sessions(url: str, executor_id: str) -> Iterator[AdvisoryLocks]:
    engine = open_state(url, session_name=session_name(executor_id))
    locks = AdvisoryLocks(engine)
    yield locks
    locks.close()
    engine.dispose()


@pytest.fixture
def locks(url: str) -> Iterator[AdvisoryLocks]:
    yield from sessions(url, "first")


@pytest.fixture
def others(url: str) -> Iterator[AdvisoryLocks]:
    yield from sessions(url, "second")


def test_locks_end_with_the_sessions_of_who_holds_them(
    engine: sa.Engine, locks: AdvisoryLocks, others: AdvisoryLocks
) -> None:
    executors = ExecutorQueries(engine, lease_seconds=30)
    with locks.hold(LockPurpose.FLUSH, "app"):
        assert not is_free(others, "app")

        assert executors.end_sessions("first") > 0

        wait_for(lambda: is_free(others, "app"), "the lock to be free")
    with locks.hold(LockPurpose.FLUSH, "app"):
        assert not is_free(others, "app")
