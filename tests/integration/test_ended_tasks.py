"""Tests that the container URL of an ended task can be opened from no file."""

from pathlib import Path

import pytest

from engagement import operations
from engagement.exceptions import EngagementError
from engagement.model.export_request import ExportRequest
from engagement.model.exports import ExportFormat, ExportType
from engagement.runtime.opening import Runtime, open_service
from engagement.settings import Settings
from engagement.testing import MemoryContainer
from support.waiting import WAIT_SECONDS_MAX, wait_for


def _read_all(home: Path) -> bytes:
    return b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())


def _queue_export(runtime: Runtime, container: MemoryContainer) -> tuple[str, bytes]:
    """The id of an export that waits, and the sealed URL of its container."""
    app_id = operations.create_app(
        runtime, name="a", collection="a", resource_group="a", subscription="a"
    ).app.app_id
    request = ExportRequest(
        app_id=app_id,
        export_type=ExportType.DEVICE,
        export_format=ExportFormat.NDJSON,
        container_url=container.url,
        empty_file=True,
    )
    task_id = operations.create_export(runtime, request).task_id
    sealed = runtime.plans.read_export(task_id).sealed_container_url
    assert sealed is not None
    return task_id, sealed


def test_the_url_of_an_ended_task_can_be_opened_from_no_file(tmp_path: Path) -> None:
    """The log of the database keeps what was deleted, so what opens it has to go."""
    container = MemoryContainer()
    with open_service(Settings(home=tmp_path), run_tasks=False, allow_memory=True) as runtime:
        task_id, sealed = _queue_export(runtime, container)
    keys = [path.read_bytes() for path in (tmp_path / "keys" / "tasks").iterdir()]
    with open_service(Settings(home=tmp_path), allow_memory=True) as runtime:
        assert container.url not in runtime.vault.open(sealed, context=task_id)
        operations.wait_export(runtime, task_id, timeout_seconds=WAIT_SECONDS_MAX)
        assert sealed in _read_all(tmp_path), "a file holds it still"

        def cannot_be_opened() -> bool:
            try:
                runtime.task_vault.open(sealed, context=task_id)
            except EngagementError:
                return True
            return False

        wait_for(cannot_be_opened, "the key of the task to be destroyed")
        assert len(keys) == 1
        assert keys[0] not in _read_all(tmp_path)


def test_a_cancelled_task_can_be_opened_by_nobody_at_once(tmp_path: Path) -> None:
    container = MemoryContainer()
    with open_service(Settings(home=tmp_path), run_tasks=False, allow_memory=True) as runtime:
        task_id, sealed = _queue_export(runtime, container)

        operations.cancel_export(runtime, task_id)

        with pytest.raises(EngagementError):
            runtime.task_vault.open(sealed, context=task_id)
