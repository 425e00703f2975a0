"""Tests that nothing is left of a deleted app, whatever ends the process on the way."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from engagement import operations
from engagement.exceptions import (
    BadInputError,
    IllegalStateError,
    NotAuthenticatedError,
    UnknownAppError,
)
from engagement.failpoints import Failpoint
from engagement.model.access import Role, Scope
from engagement.model.export_request import ExportRequest
from engagement.model.exports import Compression, ExportFormat, ExportState, ExportType, TimeRange
from engagement.operations.app_deletion import (
    MARKED_FOR,
    finish_deletions,
    mark_app_deleted,
    remove_deleted_app,
)
from engagement.runtime.opening import Runtime, open_service
from engagement.settings import Settings
from engagement.store.app_removal import AppRemoval
from engagement.store.tables import deleted_apps, metadata
from engagement.testing import MemoryContainer, StoppedClock, open_test_runtime
from support.batches import DAY, DEVICES, NOW, everything
from support.home import StoppedError
from support.waiting import WAIT_SECONDS_MAX

PLACE = {"collection": "c", "resource_group": "g", "subscription": "s"}


@pytest.fixture
def clock() -> StoppedClock:
    return StoppedClock(NOW + timedelta(days=1))


@pytest.fixture
def runtime(tmp_path: Path, clock: StoppedClock) -> Iterator[Runtime]:
    with open_test_runtime(tmp_path / "home", clock=clock) as runtime:
        yield runtime


def fill(runtime: Runtime, name: str) -> str:
    """An app with records in tables and in the inbox, refused ones, an export and an erasure."""
    made = operations.create_app(runtime, name=name, **PLACE)
    app_id = made.app.app_id
    for number in range(3):
        body = everything(number, device=DEVICES[number])
        operations.collect_batch(runtime, app_id, body, content_encoding=None).durable.result()
    runtime.flush(app_id)
    operations.collect_batch(runtime, app_id, b"no batch", content_encoding=None).durable.result()
    request = ExportRequest(
        app_id=app_id,
        export_type=ExportType.EVENT,
        export_format=ExportFormat.NDJSON,
        compression=Compression.NONE,
        container_url=MemoryContainer().url,
        time_range=TimeRange.of_days(DAY, DAY),
    )
    task = operations.create_export(runtime, request)
    ended = operations.wait_export(runtime, task.task_id, timeout_seconds=WAIT_SECONDS_MAX)
    assert ended.state is ExportState.SUCCEEDED
    operations.erase_device(runtime, app_id, DEVICES[2])
    body = everything(5, device=DEVICES[0])
    operations.collect_batch(runtime, app_id, body, content_encoding=None).durable.result()
    return app_id


def rows_by_app(home: Path) -> dict[str, set[str]]:
    """The apps that each table of the state database has rows of."""
    engine = sa.create_engine(f"sqlite:///{home / 'state.db'}")
    with engine.connect() as connection:
        found = {
            table.name: set(connection.scalars(sa.select(table.c.app_id).distinct()))
            for table in metadata.sorted_tables
            if "app_id" in table.c and table is not deleted_apps
        }
    engine.dispose()
    return found


def is_gone(runtime: Runtime, app_id: str) -> bool:
    home = runtime.settings.home
    return not (home / "lake" / app_id).exists() and not any(
        app_id in ids for ids in rows_by_app(home).values()
    )


def test_a_deleted_app_is_gone_with_all_its_data_and_no_other(runtime: Runtime) -> None:
    home = runtime.settings.home
    app_id, other = fill(runtime, "shop"), fill(runtime, "other")
    before = {name: other in ids for name, ids in rows_by_app(home).items()}
    assert {"inbox", "commits", "refused", "export_tasks", "erased_devices", "app_keys"} <= {
        name for name, has_rows in before.items() if has_rows
    }

    report = operations.delete_app(runtime, app_id, confirm="shop")

    assert report.rows > 0
    assert report.unfinished == 0
    assert is_gone(runtime, app_id)
    assert {name: other in ids for name, ids in rows_by_app(home).items()} == before
    with pytest.raises(UnknownAppError):
        operations.get_app(runtime, app_id)
    assert operations.create_app(runtime, name="shop", **PLACE).app.app_id != app_id


def test_no_file_of_the_home_tells_what_a_deleted_app_collected(runtime: Runtime) -> None:
    app_id = fill(runtime, "shop")
    home = runtime.settings.home

    def telling() -> list[Path]:
        ids = [device.encode() for device in DEVICES[:2]]
        files = [path for path in home.rglob("*") if path.is_file()]
        return [path for path in files if any(each in path.read_bytes() for each in ids)]

    assert telling()
    operations.delete_app(runtime, app_id, confirm="shop")
    assert telling() == []


def test_only_its_name_deletes_an_app(runtime: Runtime) -> None:
    app_id = operations.create_app(runtime, name="shop", **PLACE).app.app_id

    with pytest.raises(BadInputError, match="Nothing was deleted"):
        operations.delete_app(runtime, app_id, confirm="Shop")

    assert operations.get_app(runtime, app_id).name == "shop"
    with pytest.raises(IllegalStateError):
        remove_deleted_app(runtime, app_id)


def test_keys_and_clients_of_a_deleted_app_end_with_it(runtime: Runtime) -> None:
    made = operations.create_app(runtime, name="shop", **PLACE)
    own = Scope.parse(made.app.resource_path)
    whole = Scope.parse("/")
    ends = operations.create_client(runtime, name="ends", role=Role.READER, scope=own)
    stays = operations.create_client(runtime, name="stays", role=Role.READER, scope=whole)

    operations.delete_app(runtime, made.app.app_id, confirm="shop")

    with pytest.raises(NotAuthenticatedError):
        operations.app_of_key(runtime, made.app_key)
    assert operations.get_client(runtime, ends.client.client_id).revoked_at is not None
    assert operations.get_client(runtime, stays.client.client_id).revoked_at is None


def test_what_comes_in_behind_a_deletion_goes_too_and_the_mark_last(
    runtime: Runtime, clock: StoppedClock
) -> None:
    app_id = fill(runtime, "shop")
    operations.delete_app(runtime, app_id, confirm="shop")
    body = everything(9)
    operations.collect_batch(runtime, app_id, body, content_encoding=None).durable.result()
    clock.advance(timedelta(minutes=1))

    assert operations.flush_due(runtime) == 0
    clock.advance(MARKED_FOR)
    finish_deletions(runtime)

    assert is_gone(runtime, app_id)
    assert app_id in runtime.app_removal.list_marked()
    finish_deletions(runtime)
    assert runtime.app_removal.list_marked() == {}


@pytest.mark.parametrize(
    "failpoint",
    [Failpoint.APP_MARKED, Failpoint.APP_TABLES_DELETED, Failpoint.APP_ROWS_DELETED],
)
def test_a_deletion_that_was_cut_off_is_finished_by_the_next_process(
    tmp_path: Path, clock: StoppedClock, failpoint: Failpoint
) -> None:
    home = tmp_path / "home"

    def stop(reached: Failpoint) -> None:
        if reached is failpoint:
            raise StoppedError

    with open_test_runtime(home, clock=clock) as runtime:
        app_id = fill(runtime, "shop")
        engine = sa.create_engine(f"sqlite:///{home / 'state.db'}")
        with suppress(StoppedError):
            mark_app_deleted(runtime, app_id, confirm="shop", on_failpoint=stop)
            AppRemoval(engine, runtime.lake, on_failpoint=stop).remove(app_id)
            pytest.fail("The failpoint must be reached.")
        engine.dispose()

    with open_test_runtime(home, clock=clock) as runtime:
        assert operations.list_apps(runtime) == []
        finish_deletions(runtime)
        assert is_gone(runtime, app_id)


def test_an_export_under_way_is_cancelled_before_its_app_goes(
    tmp_path: Path, clock: StoppedClock
) -> None:
    with open_test_runtime(tmp_path / "home", clock=clock) as runtime:
        app_id = fill(runtime, "shop")
    with open_service(
        Settings(home=tmp_path / "home"), run_tasks=False, allow_memory=True, clock=clock
    ) as beside:
        request = ExportRequest(
            app_id=app_id,
            export_type=ExportType.EVENT,
            export_format=ExportFormat.NDJSON,
            compression=Compression.NONE,
            container_url=MemoryContainer().url,
            time_range=TimeRange.of_days(DAY, DAY),
        )
        operations.create_export(beside, request)

        report = operations.delete_app(beside, app_id, confirm="shop")

        assert report.rows == 0
        assert report.unfinished > 0
        assert not is_gone(beside, app_id)

    with open_test_runtime(tmp_path / "home", clock=clock) as runtime:
        finish_deletions(runtime)
        assert is_gone(runtime, app_id)
