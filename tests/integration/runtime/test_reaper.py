"""Tests whom a worker gives up, with a database that it reaches or does not."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import sqlalchemy as sa

from engagement.exceptions import StorageUnavailableError
from engagement.model.executors import WORKER_ROLES
from engagement.runtime.cluster import Member
from engagement.runtime.reaper import Reaper
from engagement.store.locks import LockPurpose, ThreadLocks
from engagement.store.queries import executors as module
from engagement.store.queries.executors import ExecutorQueries
from engagement.store.state import hold_state
from support.postgres import open_postgres

LEASE_SECONDS = 30


class LostLocks(ThreadLocks):
    """Locks of a database that cannot be reached now and then."""

    is_lost = False

    @contextmanager
    def hold_if_free(self, purpose: LockPurpose, *of: str) -> Iterator[bool]:
        if self.is_lost:
            raise StorageUnavailableError("The state database cannot be reached now.")
        with super().hold_if_free(purpose, *of) as is_held:
            yield is_held


@pytest.fixture
def engine() -> Iterator[sa.Engine]:
    with open_postgres() as url, hold_state(url) as engine:
        yield engine


def test_nobody_is_given_up_by_whoever_has_just_missed_the_database(
    engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All were as silent as it was: it would give up every other process."""
    monkeypatch.setattr(module, "read_up_seconds", lambda _: 10.0 * LEASE_SECONDS)
    executors = ExecutorQueries(engine, lease_seconds=LEASE_SECONDS)
    for name in ("own", "silent"):
        executors.register(name, WORKER_ROLES, host="here", version="1", slots=1)
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE executors SET seen_at = now() - interval '1 hour'"))
    locks = LostLocks()
    reaper = Reaper(Member(executors, "own", WORKER_ROLES), executors, locks)

    locks.is_lost = True
    with pytest.raises(StorageUnavailableError):
        reaper.look()
    locks.is_lost = False
    seen: list[str] = []
    reaper.look(lambda: seen.append("afterwards"))
    kept = [each.executor_id for each in executors.list_all()]
    executors.lease_seconds = 0
    reaper.look()

    assert kept == ["own", "silent"]
    assert seen == ["afterwards"]
    assert [each.executor_id for each in executors.list_all()] == ["own"]
