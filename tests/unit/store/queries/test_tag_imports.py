"""Tests what the state database keeps of an import of tags, and how a list is sorted."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from engagement.exceptions import ErrorCode, TooManyTasksError, UnknownTaskError
from engagement.model.tag_imports import ImportOrder, ImportProperty, ImportState, ImportTask
from engagement.store.queries.tag_imports import (
    ERROR_DETAILS_CHARACTERS_MAX,
    ImportTaskQueries,
)
from engagement.store.tables import import_tasks
from support.batches import NOW
from support.home import APP_ID

MINUTE = timedelta(minutes=1)


def queued(task_id: str, *, minutes: int = 0, app_id: str = APP_ID) -> ImportTask:
    return ImportTask(
        task_id=task_id,
        app_id=app_id,
        state=ImportState.QUEUED,
        storage="https://account.example/container/tags",
        created_at=NOW + minutes * MINUTE,
        started_at=None,
        completed_at=None,
        error_code=None,
        error_details=None,
    )


@pytest.fixture
def queries(engine: sa.Engine) -> ImportTaskQueries:
    return ImportTaskQueries(engine)


def test_an_app_may_have_so_many_unfinished_imports(engine: sa.Engine) -> None:
    queries = ImportTaskQueries(engine, app_tasks_max=2)
    for task_id in "12":
        queries.add(queued(task_id), sealed_storage_url=b"")

    with pytest.raises(TooManyTasksError, match="may have 2 unfinished"):
        queries.add(queued("3"), sealed_storage_url=b"")
    queries.add(queued("4", app_id="another"), sealed_storage_url=b"")
    queries.finish("1", ImportState.SUCCEEDED, now=NOW)
    queries.add(queued("5"), sealed_storage_url=b"")


def test_a_task_comes_back_to_its_own_app_alone(queries: ImportTaskQueries) -> None:
    queries.add(queued("1"), sealed_storage_url=b"sealed")

    assert queries.get(APP_ID, "1") == queued("1")
    assert queries.read_sealed_storage_url("1") == b"sealed"
    for app_id, task_id in (("b" * 32, "1"), (APP_ID, "2")):
        with pytest.raises(UnknownTaskError):
            queries.get(app_id, task_id)


def test_a_task_ends_once_and_its_credential_with_it(queries: ImportTaskQueries) -> None:
    queries.add(queued("1"), sealed_storage_url=b"sealed")
    queries.start("1", now=NOW + MINUTE)
    queries.start("1", now=NOW + 2 * MINUTE)

    queries.finish(
        "1",
        ImportState.FAILED,
        now=NOW + 3 * MINUTE,
        code=ErrorCode.CORRUPT_INPUT,
        details="x" * 2 * ERROR_DETAILS_CHARACTERS_MAX,
    )
    queries.finish("1", ImportState.SUCCEEDED, now=NOW + 4 * MINUTE)

    found = queries.get(APP_ID, "1")
    assert (found.state, found.error_code) == (ImportState.FAILED, ErrorCode.CORRUPT_INPUT)
    assert (found.started_at, found.completed_at) == (NOW + MINUTE, NOW + 3 * MINUTE)
    assert len(found.error_details or "") == ERROR_DETAILS_CHARACTERS_MAX
    assert queries.read_sealed_storage_url("1") is None


def test_unfinished_tasks_of_all_apps_are_given_oldest_first(queries: ImportTaskQueries) -> None:
    for task_id, minutes, app_id in (("1", 2, APP_ID), ("2", 1, "b" * 32), ("3", 0, APP_ID)):
        queries.add(queued(task_id, minutes=minutes, app_id=app_id), sealed_storage_url=b"")
    queries.finish("3", ImportState.SUCCEEDED, now=NOW)

    assert [task.task_id for task in queries.list_unfinished()] == ["2", "1"]


@pytest.mark.parametrize(
    ("order", "wanted"),
    [
        (ImportOrder(), ["1", "2", "3"]),
        (ImportOrder(descending=True), ["3", "2", "1"]),
        (ImportOrder(by=ImportProperty.CREATED), ["3", "1", "2"]),
        (ImportOrder(by=ImportProperty.STATE), ["2", "1", "3"]),
        (ImportOrder(by=ImportProperty.ERROR_DETAILS), ["1", "3", "2"]),
        (ImportOrder(by=ImportProperty.ERROR_DETAILS, descending=True), ["2", "1", "3"]),
    ],
)
def test_pages_are_sorted_and_say_whether_more_come(
    queries: ImportTaskQueries, order: ImportOrder, wanted: list[str]
) -> None:
    for task_id, minutes in (("1", 1), ("2", 2), ("3", 0)):
        queries.add(queued(task_id, minutes=minutes), sealed_storage_url=b"")
    queries.finish("2", ImportState.FAILED, now=NOW, details="why")

    first = queries.list_page(APP_ID, skip=0, top=2, order=order)
    rest = queries.list_page(APP_ID, skip=2, top=2, order=order)

    assert [task.task_id for task in (*first.tasks, *rest.tasks)] == wanted
    assert (first.has_more, rest.has_more) == (True, False)


def test_a_code_of_a_newer_release_is_read_as_ours(
    engine: sa.Engine, queries: ImportTaskQueries
) -> None:
    queries.add(queued("1"), sealed_storage_url=b"sealed")
    queries.finish("1", ImportState.FAILED, now=NOW, code=ErrorCode.INTERNAL, details="Because.")
    with engine.begin() as connection:
        connection.execute(sa.update(import_tasks).values(error_code="CodeOfTomorrow"))

    assert queries.get(APP_ID, "1").error_code is ErrorCode.INTERNAL
