"""Tests that damaged files are made again from a delivered export, or nothing is changed."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from engagement import operations
from engagement.collect.inbox import accept
from engagement.collect.payload import decode_batch
from engagement.exceptions import BadInputError, LakeDamagedError, VerificationError
from engagement.model.export_request import ExportRequest
from engagement.model.export_tasks import ExportTask
from engagement.model.exports import Compression, ExportFormat, ExportState, ExportType, TimeRange
from engagement.model.records import NIL_GUID, Kind
from engagement.runtime.opening import Runtime
from engagement.store.rebuild import LakeRebuild
from engagement.testing import MemoryContainer, open_test_runtime
from support.batches import DAY, DEVICES, NOW, batch, everything, log
from support.waiting import WAIT_SECONDS_MAX

WHOLE = {"include_user_id": True, "include_device_timestamp": True, "include_record_id": True}
"""Options of an export that lacks nothing that can be restored."""
WHOLE_YEAR = (date(2026, 1, 1), date(2026, 12, 31))
RECEIVED = NOW + timedelta(microseconds=1_234)
ONE_DAY = timedelta(days=1)


class Service:
    """A service with one app, whose events of a day are in two files of the lake."""

    def __init__(self, runtime: Runtime, folder: Path) -> None:
        self.runtime = runtime
        self._folder = folder
        self._container = MemoryContainer()
        self.app_id = next((app.app_id for app in operations.list_apps(runtime)), "")

    def fill(self) -> None:
        """Take what the app reports first."""
        self.app_id = self.create_app("app")
        for numbers in (range(2), range(2, 5)):
            self.take(
                # Not in the order of their times; three at one instant; and on two days.
                *(everything(number, device=DEVICES[number % 2]) for number in numbers),
                *(everything(number, day=DAY + ONE_DAY) for number in numbers),
                batch(*(log("event", 7, name=name) for name in "cab")),
                batch(log("event", 3), log("error"), sent_at=NOW + timedelta(days=3)),
                everything(numbers[0], device=NIL_GUID),
            )

    def create_app(self, name: str) -> str:
        place = {"collection": "c", "resource_group": "g", "subscription": "s"}
        return operations.create_app(self.runtime, name=name, **place).app.app_id

    def take(self, *bodies: bytes) -> None:
        for body in bodies:
            decoded = decode_batch(body, received_at=RECEIVED, live=True)
            accept(self.runtime.inbox, self.app_id, [decoded], received_at=RECEIVED)
        self.runtime.flush(self.app_id)

    def export(
        self,
        export_type: ExportType,
        export_format: ExportFormat = ExportFormat.NDJSON,
        *,
        app_id: str | None = None,
        days: tuple[date, date] = WHOLE_YEAR,
        **options: Any,
    ) -> ExportTask:
        """An export that succeeded."""
        request = ExportRequest(
            app_id=app_id or self.app_id,
            export_type=export_type,
            export_format=export_format,
            container_url=self._container.url,
            time_range=TimeRange.of_days(*days),
            **(WHOLE | options),
        )
        task = operations.create_export(self.runtime, request)
        ended = operations.wait_export(self.runtime, task.task_id, timeout_seconds=WAIT_SECONDS_MAX)
        assert ended.state is ExportState.SUCCEEDED, ended.error_details
        return ended

    def parts(self, export_type: ExportType) -> list[bytes]:
        """The bytes of an export of everything."""
        return self._container.read_parts(self.export(export_type))

    def download(self, task: ExportTask) -> Path:
        """A local folder with an export's manifest and parts."""
        folder = self._folder / task.task_id
        folder.mkdir()
        for key in self._container.list_keys(task.folder):
            (folder / Path(key).name).write_bytes(self._container.read(key))
        return folder

    def files(self, kind: Kind) -> list[Path]:
        """The data files of a table."""
        version = self.runtime.inbox.last_commits(self.app_id)[kind].version
        root = self.runtime.lake.local
        assert root is not None
        files = self.runtime.lake.files(self.app_id, kind, version)
        return [root / self.app_id / kind.value / file.path for file in files]

    def damage(self, kind: Kind, *, day: date = DAY, count: int = 1) -> None:
        """Flip a bit in the oldest file of a day, and delete the next ones."""
        files = [file for file in self.files(kind) if file.parent.name == f"date={day}"]
        files.sort(key=lambda file: file.stat().st_mtime_ns)
        for file in files[:1]:
            data = file.read_bytes()
            file.write_bytes(data[:100] + bytes([data[100] ^ 1]) + data[101:])
        for file in files[1:count]:
            file.unlink()

    def restore(
        self, kind: Kind, folder: Path, *, is_partial: bool = False
    ) -> operations.damage.RestoredTable:
        return operations.restore_table(
            self.runtime, self.app_id, kind, folder=folder, is_partial=is_partial
        )


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home of which tests damage copies."""
    folder = tmp_path_factory.mktemp("filled")
    with open_test_runtime(folder / "home") as runtime:
        Service(runtime, folder).fill()
    return folder / "home"


@contextmanager
def running(filled: Path, folder: Path) -> Iterator[Service]:
    """A service on a copy."""
    shutil.copytree(filled, folder / "home")
    (folder / "out").mkdir()
    with open_test_runtime(folder / "home") as runtime:
        yield Service(runtime, folder / "out")


@pytest.fixture
def service(filled: Path, tmp_path: Path) -> Iterator[Service]:
    with running(filled, tmp_path) as service:
        yield service


@pytest.mark.parametrize(
    ("export_type", "export_format", "compression"),
    [
        (ExportType.EVENT, ExportFormat.NDJSON, Compression.ZSTD),
        (ExportType.ACTIVITY, ExportFormat.JSON, Compression.GZIP),
        (ExportType.CRASH, ExportFormat.CSV, Compression.NONE),
        (ExportType.ERROR, ExportFormat.PARQUET, Compression.NONE),
    ],
)
def test_exports_after_a_repair_are_those_before_byte_for_byte(
    service: Service,
    export_type: ExportType,
    export_format: ExportFormat,
    compression: Compression,
) -> None:
    before = service.parts(export_type)
    folder = service.download(service.export(export_type, export_format, compression=compression))
    service.damage(export_type.kind)

    restored = service.restore(export_type.kind, folder)

    assert [(day.day, day.rows_lost) for day in restored.days] == [(DAY, 0)]
    assert restored.lacking == ()
    assert operations.check_lake(service.runtime).damaged == ()
    assert service.parts(export_type) == before


def test_all_files_of_several_days_are_restored(service: Service) -> None:
    whole = service.export(ExportType.EVENT)
    folder = service.download(whole)
    before = sorted(b"".join(service.parts(ExportType.EVENT)).splitlines())
    days = {date.fromisoformat(file.parent.name[5:]) for file in service.files(Kind.EVENT)}
    for day in days:
        service.damage(Kind.EVENT, day=day, count=2)

    restored = service.restore(Kind.EVENT, folder)

    assert len(days) > 1
    assert {day.day for day in restored.days} == days
    assert sum(day.rows for day in restored.days) == whole.progress.rows_done
    assert sorted(b"".join(service.parts(ExportType.EVENT)).splitlines()) == before
    operations.compact(service.runtime, service.app_id)
    assert sorted(b"".join(service.parts(ExportType.EVENT)).splitlines()) == before


def test_what_came_after_the_export_stays(service: Service) -> None:
    folder = service.download(service.export(ExportType.EVENT))
    service.take(everything(9), batch(log("event", 7, name="d")))
    rows = service.export(ExportType.EVENT).progress.rows_done
    service.damage(Kind.EVENT)
    service.take(everything(10))

    service.restore(Kind.EVENT, folder)

    assert service.export(ExportType.EVENT).progress.rows_done == rows + 2


def alter(folder: Path) -> None:
    """Change a byte of a part."""
    part = next(folder.glob("part-*"))
    data = part.read_bytes()
    part.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))


WRONG: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "other kind": ({"export_type": ExportType.ERROR}, BadInputError, "must be of event records"),
    "other day": ({"days": (DAY + ONE_DAY,) * 2}, BadInputError, "got none of 2026-02-20"),
    "fewer rows": ({"event_names": ("a",)}, BadInputError, r"held \d+ rows, but .* has 1 records"),
    "no record ids": ({"include_record_id": False}, BadInputError, "recordId"),
    "no users": ({"include_user_id": False}, BadInputError, "lacks the fields userId"),
    "formula guard": (
        {"export_format": ExportFormat.CSV, "csv_formula_guard": True},
        BadInputError,
        "formula guard",
    ),
    "altered": ({"description": "altered"}, VerificationError, "part-00000"),
    "other app": ({"app_id": "other"}, BadInputError, "must be of event records of app"),
}
"""Exports that cannot give a damaged file back: how they are asked, and what is said of them."""


@pytest.fixture(scope="module")
def refusing(
    filled: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Service, dict[str, Path]]]:
    """A service with a damaged file, and the folders of wrong exports from before."""
    with running(filled, tmp_path_factory.mktemp("refusing")) as service:
        ids = {"other": service.create_app("other")}
        folders = {}
        for name, (options, _, _) in WRONG.items():
            options_given = {"export_type": ExportType.EVENT} | options
            options_given["app_id"] = ids.get(options_given.get("app_id", ""), service.app_id)
            folders[name] = service.download(service.export(**options_given))
        alter(folders["altered"])
        service.damage(Kind.EVENT)
        yield service, folders


@pytest.mark.parametrize("name", list(WRONG))
def test_another_export_is_refused_and_nothing_changes(
    refusing: tuple[Service, dict[str, Path]], name: str
) -> None:
    service, folders = refusing
    _, error, message = WRONG[name]
    before = service.files(Kind.EVENT)

    with pytest.raises(error, match=message):
        service.restore(Kind.EVENT, folders[name])

    assert service.files(Kind.EVENT) == before
    with pytest.raises(LakeDamagedError):
        operations.repair_table(service.runtime, service.app_id, Kind.EVENT, give_up=[])
    assert [table.kind for table in operations.list_damaged_tables(service.runtime)] == [Kind.EVENT]


def test_an_export_with_too_many_rows_is_refused_although_it_is_partial(service: Service) -> None:
    """An erased device's records must not come back in the place of others."""
    folder = service.download(service.export(ExportType.EVENT))
    operations.erase_device(service.runtime, service.app_id, DEVICES[0])
    service.take(batch(log("event", 1)), batch(log("event", 4_000)))
    operations.compact(service.runtime, service.app_id)
    service.damage(Kind.EVENT)
    before = service.files(Kind.EVENT)

    with pytest.raises(BadInputError, match="Nothing was changed"):
        service.restore(Kind.EVENT, folder, is_partial=True)

    assert service.files(Kind.EVENT) == before


