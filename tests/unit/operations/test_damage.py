"""Tests that damage in one table stops that table's exports alone, is named, and can be mended."""

import shutil
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import pytest

from engagement import operations
from engagement.collect.inbox import accept
from engagement.collect.payload import decode_batch
from engagement.exceptions import BadInputError, ErrorCode, LakeDamagedError
from engagement.model.export_request import ExportRequest
from engagement.model.export_tasks import ExportTask
from engagement.model.exports import Compression, ExportFormat, ExportState, ExportType, TimeRange
from engagement.model.records import Kind
from engagement.runtime.opening import Runtime
from engagement.testing import MemoryContainer, StoppedClock, open_test_runtime
from support.batches import DEVICES, NOW, everything
from support.waiting import WAIT_SECONDS_MAX

EVENTS_A_BATCH = 2


@dataclass
class Service:
    """A service with two apps that have records of every kind, and can be stopped and started."""

    home: Path
    app_ids: tuple[str, str]
    container: MemoryContainer

    def open(self) -> AbstractContextManager[Runtime]:
        return open_test_runtime(self.home, clock=StoppedClock(NOW))

    def data_file(self, runtime: Runtime, app_id: str, kind: Kind) -> Path:
        """The newest data file of a table."""
        version = runtime.inbox.last_commits(app_id)[kind].version
        files = runtime.lake.files(app_id, kind, version)
        return self.home / "lake" / app_id / kind.value / files[-1].path

    def export(self, runtime: Runtime, app_id: str, export_type: ExportType) -> ExportTask:
        """An export that has ended."""
        span = TimeRange.of_days(date(2026, 1, 1), date(2026, 12, 31))
        request = ExportRequest(
            app_id=app_id,
            export_type=export_type,
            export_format=ExportFormat.NDJSON,
            compression=Compression.NONE,
            container_url=self.container.url,
            time_range=span if export_type.is_historical else None,
        )
        task = operations.create_export(runtime, request)
        return operations.wait_export(runtime, task.task_id, timeout_seconds=WAIT_SECONDS_MAX)


def take(runtime: Runtime, app_id: str, number: int) -> None:
    body = everything(number, device=DEVICES[number])
    batch = decode_batch(body, received_at=NOW, live=False)
    accept(runtime.inbox, app_id, [batch], received_at=NOW)


@pytest.fixture(scope="module")
def filled_service(tmp_path_factory: pytest.TempPathFactory) -> Service:
    place = {"collection": "c", "resource_group": "g", "subscription": "s"}
    home = tmp_path_factory.mktemp("filled") / "home"
    made = Service(home=home, app_ids=("", ""), container=MemoryContainer())
    with made.open() as runtime:
        first, second = (operations.create_app(runtime, name=name, **place) for name in "ab")
        made.app_ids = (first.app.app_id, second.app.app_id)
        for app_id in made.app_ids:
            for number in range(2):
                take(runtime, app_id, number)
                runtime.flush(app_id)
    return made


@pytest.fixture
def service(filled_service: Service, tmp_path: Path) -> Service:
    """A copy of the filled service, for a test to damage."""
    return replace(
        filled_service, home=Path(shutil.copytree(filled_service.home, tmp_path / "home"))
    )


def flip(file: Path) -> bytes:
    """Flip one bit; what the file was."""
    data = file.read_bytes()
    file.write_bytes(data[:100] + bytes([data[100] ^ 1]) + data[101:])
    return data


@pytest.mark.parametrize("damage", [Path.unlink, flip], ids=["missing", "flipped"])
def test_only_exports_of_the_damaged_table_are_refused(service: Service, damage: object) -> None:
    app_id, other_id = service.app_ids
    with service.open() as runtime:
        file = service.data_file(runtime, app_id, Kind.EVENT)
    damage(file)  # type: ignore[operator]

    with service.open() as runtime:
        take(runtime, app_id, 2)
        refused = service.export(runtime, app_id, ExportType.EVENT)
        assert (refused.state, refused.error_code) == (ExportState.FAILED, ErrorCode.LAKE_DAMAGED)
        assert str(file) in (refused.error_details or "")
        for export_type in set(ExportType) - {ExportType.EVENT, ExportType.PUSH}:
            task = service.export(runtime, app_id, export_type)
            assert task.state is ExportState.SUCCEEDED, export_type
        assert service.export(runtime, other_id, ExportType.EVENT).state is ExportState.SUCCEEDED
        damaged = operations.list_damaged_tables(runtime)
        assert [(table.app_id, table.kind) for table in damaged] == [(app_id, Kind.EVENT)]
        assert runtime.inbox.depth() == 0


