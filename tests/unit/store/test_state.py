"""Tests that the state database keeps its schema, its order and its promises."""

import itertools
import threading
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext

from engagement.exceptions import (
    BadInputError,
    StorageFullError,
    StorageUnavailableError,
    UnknownAppError,
)
from engagement.model.apps import App
from engagement.model.export_request import ExportRequest
from engagement.model.exports import Compression, ExportFormat, ExportType, TimeRange
from engagement.model.plan import Part, Plan, PlanHead
from engagement.model.records import Kind
from engagement.model.request_identity import write_identity
from engagement.store.commits import Commit
from engagement.store.queries import inbox
from engagement.store.queries.apps import AppQueries
from engagement.store.queries.inbox import InboxQueries, InboxRow, Kept, Offer
from engagement.store.queries.plans import PlanQueries
from engagement.store.queries.sightings import OpenSession, SightingQueries, Sightings
from engagement.store.queries.tasks import TaskQueries
from engagement.store.state import MIGRATIONS, metadata, open_state
from support.batches import NOW
from support.home import APP_ID, queued_task
from support.waiting import WAIT_SECONDS_MAX, join_threads

SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)


def offer(*keys: str, logs: int = 1, app_id: str = APP_ID) -> Offer:
    """Something to accept whose row is named by those of its keys that are new."""

    def kept(known: frozenset[str]) -> Kept:
        name = " ".join(key for key in keys if key not in known)
        row = InboxRow(
            app_id=app_id, batch_id=name, received_at=NOW, records=logs, payload=name.encode()
        )
        return Kept(rows=[row])

    return Offer(app_id=app_id, received_at=NOW, keys=keys, kept=kept)


def test_the_migrated_schema_is_the_one_that_the_code_uses(engine: sa.Engine) -> None:
    with engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), metadata)

    assert differences == []


def test_opening_again_changes_nothing(engine: sa.Engine, url: str) -> None:
    TaskQueries(engine).add(queued_task("1"), sealed_container_url=b"sealed")

    again = open_state(url)

    assert TaskQueries(again).get("1", now=NOW) == queued_task("1")
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
    queries.add(queued_task("1", created_at=precise), sealed_container_url=b"")

    assert queries.get("1", now=NOW).created_at == NOW + precise
    assert queries.oldest_unfinished_at() == NOW + precise


def test_the_inbox_gives_the_oldest_first_within_the_limits(engine: sa.Engine) -> None:
    queries = InboxQueries(engine)
    other = "b" * 32
    queries.accept([offer("a", logs=2), offer("o", app_id=other), offer("b", logs=2)])
    newest = queries.newest_position(APP_ID)
    queries.accept([offer("c", logs=2)])

    def taken(**limits: int) -> list[str]:
        return [row.batch_id for row in queries.oldest(APP_ID, **limits)]

    assert taken(records_max=1, position_max=newest) == ["a"]
    assert taken(records_max=2, position_max=newest) == ["a"]
    assert taken(records_max=3, position_max=newest) == ["a", "b"]
    assert taken(records_max=9, position_max=newest) == ["a", "b"]
    assert taken(records_max=9, position_max=newest + 1) == ["a", "b", "c"]
    assert sorted(queries.waiting()) == sorted([APP_ID, other])
    assert queries.depth() == 7


def test_accepting_nothing_is_nothing(engine: sa.Engine) -> None:
    assert InboxQueries(engine).accept([]) == []


def test_a_batch_id_is_known_until_its_day_is_forgotten(
    engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "KEYS_AT_ONCE", 1)
    queries = InboxQueries(engine)

    assert queries.accept([offer("a"), offer("a")]) == [1, 0]
    assert queries.accept([offer("a"), offer("b")]) == [0, 1]
    queries.forget_keys(NOW)
    assert queries.accept([offer("a"), offer("b")]) == [0, 0]
    queries.forget_keys(NOW + DAY)
    assert queries.accept([offer("a"), offer("b")]) == [1, 1]


def _old_database(tmp_path: Path, revision: str, statement: str, rows: list[Any]) -> str:
    """The address of a database that an earlier release left, with some rows."""
    url = f"sqlite:///{tmp_path / 'state.db'}"
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    old = sa.create_engine(url)
    with old.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        connection.exec_driver_sql(statement, rows)
    old.dispose()
    return url


