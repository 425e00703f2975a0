"""Takes data through the whole job: in, into the lake, out into real containers."""

import gzip
import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from engagement import operations
from engagement.model.export_request import ExportRequest
from engagement.model.export_tasks import ExportTask
from engagement.model.exports import (
    CampaignType,
    Compression,
    ExportFormat,
    ExportState,
    ExportType,
    TimeRange,
)
from engagement.model.records import Kind
from engagement.runtime.opening import Runtime, open_service
from engagement.settings import Settings
from support.checkout import SHARED
from support.real_input import ExpectedRecord, real_batches
from support.servers import Azurite
from support.waiting import WAIT_SECONDS_MAX

ALL_TIME = TimeRange.of_days(date(2010, 1, 1), date(2030, 12, 31))
EXPORT_OF_KIND = {
    Kind.ACTIVITY: ExportType.ACTIVITY,
    Kind.EVENT: ExportType.EVENT,
    Kind.ERROR: ExportType.ERROR,
}


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[Runtime]:
    settings = Settings(
        home=tmp_path / "home", allow_loopback_containers=True, part_rows_target=1_000
    )
    with open_service(settings) as running:
        yield running


def new_app(runtime: Runtime) -> str:
    made = operations.create_app(
        runtime, name="app", collection="apps", resource_group="group", subscription="subscription"
    )
    return made.app.app_id


def request(app_id: str, export_type: ExportType, url: str, **options: object) -> ExportRequest:
    """A request for everything of a type."""
    fields: dict[str, object] = {"export_format": ExportFormat.NDJSON}
    if export_type.is_historical:
        fields["time_range"] = ALL_TIME
    elif export_type is ExportType.PUSH:
        fields |= {"campaign_type": CampaignType.ANNOUNCEMENT, "time_range": ALL_TIME}
    return ExportRequest(
        app_id=app_id,
        export_type=export_type,
        container_url=url,
        **(fields | options),  # type: ignore[arg-type]
    )


def finished(runtime: Runtime, request: ExportRequest) -> ExportTask:
    task = operations.create_export(runtime, request)
    return operations.wait_export(runtime, task.task_id, timeout_seconds=WAIT_SECONDS_MAX)


@pytest.mark.skipif(
    not (SHARED / "data").is_dir(), reason="needs the reference data beside the checkout"
)
def test_every_real_record_is_in_the_exports(runtime: Runtime, azurite: Azurite) -> None:
    app_id, container = new_app(runtime), azurite.container("real")
    batches = list(real_batches(SHARED))
    expected = [record for _, records in batches for record in records]

    summary = operations.import_batches(runtime, app_id=app_id, lines=(line for line, _ in batches))
    found: set[str] = set()
    for export_type in EXPORT_OF_KIND.values():
        task = finished(
            runtime,
            request(app_id, export_type, container.write_url, compression=Compression.GZIP),
        )
        assert task.state is ExportState.SUCCEEDED, task.error_details
        for name in container.admin.list():
            if name.startswith(f"{task.folder}/part-"):
                lines = gzip.decompress(container.admin.read(name)).splitlines()
                found |= {identity(export_type, json.loads(line)) for line in lines}

    assert summary.refused == {}
    assert summary.accepted == len(expected)
    assert found == {expected_identity(record) for record in expected}
    assert len(found) == len(expected)


def identity(export_type: ExportType, row: dict[str, object]) -> str:
    at = datetime.fromisoformat(str(row["timestamp"])).astimezone(UTC).isoformat()
    return json.dumps([export_type, row["name"], at, row["extras"]], sort_keys=True)


def expected_identity(record: ExpectedRecord) -> str:
    at = record.timestamp.isoformat()
    return json.dumps([EXPORT_OF_KIND[record.kind], record.name, at, record.extras], sort_keys=True)


def test_every_export_reaches_a_container_through_a_write_only_sas(
    runtime: Runtime, azurite: Azurite
) -> None:
    app_id, container = new_app(runtime), azurite.container("all")
    sample = operations.generate_sample(devices=12, days=3, seed=7)
    operations.import_batches(runtime, app_id=app_id, lines=sample)

    for place, export_type in enumerate(ExportType):
        task = finished(
            runtime,
            request(
                app_id,
                export_type,
                container.write_url,
                export_format=list(ExportFormat)[place % 4],
                compression=list(Compression)[place % 3],
            ),
        )
        assert task.state is ExportState.SUCCEEDED, task.error_details
        assert task.progress.rows_done == task.progress.rows_total > 0
        proof = operations.verify_export(
            runtime, container_url=container.read_url, folder=task.folder
        )
        assert proof.compared_with_lake
        assert proof.rows == task.progress.rows_total
        delivered = {name for name in container.admin.list() if name.startswith(task.folder)}
        assert len(delivered) == task.progress.parts_total + 1


def test_an_export_of_nothing_succeeds_with_one_empty_file(
    runtime: Runtime, azurite: Azurite
) -> None:
    container = azurite.container("nothing")

    task = finished(runtime, request(new_app(runtime), ExportType.EVENT, container.write_url))

    assert task.state is ExportState.SUCCEEDED
    assert {
        name: container.admin.read(name)
        for name in container.admin.list()
        if name.startswith(task.folder) and not name.endswith("/manifest.json")
    } == {f"{task.folder}/part-00000.ndjson": b""}


def test_what_was_accepted_before_the_task_is_in_the_export(
    runtime: Runtime, azurite: Azurite
) -> None:
    """An import may be cut short before it flushes; the export flushes first."""
    app_id, container = new_app(runtime), azurite.container("fresh")

    def cut_short() -> Iterator[bytes]:
        yield from operations.generate_sample(devices=120, days=3, seed=3)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        operations.import_batches(runtime, app_id=app_id, lines=cut_short())
    waiting = runtime.inbox.depth()
    task = finished(runtime, request(app_id, ExportType.EVENT, container.write_url))

    assert waiting > 0
    assert runtime.inbox.depth() == 0
    assert task.state is ExportState.SUCCEEDED
    assert task.progress.rows_done > 0
