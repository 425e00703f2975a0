"""Tests that a delivered export is proved, and that every change to it is found."""

from collections.abc import Callable
from pathlib import Path

import pytest

from engagement.deliver.local import LocalDestination
from engagement.deliver.object_names import manifest_name
from engagement.exceptions import DestinationError, SourceUnavailableError, VerificationError
from engagement.export.part_writer import PartWriter
from engagement.export.report import manifest_of
from engagement.export.verify import verify_delivered, verify_with_lake
from engagement.model.export_request import ExportRequest
from engagement.model.exports import Compression, ExportFormat, ExportType
from engagement.model.manifest import Manifest
from engagement.model.plan import Plan
from support.batches import everything
from support.home import Home

FOLDER = "export"
PART = f"{FOLDER}/part-00000.json"


def deliver(
    home: Home, folder: Path, request: ExportRequest, *, part_rows_target: int = 500_000
) -> tuple[LocalDestination, Plan]:
    """Deliver an export into a folder, as its workflow does."""
    plan = home.plan(request, part_rows_target=part_rows_target)
    destination = LocalDestination(folder)
    receipts = {}
    for part in plan.parts:
        name = f"{FOLDER}/part-{part.index:05}.json"
        writer = PartWriter(home.lake, request, plan.head, part)
        destination.put(name, writer.data())
        receipts[part.index] = writer.receipt(name)
    content = manifest_of("1", request, plan.head, receipts)
    destination.put(manifest_name(FOLDER), [content])
    return destination, plan


@pytest.fixture
def full(home: Home) -> Home:
    """An app with records of every type, from two flushes."""
    for numbers in (range(3), range(3, 6)):
        home.take(*map(everything, numbers))
    return home


@pytest.mark.parametrize("compression", list(Compression))
@pytest.mark.parametrize("export_format", list(ExportFormat))
def test_every_export_is_proved_by_itself_and_by_the_lake(
    full: Home, tmp_path: Path, export_format: ExportFormat, compression: Compression
) -> None:
    for export_type in (ExportType.EVENT, ExportType.TAG, ExportType.PUSH):
        folder = tmp_path / export_type
        folder.mkdir()
        request = full.request(export_type, export_format=export_format, compression=compression)
        destination, plan = deliver(full, folder, request)

        manifest, verified = verify_delivered(destination, FOLDER)
        verify_with_lake(full.lake, request, plan, manifest)

        assert (verified.rows, verified.parts) == (plan.rows, len(plan.parts))
        assert verified.rows > 0
        assert not verified.compared_with_lake


def test_an_export_with_what_devices_told_is_proved_by_the_lake(full: Home, tmp_path: Path) -> None:
    request = full.request(ExportType.EVENT, include_info=True)
    destination, plan = deliver(full, tmp_path, request)

    manifest, _ = verify_delivered(destination, FOLDER)

    verify_with_lake(full.lake, request, plan, manifest)
    assert "phoneModel" in {name for name, _ in manifest.fields}
    assert b"model 5" in b"".join(destination.get(PART))


def cut(content: bytes) -> bytes:
    return content[:-1]


def change(content: bytes) -> bytes:
    return content.replace(b"event name", b"event nemo", 1)


def repeat(content: bytes) -> bytes:
    return content + content


@pytest.mark.parametrize("damage", [cut, change, repeat])
def test_a_part_that_was_changed_is_named(
    full: Home, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    destination, _ = deliver(full, tmp_path, full.request(ExportType.EVENT))
    content = b"".join(destination.get(PART))
    destination.put(PART, [damage(content)])

    with pytest.raises(VerificationError, match=r"part-00000\.json must have"):
        verify_delivered(destination, FOLDER)


def test_a_part_or_manifest_that_is_missing_is_found(full: Home, tmp_path: Path) -> None:
    destination, _ = deliver(full, tmp_path, full.request(ExportType.EVENT))
    for key in (PART, manifest_name(FOLDER)):
        destination.delete(key)
        with pytest.raises(DestinationError):
            verify_delivered(destination, FOLDER)


def manifest_of_event(home: Home, folder: Path) -> tuple[ExportRequest, Plan, Manifest]:
    request = home.request(ExportType.EVENT)
    destination, plan = deliver(home, folder, request)
    return request, plan, verify_delivered(destination, FOLDER)[0]


def test_rows_that_came_later_are_another_export(full: Home, tmp_path: Path) -> None:
    request, _, manifest = manifest_of_event(full, tmp_path)
    full.take(everything(9))

    with pytest.raises(VerificationError, match="The manifest must name the plan's tables"):
        verify_with_lake(full.lake, request, full.plan(request), manifest)


def test_another_export_of_the_same_tables_is_not_this_one(full: Home, tmp_path: Path) -> None:
    _, plan, manifest = manifest_of_event(full, tmp_path)
    narrow = full.request(ExportType.EVENT, columns=("name",))

    with pytest.raises(VerificationError, match=r"part-00000\.json must equal the lake's"):
        verify_with_lake(full.lake, narrow, plan, manifest)


def test_tables_that_are_gone_prove_nothing(full: Home, tmp_path: Path) -> None:
    request, plan, manifest = manifest_of_event(full, tmp_path)
    for file in (full.folder / "lake").rglob("event/**/*.parquet"):
        file.unlink()

    with pytest.raises(SourceUnavailableError):
        verify_with_lake(full.lake, request, plan, manifest)
