"""Runs the same job on every pair of state database and lake that the design names."""

import base64
import secrets
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import date
from pathlib import Path

import pytest

from engagement import operations
from engagement.model.export_request import ExportRequest
from engagement.model.exports import ExportFormat, ExportState, ExportType, TimeRange
from engagement.runtime.opening import Runtime, open_service
from engagement.settings import Settings
from support.bucket_lake import name_bucket_lake
from support.postgres import open_postgres
from support.waiting import WAIT_SECONDS_MAX


@pytest.fixture(params=["sqlite and a folder", "postgresql and a bucket", "sqlite and a bucket"])
def runtime(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Runtime]:
    state_url = lake_url = ""
    with ExitStack() as closing:
        if "postgresql" in request.param:
            state_url = closing.enter_context(open_postgres(is_durable=True))
        if "bucket" in request.param:
            lake_url = name_bucket_lake(request.getfixturevalue("s3"), monkeypatch)
        settings = Settings(
            home=tmp_path / "home",
            state_url=state_url,
            lake_url=lake_url,
            vault_key=base64.b64encode(secrets.token_bytes(32)).decode() if state_url else "",
            local_roots=(tmp_path / "out",),
            part_rows_target=500,
        )
        yield closing.enter_context(open_service(settings))


def test_the_whole_job_runs_there(runtime: Runtime, tmp_path: Path) -> None:
    app = operations.create_app(
        runtime, name="app", collection="apps", resource_group="group", subscription="subscription"
    ).app
    sample = list(operations.generate_sample(devices=10, days=4, seed=11))
    summary = operations.import_batches(runtime, app_id=app.app_id, lines=sample)
    again = operations.import_batches(runtime, app_id=app.app_id, lines=sample)
    operations.compact(runtime, app.app_id)
    operations.fold_snapshots(runtime, app.app_id)

    for export_type in (ExportType.EVENT, ExportType.SESSION, ExportType.DEVICE):
        span = TimeRange.of_days(date(2026, 1, 1), date(2026, 1, 31))
        request = ExportRequest(
            app_id=app.app_id,
            export_type=export_type,
            export_format=ExportFormat.JSON,
            container_url=f"file://{tmp_path / 'out'}",
            time_range=span if export_type.is_historical else None,
        )
        task = operations.create_export(runtime, request)
        task = operations.wait_export(runtime, task.task_id, timeout_seconds=WAIT_SECONDS_MAX)

        assert task.state is ExportState.SUCCEEDED, task.error_details
        proof = operations.verify_export(
            runtime, container_url=request.container_url, folder=task.folder
        )
        assert proof.compared_with_lake
        assert proof.rows > 0
    assert summary.accepted > 0
    assert again.accepted == 0
    assert again.duplicates == summary.batches
