"""This module tests that the state database keeps its schema, its order and its promises."""

import itertools
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from engagement.exceptions import BadInputError, ErrorCode, UnknownAppError, UnknownTaskError
from engagement.model.apps import App
from engagement.model.exports import (
    Compression,
    ExportFormat,
    ExportState,
    ExportTask,
    ExportType,
    Progress,
    Receipt,
)
from engagement.model.records import Kind
from engagement.store.queries.apps import AppQueries
from engagement.store.queries.inbox import Commit, InboxQueries, InboxRow, OpenSession
from engagement.store.queries.tasks import ERROR_DETAILS_CHARACTERS_MAX, TaskQueries
from engagement.store.state import metadata, open_state
from harness import APP_ID, NOW, open_postgres

SECOND = timedelta(seconds=1)
JOIN_SECONDS_MAX = 30


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path_factory.mktemp('state') / 'state.db'}"
    else:
        with open_postgres() as url:
            yield url


@pytest.fixture
def engine(url: str) -> Iterator[sa.Engine]:
    engine = open_state(url)
    yield engine
    with engine.begin() as connection:
        for table in metadata.sorted_tables:
            connection.execute(table.delete())
    engine.dispose()


def inbox_row(batch_id: str, *, logs: int = 1, app_id: str = APP_ID) -> InboxRow:
    return InboxRow(
        app_id=app_id, batch_id=batch_id, received_at=NOW, logs=logs, payload=batch_id.encode()
    )


def task(task_id: str, *, created_at: timedelta = timedelta(0)) -> ExportTask:
    return ExportTask(
        task_id=task_id,
        app_id=APP_ID,
        export_type=ExportType.EVENT,
        export_format=ExportFormat.JSON,
        compression=Compression.NONE,
        state=ExportState.QUEUED,
        container="https://account.example/container",
        folder="Event/1",
        description="a description",
        created_at=NOW + created_at,
        started_at=None,
        completed_at=None,
        error_code=None,
        error_details=None,
        progress=Progress(),
        attempt=1,
    )


def receipt(rows: int) -> Receipt:
    return Receipt(
        name=f"part-{rows}",
        rows=rows,
        rows_read=rows,
        bytes=rows * 10,
        sha256="0" * 64,
        first_at=NOW,
        last_at=NOW + SECOND,
    )


def test_the_migrated_schema_is_the_one_that_the_code_uses(engine: sa.Engine) -> None:
    with engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), metadata)

    assert differences == []


def test_opening_again_changes_nothing(engine: sa.Engine, url: str) -> None:
    TaskQueries(engine).add(task("1"), request="{}", sealed_container_url=b"sealed")

    again = open_state(url)

    assert TaskQueries(again).get("1", now=NOW) == task("1")
    again.dispose()


def test_a_sqlite_commit_survives_power_loss(tmp_path: Path) -> None:
    engine = open_state(f"sqlite:///{tmp_path / 'state.db'}")
    with engine.connect() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "secure_delete")
        }
    engine.dispose()

    full, fast = 2, 2
    assert pragmas == {"journal_mode": "wal", "synchronous": full, "secure_delete": fast}


def test_instants_come_back_to_the_microsecond(engine: sa.Engine) -> None:
    queries = TaskQueries(engine)
    precise = timedelta(microseconds=1)
    queries.add(task("1", created_at=precise), request="{}", sealed_container_url=b"")

    assert queries.get("1", now=NOW).created_at == NOW + precise
    assert queries.oldest_unfinished_at() == NOW + precise


def test_the_inbox_gives_the_oldest_first_within_the_limits(engine: sa.Engine) -> None:
    queries = InboxQueries(engine)
    other = "b" * 32
    queries.accept([inbox_row("a", logs=2), inbox_row("o", app_id=other), inbox_row("b", logs=2)])
    newest = queries.newest_position(APP_ID)
    queries.accept([inbox_row("c", logs=2)])

    def taken(**limits: int) -> list[str]:
        return [row.batch_id for row in queries.oldest(APP_ID, **limits)]

    assert taken(logs_max=1, position_max=newest) == ["a"]
    assert taken(logs_max=2, position_max=newest) == ["a"]
    assert taken(logs_max=3, position_max=newest) == ["a", "b"]
    assert taken(logs_max=9, position_max=newest) == ["a", "b"]
    assert taken(logs_max=9, position_max=newest + 1) == ["a", "b", "c"]
    assert sorted(queries.waiting()) == sorted([APP_ID, other])
    assert queries.depth() == 7


def test_accepting_nothing_is_nothing(engine: sa.Engine) -> None:
    assert InboxQueries(engine).accept([]) == []


def test_a_batch_id_is_known_until_it_is_forgotten(engine: sa.Engine) -> None:
    queries = InboxQueries(engine)

    assert queries.accept([inbox_row("a"), inbox_row("a")]) == [True, False]
    assert queries.accept([inbox_row("a"), inbox_row("b")]) == [False, True]
    queries.forget_batches(NOW)
    assert queries.accept([inbox_row("a")]) == [False]
    queries.forget_batches(NOW + SECOND)
    assert queries.accept([inbox_row("a")]) == [True]