def test_the_rounds_of_upkeep_do_the_other_tables_and_apps(service: Service) -> None:
    app_id, other_id = service.app_ids
    with service.open() as runtime:
        flip(service.data_file(runtime, app_id, Kind.EVENT))

        with pytest.raises(LakeDamagedError):
            operations.tidy_up(runtime)

        for of_app, kind, files in (
            (app_id, Kind.ERROR, 1),
            (other_id, Kind.EVENT, 1),
            (app_id, Kind.EVENT, 2),
        ):
            version = runtime.inbox.last_commits(of_app)[kind].version
            assert len(runtime.lake.files(of_app, kind, version)) == files
        assert [table.kind for table in operations.list_damaged_tables(runtime)] == [Kind.EVENT]


def test_a_check_finds_every_damaged_table_and_changes_nothing(service: Service) -> None:
    app_id, other_id = service.app_ids
    with service.open() as runtime:
        assert operations.check_lake(runtime).damaged == ()
        flip(service.data_file(runtime, app_id, Kind.EVENT))
        service.data_file(runtime, other_id, Kind.TAG).unlink()

        found = operations.check_lake(runtime)

        assert {(table.app_id, table.kind) for table in found.damaged} == {
            (app_id, Kind.EVENT),
            (other_id, Kind.TAG),
        }
        assert operations.check_lake(runtime, other_id).damaged[0].kind is Kind.TAG
        assert operations.list_damaged_tables(runtime) == []


def test_a_file_that_is_brought_back_mends_its_table(service: Service) -> None:
    app_id, _ = service.app_ids
    with service.open() as runtime:
        file = service.data_file(runtime, app_id, Kind.EVENT)
        whole = flip(file)
        assert service.export(runtime, app_id, ExportType.EVENT).state is ExportState.FAILED
        with pytest.raises(LakeDamagedError, match=str(file)):
            operations.repair_table(runtime, app_id, Kind.EVENT, give_up=[])
        take(runtime, app_id, 2)

        file.write_bytes(whole)
        operations.repair_table(runtime, app_id, Kind.EVENT, give_up=[])

        task = service.export(runtime, app_id, ExportType.EVENT)
        assert (task.state, task.progress.rows_done) == (ExportState.SUCCEEDED, 3 * EVENTS_A_BATCH)


def test_a_damaged_file_is_given_up_by_name_only(service: Service) -> None:
    app_id, _ = service.app_ids
    with service.open() as runtime:
        file = service.data_file(runtime, app_id, Kind.EVENT)
        flip(file)
        version = runtime.inbox.last_commits(app_id)[Kind.EVENT].version
        paths = [each.path for each in runtime.lake.files(app_id, Kind.EVENT, version)]
        (lost,) = [path for path in paths if path.endswith(file.name)]
        (sound,) = [path for path in paths if path != lost]
        take(runtime, app_id, 2)

        for wrong in ("nothing.parquet", sound):
            with pytest.raises(BadInputError, match="must be a damaged one"):
                operations.repair_table(runtime, app_id, Kind.EVENT, give_up=[wrong])
        (given_up,) = operations.repair_table(runtime, app_id, Kind.EVENT, give_up=[lost])

        assert (given_up.path, given_up.rows) == (lost, EVENTS_A_BATCH)
        task = service.export(runtime, app_id, ExportType.EVENT)
        assert (task.state, task.progress.rows_done) == (ExportState.SUCCEEDED, 2 * EVENTS_A_BATCH)
        assert operations.list_damaged_tables(runtime) == []