def test_less_is_restored_where_that_is_accepted(service: Service) -> None:
    folder = service.download(
        service.export(ExportType.EVENT, event_names=("a",), include_user_id=False)
    )
    service.damage(Kind.EVENT)
    whole = operations.check_lake(service.runtime)

    restored = service.restore(Kind.EVENT, folder, is_partial=True)

    (day,) = restored.days
    assert (day.day, day.rows, restored.lacking) == (DAY, 1, ("userId",))
    assert day.rows_lost > 1
    assert whole.damaged
    assert operations.check_lake(service.runtime).damaged == ()


def test_a_sound_table_and_kinds_that_are_folded_are_refused(service: Service) -> None:
    folder = service.download(service.export(ExportType.EVENT))

    with pytest.raises(BadInputError, match="No file of the table is damaged"):
        service.restore(Kind.EVENT, folder)
    with pytest.raises(BadInputError, match="got session"):
        service.restore(Kind.SESSION, folder)


def test_a_recovery_takes_restored_rows_for_no_batch(service: Service) -> None:
    folder = service.download(service.export(ExportType.EVENT))
    for day in (DAY, DAY + ONE_DAY):
        service.damage(Kind.EVENT, day=day, count=2)
    service.restore(Kind.EVENT, folder)
    runtime = service.runtime
    known = (runtime.inbox, runtime.staging, runtime.seen, runtime.lake)
    since = NOW - 30 * ONE_DAY

    rebuilt = LakeRebuild(*known, clock=runtime.clock).rebuild(
        service.app_id, known_from=since, spans_from=since
    )

    assert runtime.inbox.remember_batches(service.app_id, [("None", NOW)]) == 1
    assert rebuilt.damaged == ()
