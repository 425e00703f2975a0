"""Tests what a cluster's processes know of each other, by the clock of the database alone."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from engagement.model.executors import SERVER_ROLES, WORKER_ROLES, ProcessRole
from engagement.store.queries import executors as module
from engagement.store.queries.executors import (
    SERVER_SETTLED_SECONDS,
    ExecutorQueries,
    session_name,
)
from engagement.store.state import open_state

LEASE_SECONDS = 30


@pytest.fixture
def executors(engine: sa.Engine, monkeypatch: pytest.MonkeyPatch) -> ExecutorQueries:
    """On a server that has run for a while; it has just been started for the tests."""
    monkeypatch.setattr(module, "read_up_seconds", lambda _: LEASE_SECONDS + 1)
    return ExecutorQueries(engine, lease_seconds=LEASE_SECONDS)


@pytest.fixture
def session(url: str) -> Iterator[sa.Connection]:
    """A session of the process `worker`."""
    engine = open_state(url, session_name=session_name("worker"))
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def register(executors: ExecutorQueries, executor_id: str, roles: tuple[ProcessRole, ...]) -> None:
    slots = 2 if ProcessRole.EXPORT in roles else 0
    executors.register(executor_id, roles, host="here", version="1", slots=slots)


def make_silent(engine: sa.Engine, executor_id: str, seconds: float) -> None:
    silent = sa.text(
        "UPDATE executors SET seen_at = now() - make_interval(secs => :seconds) "
        "WHERE executor_id = :id"
    )
    with engine.begin() as connection:
        connection.execute(silent, {"seconds": seconds, "id": executor_id})


def test_a_process_learns_who_else_lives(engine: sa.Engine, executors: ExecutorQueries) -> None:
    register(executors, "server", SERVER_ROLES)
    register(executors, "second", (ProcessRole.COLLECT,))
    register(executors, "worker", WORKER_ROLES)
    register(executors, "dead", WORKER_ROLES)
    make_silent(engine, "dead", LEASE_SECONDS + 1)

    heartbeat = executors.beat("worker")

    assert heartbeat is not None
    assert (heartbeat.collectors, heartbeat.slots) == (2, 2)
    assert [each.executor_id for each in executors.list_live()] == ["server", "second", "worker"]


def test_who_was_given_up_learns_that(executors: ExecutorQueries) -> None:
    register(executors, "worker", WORKER_ROLES)

    executors.remove("worker")

    assert executors.beat("worker") is None


def test_who_is_asked_to_drain_learns_that(executors: ExecutorQueries) -> None:
    register(executors, "worker", WORKER_ROLES)

    answers = executors.ask_to_drain("worker"), executors.ask_to_drain("nobody")
    heartbeat = executors.beat("worker")

    assert answers == (True, False)
    assert heartbeat is not None
    assert heartbeat.is_draining


def test_a_silent_process_is_dead_after_its_lease(
    engine: sa.Engine, executors: ExecutorQueries, session: sa.Connection
) -> None:
    register(executors, "worker", WORKER_ROLES)
    make_silent(engine, "worker", LEASE_SECONDS - 5)
    before = executors.find_dead()

    make_silent(engine, "worker", LEASE_SECONDS + 1)
    after = executors.find_dead()

    assert session.closed is False
    assert before == []
    assert [each.executor_id for each in after] == ["worker"]


def test_a_process_without_a_session_is_dead_soon(
    engine: sa.Engine, executors: ExecutorQueries, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(executors, "gone", WORKER_ROLES)
    make_silent(engine, "gone", module.VANISHED_SECONDS + 1)
    dead = executors.find_dead()

    monkeypatch.setattr(module, "read_up_seconds", lambda _: SERVER_SETTLED_SECONDS - 1)
    after_a_start = executors.find_dead()

    assert after_a_start == []
    assert [each.executor_id for each in dead] == ["gone"]


def test_all_were_silent_while_there_was_no_server(
    engine: sa.Engine, executors: ExecutorQueries, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a crash of the database for longer than a lease would end every process."""
    register(executors, "worker", WORKER_ROLES)
    make_silent(engine, "worker", 10 * LEASE_SECONDS)

    monkeypatch.setattr(module, "read_up_seconds", lambda _: 1.0)
    just_started = executors.find_dead()
    monkeypatch.setattr(module, "read_up_seconds", lambda _: LEASE_SECONDS)
    after_a_lease = executors.find_dead()

    assert just_started == []
    assert [each.executor_id for each in after_a_lease] == ["worker"]


def test_who_leaves_is_dead_at_once(
    executors: ExecutorQueries, session: sa.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "read_up_seconds", lambda _: 0.0)
    register(executors, "worker", WORKER_ROLES)
    before = executors.find_dead()

    executors.leave("worker")

    assert session.closed is False
    assert before == []
    assert [each.executor_id for each in executors.find_dead()] == ["worker"]


def test_the_server_says_how_long_it_has_run(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        first = module.read_up_seconds(connection)
    with engine.begin() as connection:
        assert module.read_up_seconds(connection) > first > 0
