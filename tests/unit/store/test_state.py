"""Tests that the state database keeps its schema, its order and its promises."""

from collections.abc import Iterator
from contextlib import ExitStack
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
    DatabaseDamagedError,
    NewerReleaseError,
    StorageFullError,
    StorageUnavailableError,
)
from engagement.model.export_request import ExportRequest
from engagement.model.exports import Compression, ExportFormat, ExportType, TimeRange
from engagement.model.plan import Part, Plan, PlanHead
from engagement.model.records import Kind
from engagement.model.request_identity import write_identity
from engagement.store.queries.inbox import InboxQueries
from engagement.store.queries.plans import PlanQueries
from engagement.store.queries.tasks import TaskQueries
from engagement.store.state import MIGRATIONS, open_state, read_schema
from engagement.store.tables import metadata
from support.batches import NOW
from support.home import APP_ID, queued_task
from unit.store.queries.test_inbox import submission


@pytest.fixture
def migrated(url: str, tmp_path: Path) -> Iterator[sa.Engine]:
    """A database beside that of `url` that came through every release's schema."""
    address = sa.make_url(url)
    own = address.set(database=str(tmp_path / "migrated.db"))
    with ExitStack() as closing:
        if address.get_backend_name() == "postgresql":
            own = address.set(database="migrated")
            server = sa.create_engine(address, isolation_level="AUTOCOMMIT")
            closing.callback(server.dispose)
            connection = closing.enter_context(server.connect())
            connection.exec_driver_sql("CREATE DATABASE migrated")
            closing.callback(connection.exec_driver_sql, "DROP DATABASE migrated")
        engine = sa.create_engine(own)
        closing.callback(engine.dispose)
        with engine.begin() as connection:
            _bring_forward(connection, "head")
        yield engine


def test_the_migrated_schema_is_the_one_that_the_code_uses(migrated: sa.Engine) -> None:
    with migrated.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), metadata)

    assert differences == []


def test_a_new_database_has_the_schema_that_migrations_lead_to(
    engine: sa.Engine, migrated: sa.Engine
) -> None:
    assert _described(engine) == _described(migrated)
    assert read_schema(engine) == read_schema(migrated) != ""


def _described(engine: sa.Engine) -> dict[str, Any]:
    """All that a database says of its tables; columns in their order."""
    found = sa.inspect(engine)
    return {
        table: {
            "columns": [
                {**column, "type": str(column["type"])} for column in found.get_columns(table)
            ],
            "primary key": found.get_pk_constraint(table),
            "indexes": sorted(found.get_indexes(table), key=str),
            "unique": sorted(found.get_unique_constraints(table), key=str),
            "foreign keys": sorted(found.get_foreign_keys(table), key=str),
            "checks": sorted(found.get_check_constraints(table), key=str),
        }
        for table in sorted(found.get_table_names())
    }


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


def _old_database(tmp_path: Path, revision: str, statement: str, rows: list[Any]) -> str:
    """The address of a database that an earlier release left, with some rows."""
    url = f"sqlite:///{tmp_path / 'state.db'}"
    old = sa.create_engine(url)
    with old.begin() as connection:
        _bring_forward(connection, revision)
        connection.exec_driver_sql(statement, rows)
    old.dispose()
    return url


def _bring_forward(connection: sa.Connection, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def test_what_was_accepted_stays_known_when_the_schema_comes_forward(tmp_path: Path) -> None:
    batches = [(APP_ID, f"batch {number}", 1_770_000_000_000_000) for number in range(20_001)]
    url = _old_database(tmp_path, "0004", "INSERT INTO batches VALUES (?, ?, ?)", batches)

    engine = open_state(url)

    queries = InboxQueries(engine)
    assert queries.accept([submission("batch 0", "batch 20000", "batch 20001")]) == [1]
    assert queries.accept([submission("batch 0", app_id="b" * 32)]) == [1]
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
    assert plans.count_planned_rows("1") == {0: 7, 1: 5}
    assert plans.read_part("1", 1).part == other
    assert plans.read_plan("2") is None
    assert plans.read_plan("3") == Plan(head=PlanHead(versions={}, campaign_ids=(4,)), parts=())
    engine.dispose()


def test_a_full_database_is_named_and_keeps_what_it_has(tmp_path: Path) -> None:
    engine = open_state(f"sqlite:///{tmp_path / 'state.db'}")
    inbox = InboxQueries(engine)
    inbox.accept([submission("before")])
    with engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")  # of the pooled connection

    with pytest.raises(StorageFullError):
        inbox.accept([submission("x" * 100_000)])

    assert [row.batch_id for row in inbox.oldest(APP_ID, records_max=9, position_max=9)] == [
        "before"
    ]


def test_a_connection_that_cannot_write_is_given_up(tmp_path: Path) -> None:
    engine = open_state(f"sqlite:///{tmp_path / 'state.db'}")
    inbox = InboxQueries(engine)
    with engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA query_only=1")  # of the pooled connection

    with pytest.raises(StorageUnavailableError):
        inbox.accept([submission("first")])

    assert inbox.accept([submission("second")]) == [1]
    engine.dispose()


def test_a_database_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageUnavailableError):
        open_state(f"sqlite:///{tmp_path / 'missing' / 'state.db'}")


def test_a_server_that_cannot_be_reached_is_named(tmp_path: Path) -> None:
    """Devices are asked to come again then, as for any other failure that passes."""
    with pytest.raises(StorageUnavailableError, match="cannot be reached"):
        open_state(f"postgresql+psycopg://nobody@/state?host={tmp_path}")


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "state.db").write_bytes(b"no database" * 1_000)

    with pytest.raises(DatabaseDamagedError, match=r"state\.db is damaged"):
        open_state(f"sqlite:///{tmp_path / 'state.db'}")


def test_a_damaged_page_is_named_when_it_is_met(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    engine = open_state(f"sqlite:///{path}")
    InboxQueries(engine).accept([submission("x" * 100_000)])
    engine.dispose()  # closes the last connection, so that all is in the file itself
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(bytes(size - 4096))

    with pytest.raises(DatabaseDamagedError, match=r"state\.db is damaged"):
        InboxQueries(open_state(f"sqlite:///{path}")).depth()


def test_a_database_of_a_newer_release_is_refused(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'state.db'}"
    engine = open_state(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    engine.dispose()

    with pytest.raises(NewerReleaseError, match="9999"):
        open_state(url)


def test_an_error_of_the_database_repeats_no_value(tmp_path: Path) -> None:
    engine = open_state(f"sqlite:///{tmp_path / 'state.db'}")

    with pytest.raises(sa.exc.SQLAlchemyError) as caught, engine.begin() as connection:
        connection.execute(sa.text("SELECT :value FROM nothing"), {"value": "secret-of-a-device"})

    engine.dispose()
    assert "secret-of-a-device" not in str(caught.value)
