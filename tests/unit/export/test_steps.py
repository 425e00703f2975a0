"""Tests what the steps of an export ask of the state database, and what they refuse."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from engagement.deliver.local import LocalDestination
from engagement.exceptions import CancelledError, IncompleteExportError
from engagement.export import steps
from engagement.export.plan import empty_part
from engagement.export.steps import ExportSteps, ExportTools, check_counts
from engagement.model.exports import ExportState, Receipt
from engagement.model.plan import Plan, PlanHead
from engagement.store.queries.plans import PlanQueries
from engagement.store.recovery import LakeRecovery
from engagement.store.task_keys import FolderKeys
from engagement.store.task_vault import TaskVault
from engagement.store.vault import KEY_BYTES, Vault
from support.batches import NOW
from support.home import Home, open_home, queued_task

PARTS = 1_000
STATEMENTS_OF_A_PART_MAX = 4
VAULT = Vault(bytes(KEY_BYTES))
"""Its texts need no key of a task, as those of earlier releases."""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with open_home(tmp_path / "home") as home:
        yield home


def steps_of(home: Home, folder: Path) -> ExportSteps:
    """The steps of exports into a folder."""
    folder.mkdir()
    return ExportSteps(
        ExportTools(
            tasks=home.tasks,
            plans=PlanQueries(home.engine),
            inbox=home.inbox,
            staging=home.staging,
            lake=home.lake,
            recovery=LakeRecovery(home.inbox, home.staging, home.lake),
            vault=TaskVault(VAULT, FolderKeys(folder)),
            flush=lambda _: 0,
            open_destination=lambda _: LocalDestination(folder),
            part_rows_target=1,
            clock=lambda: NOW,
        )
    )


def start_task(home: Home, *, parts: int) -> str:
    """A task that has started, with a plan of parts without rows."""
    task_id = "1"
    sealed = VAULT.seal("file:///nowhere", context=task_id)
    home.tasks.add(queued_task(task_id), sealed_container_url=sealed)
    home.tasks.start(task_id, 1, now=NOW)
    planned = tuple(replace(empty_part(), index=index) for index in range(parts))
    PlanQueries(home.engine).keep_plan(task_id, Plan(head=PlanHead(versions={}), parts=planned))
    return task_id


@contextmanager
def recorded_statements(engine: sa.Engine) -> Iterator[list[str]]:
    """Every statement that the database is sent, `BEGIN` too."""
    statements: list[str] = []

    def record(_1: object, _2: object, statement: str, *_: object) -> None:
        statements.append(statement)

    sa.event.listen(engine, "before_cursor_execute", record)
    try:
        yield statements
    finally:
        sa.event.remove(engine, "before_cursor_execute", record)


def test_a_part_asks_no_more_where_there_are_many(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Checks between chunks come once a second, however slow the machine is.
    monkeypatch.setattr(steps, "CANCEL_CHECK_SECONDS", math.inf)
    task_id = start_task(home, parts=PARTS)
    writing = steps_of(home, tmp_path / "container")

    for index in (0, PARTS - 1):
        with recorded_statements(home.engine) as statements:
            writing.write_part(task_id, index)
        assert len(statements) <= STATEMENTS_OF_A_PART_MAX, statements

    with recorded_statements(home.engine) as statements:
        writing.write_part(task_id, 0)
    assert [statement.split()[0] for statement in statements] == ["BEGIN", "SELECT"]
    assert sorted(PlanQueries(home.engine).receipts(task_id)) == [0, PARTS - 1]


def test_a_check_between_chunks_is_one_statement_and_stops_the_part(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "CANCEL_CHECK_SECONDS", -1.0)
    task_id = start_task(home, parts=2)
    writing = steps_of(home, tmp_path / "container")

    with recorded_statements(home.engine) as statements:
        writing.write_part(task_id, 0)
    home.tasks.cancel(task_id, now=NOW)

    assert any(text.startswith("SELECT export_tasks.cancel_requested") for text in statements)
    with pytest.raises(CancelledError, match="was cancelled"):
        writing.write_part(task_id, 1)


def test_a_part_of_a_task_that_has_ended_is_not_written(home: Home, tmp_path: Path) -> None:
    task_id = start_task(home, parts=1)
    home.tasks.finish(task_id, 1, ExportState.FAILED, now=NOW)

    with pytest.raises(CancelledError, match="has ended"):
        steps_of(home, tmp_path / "container").write_part(task_id, 0)


def receipt(rows: int, *, rows_read: int | None = None) -> Receipt:
    return Receipt(
        name="part",
        rows=rows,
        rows_read=rows if rows_read is None else rows_read,
        bytes=1,
        sha256="0" * 64,
    )


@pytest.mark.parametrize(
    ("planned", "receipts", "parts_total"),
    [
        ({0: 1, 1: 2}, {0: receipt(1)}, 2),
        ({0: 1}, {0: receipt(1), 1: receipt(2)}, 1),
        ({0: 1}, {0: receipt(1), 1: receipt(2)}, 2),
        ({0: 1}, {1: receipt(1)}, 1),
        ({0: 1}, {0: receipt(2)}, 1),
        ({0: 1}, {0: receipt(1, rows_read=2)}, 1),
        ({0: None}, {0: receipt(0)}, 1),
    ],
)
def test_parts_that_do_not_add_up_are_refused(
    planned: dict[int, int | None], receipts: dict[int, Receipt], parts_total: int
) -> None:
    with pytest.raises(IncompleteExportError):
        check_counts(planned, receipts, parts_total=parts_total)


def test_parts_that_add_up_pass() -> None:
    check_counts({}, {}, parts_total=0)
    check_counts({0: 1, 1: 0}, {0: receipt(1), 1: receipt(0)}, parts_total=2)