def test_what_was_accepted_stays_known_when_the_schema_comes_forward(tmp_path: Path) -> None:
    batches = [(APP_ID, f"batch {number}", 1_770_000_000_000_000) for number in range(20_001)]
    url = _old_database(tmp_path, "0004", "INSERT INTO batches VALUES (?, ?, ?)", batches)

    engine = open_state(url)

    queries = InboxQueries(engine)
    assert queries.accept([offer("batch 0", "batch 20000", "batch 20001")]) == [1]
    assert queries.accept([offer("batch 0", app_id="b" * 32)]) == [1]
    engine.dispose()


OLD_REQUEST = (
    '{"appId": "a", "exportType": "Session", "exportFormat": "CsvBlob", "compression": "gzip", '
    '"range": ["2026-01-01T00:00:00+00:00", "2026-01-02T00:00:00.000005+00:00"], '
    '"campaignType": null, "campaignIds": [], "asOf": null, "includeUserId": true, '
    '"csvFormulaGuard": true, "description": "\\u65e5"}'
)
OLD_OPTIONS = (
    '{"appId": "a", "exportType": "Tag", "exportFormat": "NdjsonBlob", "compression": "none", '
    '"range": null, "campaignType": null, "campaignIds": [], '
    '"asOf": "2026-01-01T00:00:00+00:00", "includeUserId": false, "csvFormulaGuard": false, '
    '"description": "", "columns": ["tag"], "includeRecordId": true, "emptyFile": false, '
    '"publishedContract": false}'
)
OLD_PLAN = (
    '{"format":1,"versions":{"session":3},"campaignIds":[],"parts":['
    '{"days":["2026-01-01","2026-01-02"],"devices":[null,"8"],"files":{"session":["a","b"]},'
    '"rows":7,"inOrder":true,"isFolded":true},'
    '{"days":null,"devices":["8",null],"files":{"session":["b"]},"rows":5,"inOrder":false}]}'
)
OLD_TASK = (
    "INSERT INTO export_tasks (task_id, app_id, export_type, export_format, compression, state, "
    "cancel_requested, container, folder, description, request, sealed_container_url, plan, "
    "parts_total, rows_total, created_at, attempt) VALUES "
    "(?, 'a', 'Session', 'CsvBlob', 'gzip', 'Started', 0, 'c', 'f', '', ?, x'01', ?, ?, 12, 0, 2)"
)


def test_tasks_keep_what_was_asked_and_their_plans_when_the_schema_comes_forward(
    tmp_path: Path,
) -> None:
    tasks = [
        ("1", OLD_REQUEST, OLD_PLAN, 2),
        ("2", OLD_OPTIONS, None, 0),
        ("3", OLD_OPTIONS, '{"format":1,"versions":{},"campaignIds":[4],"parts":[]}', 0),
    ]
    url = _old_database(tmp_path, "0007", OLD_TASK, tasks)

    engine = open_state(url)

    plans = PlanQueries(engine)
    first, second, third = (plans.read_export(task_id) for task_id in "123")
    assert first.request == ExportRequest(
        app_id="a",
        export_type=ExportType.SESSION,
        export_format=ExportFormat.CSV,
        compression=Compression.GZIP,
        time_range=TimeRange(
            start=datetime(2026, 1, 1, tzinfo=UTC),
            end=datetime(2026, 1, 2, microsecond=5, tzinfo=UTC),
        ),
        include_user_id=True,
        csv_formula_guard=True,
        description="日",
        published_contract=True,
    )
    assert write_identity(first.request) == OLD_REQUEST
    assert write_identity(second.request) == write_identity(third.request) == OLD_OPTIONS
    assert (first.parts_total, first.attempt, first.sealed_container_url) == (2, 2, b"\x01")
    part = Part(
        index=0,
        first_day=date(2026, 1, 1),
        last_day=date(2026, 1, 2),
        device_from=None,
        device_to="8",
        files={Kind.SESSION: ("a", "b")},
        rows=7,
        in_order=True,
        is_folded=True,
    )
    other = replace(
        part,
        index=1,
        first_day=None,
        last_day=None,
        device_from="8",
        device_to=None,
        files={Kind.SESSION: ("b",)},
        rows=5,
        in_order=False,
        is_folded=False,
    )
    assert plans.read_plan("1") == Plan(
        head=PlanHead(versions={Kind.SESSION: 3}), parts=(part, other)
    )
    assert plans.planned_rows("1") == {0: 7, 1: 5}
    assert plans.read_part("1", 1).part == other
    assert plans.read_plan("2") is None
    assert plans.read_plan("3") == Plan(head=PlanHead(versions={}, campaign_ids=(4,)), parts=())
    engine.dispose()