def test_batches_accepted_at_once_are_each_accepted_once(engine: sa.Engine) -> None:
    """Several doors may get the same batch, since a device that saw no answer sends it again."""
    queries = InboxQueries(engine)
    ids = [f"batch {number}" for number in range(20)]
    answers: list[list[bool]] = []
    together = threading.Barrier(4)

    def accept() -> None:
        together.wait()
        answers.append([queries.accept([inbox_row(one)])[0] for one in ids])

    threads = [threading.Thread(target=accept) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(JOIN_SECONDS_MAX)

    assert [sum(answer) for answer in zip(*answers, strict=True)] == [1] * len(ids)
    assert queries.depth() == len(ids)


def test_a_batch_never_appears_below_one_that_can_be_seen(engine: sa.Engine) -> None:
    """A flush takes the newest position that it sees for the end of what was accepted."""
    queries = InboxQueries(engine)
    ended = threading.Event()
    seen: list[list[int]] = []

    def accept() -> None:
        for number in range(30):
            queries.accept([inbox_row(f"{threading.get_ident()} {number}")])

    def look() -> None:
        while not ended.is_set():
            newest = queries.newest_position(APP_ID)
            rows = queries.oldest(APP_ID, logs_max=10**6, position_max=newest)
            seen.append([row.position for row in rows])

    accepting = [threading.Thread(target=accept) for _ in range(4)]
    looking = threading.Thread(target=look)
    for thread in (*accepting, looking):
        thread.start()
    for thread in accepting:
        thread.join(JOIN_SECONDS_MAX)
    ended.set()
    looking.join(JOIN_SECONDS_MAX)

    for before, after in itertools.pairwise(seen):
        assert after[: len(before)] == before


def test_what_was_recorded_comes_back_newest_first(engine: sa.Engine) -> None:
    queries = InboxQueries(engine)
    queries.accept([inbox_row("a"), inbox_row("b")])
    (first, second) = queries.oldest(APP_ID, logs_max=9, position_max=2**31)
    commits = [
        Commit(kind=Kind.EVENT, version=version, rows_total=version, sha256=f"{version:064x}")
        for version in (9, 10)
    ]
    session = OpenSession(session_id="s", device_id="d", start=NOW, end=NOW)

    queries.record_commits(APP_ID, commits, committed_at=NOW, sessions=[session], flushed=[first])
    queries.record_commits(APP_ID, commits, committed_at=NOW, sessions=[session])

    assert queries.last_commits(APP_ID) == {Kind.EVENT: commits[1]}
    assert queries.last_commits("b" * 32) == {}
    assert queries.apps_with_tables() == [APP_ID]
    assert queries.sessions_of(APP_ID, ["d", "e"], since=NOW, until=NOW) == [session]
    assert queries.sessions_of(APP_ID, ["d"], since=NOW + SECOND, until=NOW + SECOND) == []
    assert queries.sessions_of(APP_ID, ["d"], since=NOW - SECOND, until=NOW - SECOND) == []
    assert queries.oldest(APP_ID, logs_max=9, position_max=2**31) == [second]


def test_positions_are_never_given_twice(engine: sa.Engine) -> None:
    """Tables remember the last position that they hold: a batch below it would be taken as held."""
    queries = InboxQueries(engine)
    queries.accept([inbox_row("a")])
    first = queries.newest_position(APP_ID)
    rows = queries.oldest(APP_ID, logs_max=9, position_max=first)
    queries.record_commits(APP_ID, [], committed_at=NOW, flushed=rows)
    queries.accept([inbox_row("b")])

    assert queries.newest_position(APP_ID) > first


def test_an_app_name_is_taken_once_in_its_collection(engine: sa.Engine) -> None:
    queries = AppQueries(engine)
    app = App(app_id="1", name="n", collection="c", resource_group="g", subscription="s")
    queries.add(app, key_sha256="k", created_at=NOW)

    with pytest.raises(BadInputError, match="'n'"):
        queries.add(
            App(app_id="2", name="n", collection="c", resource_group="g", subscription="s"),
            key_sha256="k",
            created_at=NOW,
        )

    assert queries.list_all() == [app]
    assert queries.get("1") == app
    with pytest.raises(UnknownAppError, match="'2'"):
        queries.get("2")


def test_a_plan_is_kept_once_and_receipts_add_up(engine: sa.Engine) -> None:
    queries = TaskQueries(engine)
    queries.add(task("1"), request="{}", sealed_container_url=b"sealed")
    queries.start("1", 1, now=NOW)

    assert queries.keep_plan("1", "first", parts=2, rows=30) == "first"
    assert queries.keep_plan("1", "second", parts=9, rows=90) == "first"
    queries.keep_receipt("1", 0, receipt(7))
    queries.keep_receipt("1", 0, receipt(10))
    queries.keep_receipt("1", 1, receipt(5))

    assert queries.receipts("1") == {0: receipt(10), 1: receipt(5)}
    assert queries.get("1", now=NOW + 5 * SECOND).progress == Progress(
        parts_total=2,
        parts_done=2,
        rows_total=30,
        rows_done=15,
        bytes_done=150,
        rows_per_second=3.0,
        seconds_left=5.0,
    )


def test_tasks_are_listed_newest_first(engine: sa.Engine) -> None:
    queries = TaskQueries(engine)
    for number in range(4):
        queries.add(
            task(str(number), created_at=number * SECOND), request="{}", sealed_container_url=b""
        )
    queries.finish("1", 1, ExportState.FAILED, now=NOW)

    listed = queries.list_newest(app_id=APP_ID, limit=3, now=NOW)

    assert [one.task_id for one in listed] == ["3", "2", "1"]
    assert queries.list_newest(app_id="b" * 32, limit=3, now=NOW) == []
    assert queries.unfinished() == ["0", "2", "3"]


def test_an_unknown_task_is_named(engine: sa.Engine) -> None:
    queries = TaskQueries(engine)

    with pytest.raises(UnknownTaskError, match="'nobody'"):
        queries.get("nobody", now=NOW)
    with pytest.raises(UnknownTaskError, match="'nobody'"):
        queries.plan("nobody")
    assert not queries.cancel("nobody", now=NOW)


def test_long_error_details_are_cut(engine: sa.Engine) -> None:
    queries = TaskQueries(engine)
    queries.add(task("1"), request="{}", sealed_container_url=b"")
    queries.finish("1", 1, ExportState.FAILED, now=NOW, error=(ErrorCode.INTERNAL, "é" * 9999))

    details = queries.get("1", now=NOW).error_details
    assert details == "é" * ERROR_DETAILS_CHARACTERS_MAX


FINAL = [state for state in ExportState if state.is_final]


class TaskStates(RuleBasedStateMachine):
    """Every order in which workers, a canceller and a retry may come upon one task.

    A worker may be an earlier attempt's: one that was cancelled while it waited is still queued.
    """

    queries: TaskQueries
    numbers = itertools.count(1)

    @initialize()
    def create(self) -> None:
        self.task_id = f"task-{next(self.numbers)}"
        self.queries.add(task(self.task_id), request="{}", sealed_container_url=b"sealed")
        self.state = ExportState.QUEUED
        self.attempt = 1
        self.is_cancel_requested = False
        self.code: ErrorCode | None = None

    @rule(behind=st.integers(0, 2))
    def start(self, behind: int) -> None:
        may_run = self.queries.start(self.task_id, self.attempt - behind, now=NOW)
        assert may_run is (behind == 0 and not self.state.is_final)
        if may_run:
            self.state = ExportState.STARTED

    @rule()
    def cancel(self) -> None:
        could = self.queries.cancel(self.task_id, now=NOW)
        assert could is not self.state.is_final
        if self.state is ExportState.QUEUED:
            self.state, self.code = ExportState.CANCELLED, ErrorCode.CANCELLED
        elif self.state is ExportState.STARTED:
            self.is_cancel_requested = True

    @rule(
        state=st.sampled_from(FINAL),
        code=st.sampled_from([None, ErrorCode.SAS_EXPIRED]),
        behind=st.integers(0, 2),
    )
    def finish(self, state: ExportState, code: ErrorCode | None, behind: int) -> None:
        moved = self.queries.finish(
            self.task_id,
            self.attempt - behind,
            state,
            now=NOW,
            error=None if code is None else (code, "because"),
        )
        assert moved is (behind == 0 and not self.state.is_final)
        if moved:
            self.state, self.code = state, code

    @rule()
    def reopen(self) -> None:
        reopened = self.queries.reopen(self.task_id, sealed_container_url=b"another")
        assert reopened is (self.state in {ExportState.FAILED, ExportState.CANCELLED})
        if reopened:
            self.state, self.code = ExportState.QUEUED, None
            self.attempt += 1
            self.is_cancel_requested = False

    @invariant()
    def is_as_expected(self) -> None:
        found = self.queries.get(self.task_id, now=NOW)
        assert (found.state, found.error_code, found.attempt) == (
            self.state,
            self.code,
            self.attempt,
        )
        assert (found.completed_at is not None) is self.state.is_final
        assert (self.queries.sealed_container_url(self.task_id) is None) is self.state.is_final
        assert (self.task_id in self.queries.unfinished()) is not self.state.is_final
        assert self.queries.is_cancel_requested(self.task_id) is self.is_cancel_requested


def test_a_task_ends_once_and_its_credential_with_it(engine: sa.Engine) -> None:
    class OnThisDatabase(TaskStates):
        queries = TaskQueries(engine)

    machine = OnThisDatabase.TestCase
    machine.settings = settings(max_examples=25, stateful_step_count=12, deadline=None)
    machine().runTest()