def test_of_an_offer_with_several_keys_only_what_is_new_is_kept(engine: sa.Engine) -> None:
    queries = InboxQueries(engine)

    assert queries.accept([offer("a", "b"), offer("b", "c"), offer("a", "c")]) == [2, 1, 0]
    assert queries.accept([offer("c", "d", "d"), offer("a", app_id="b" * 32)]) == [1, 1]
    kept = queries.oldest(APP_ID, records_max=9, position_max=2**31)
    assert [row.batch_id for row in kept] == ["a b", "c", "d d"]


def test_batches_accepted_at_once_are_each_accepted_once(engine: sa.Engine) -> None:
    """Several doors may get the same batch, since a device that saw no answer sends it again."""
    queries = InboxQueries(engine)
    ids = [f"batch {number}" for number in range(20)]
    answers: list[list[int]] = []
    together = threading.Barrier(4)

    def accept() -> None:
        together.wait(WAIT_SECONDS_MAX)
        answers.append([queries.accept([offer(one)])[0] for one in ids])

    threads = [threading.Thread(target=accept) for _ in range(4)]
    for thread in threads:
        thread.start()
    join_threads(threads, "batches of all threads")

    assert [sum(answer) for answer in zip(*answers, strict=True)] == [1] * len(ids)
    assert queries.depth() == len(ids)


def test_a_batch_never_appears_below_one_that_can_be_seen(engine: sa.Engine) -> None:
    """A flush takes the newest position that it sees for the end of what was accepted."""
    queries = InboxQueries(engine)
    ended = threading.Event()
    seen: list[list[int]] = []

    def accept() -> None:
        for number in range(30):
            queries.accept([offer(f"{threading.get_ident()} {number}")])

    def look() -> None:
        while not ended.is_set():
            newest = queries.newest_position(APP_ID)
            rows = queries.oldest(APP_ID, records_max=10**6, position_max=newest)
            seen.append([row.position for row in rows])

    accepting = [threading.Thread(target=accept) for _ in range(4)]
    looking = threading.Thread(target=look)
    for thread in (*accepting, looking):
        thread.start()
    join_threads(accepting, "batches of all threads")
    ended.set()
    join_threads([looking], "the last look")

    for before, after in itertools.pairwise(seen):
        assert after[: len(before)] == before


def test_what_was_recorded_comes_back_newest_first(engine: sa.Engine) -> None:
    queries = InboxQueries(engine)
    queries.accept([offer("a"), offer("b")])
    (first, second) = queries.oldest(APP_ID, records_max=9, position_max=2**31)
    commits = [
        Commit(kind=Kind.EVENT, version=version, rows_total=version, sha256=f"{version:064x}")
        for version in (9, 10)
    ]
    sightings = SightingQueries(engine)
    session = OpenSession(session_id="s", device_id="d", start=NOW, end=NOW)

    seen = Sightings(sessions=[session])
    queries.record_commits(APP_ID, commits, committed_at=NOW, seen=seen, flushed=[first])
    queries.record_commits(APP_ID, commits, committed_at=NOW, seen=seen)

    assert queries.last_commits(APP_ID) == {Kind.EVENT: commits[1]}
    assert queries.last_commits("b" * 32) == {}
    assert queries.apps_with_tables() == [APP_ID]
    assert sightings.sessions_of(APP_ID, ["d", "e"], since=NOW, until=NOW) == [session]
    assert sightings.sessions_of(APP_ID, ["d"], since=NOW + SECOND, until=NOW + SECOND) == []
    assert sightings.sessions_of(APP_ID, ["d"], since=NOW - SECOND, until=NOW - SECOND) == []
    assert queries.oldest(APP_ID, records_max=9, position_max=2**31) == [second]


def test_positions_are_never_given_twice(engine: sa.Engine) -> None:
    """Tables remember the last position that they hold: a batch below it would be taken as held."""
    queries = InboxQueries(engine)
    queries.accept([offer("a")])
    first = queries.newest_position(APP_ID)
    rows = queries.oldest(APP_ID, records_max=9, position_max=first)
    queries.record_commits(APP_ID, [], committed_at=NOW, flushed=rows)
    queries.accept([offer("b")])

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


def test_a_full_database_is_named_and_keeps_what_it_has(tmp_path: Path) -> None:
    engine = open_state(f"sqlite:///{tmp_path / 'state.db'}")
    inbox = InboxQueries(engine)
    inbox.accept([offer("before")])
    with engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")  # of the pooled connection

    with pytest.raises(StorageFullError):
        inbox.accept([offer("x" * 100_000)])

    assert [row.batch_id for row in inbox.oldest(APP_ID, records_max=9, position_max=9)] == [
        "before"
    ]


def test_a_database_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageUnavailableError):
        open_state(f"sqlite:///{tmp_path / 'missing' / 'state.db'}")
