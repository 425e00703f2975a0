"""Opens homes that earlier commits were killed on: exports under way go on, or end and go on.

`tools/make_old_homes.py` makes the archives.
"""

import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pytest
import sqlalchemy as sa

from engagement import operations
from engagement.model.export_request import ExportRequest
from engagement.model.export_tasks import ExportTask
from engagement.model.exports import ExportFormat, ExportState, ExportType, TimeRange
from engagement.runtime.engine import APPLICATION_VERSION
from engagement.runtime.opening import Runtime, open_service
from engagement.settings import Settings
from engagement.store.state import open_state
from engagement.store.tables import export_tasks
from support.waiting import WAIT_SECONDS_MAX

HOMES = sorted(Path(__file__).with_name("homes").glob("*.tar.xz"))
SPAN = TimeRange.of_days(date(2026, 1, 1), date(2026, 1, 31))


@dataclass(frozen=True, slots=True, kw_only=True)
class OldHome:
    """A home as an earlier commit left it."""

    settings: Settings
    container_url: str
    app_id: str
    tasks: dict[str, str]
    """The ids of its tasks, by what they were at."""


@pytest.fixture(params=HOMES, ids=lambda path: path.name.partition(".")[0])
def old(request: pytest.FixtureRequest, tmp_path: Path) -> OldHome:
    """The home, whose exports go to a folder beside it, which holds what was delivered before."""
    with tarfile.open(request.param) as archive:
        archive.extractall(tmp_path, filter="data")
    about = json.loads((tmp_path / "about.json").read_text())
    settings = Settings(home=tmp_path / "base", local_roots=(tmp_path,), part_rows_target=400)
    old = OldHome(
        settings=settings,
        container_url=(tmp_path / "out").as_uri(),
        app_id=about["appId"],
        tasks=about["tasks"],
    )
    _move_container(old)
    return old


def _move_container(old: OldHome) -> None:
    """Let the tasks deliver to where the archive was unpacked."""
    with open_service(old.settings, run_tasks=False) as runtime:
        sealed = {
            task_id: runtime.vault.seal(old.container_url, context=task_id)
            for task_id in old.tasks.values()
        }
    engine = open_state(f"sqlite:///{old.settings.home / 'state.db'}")
    with engine.begin() as connection:
        for task_id, url in sealed.items():
            connection.execute(
                export_tasks.update()
                .where(export_tasks.c.task_id == task_id)
                .values(sealed_container_url=url, container=old.container_url)
            )
    engine.dispose()


@pytest.fixture
def runtime(old: OldHome) -> Iterator[Runtime]:
    """The service of today on the home."""
    with open_service(old.settings) as runtime:
        yield runtime


def _ended(runtime: Runtime, task_id: str) -> ExportTask:
    return operations.wait_export(runtime, task_id, timeout_seconds=WAIT_SECONDS_MAX)


def _rows(old: OldHome, task: ExportTask) -> list[bytes]:
    folder = old.settings.home.parent / "out" / task.folder
    return sorted(line for part in folder.glob("part-*") for line in part.read_bytes().splitlines())


def test_exports_under_way_at_an_upgrade_end_and_can_be_retried(
    old: OldHome, runtime: Runtime
) -> None:
    tasks = {name: _ended(runtime, task_id) for name, task_id in old.tasks.items()}

    assert {name: task.state for name, task in tasks.items()} == {
        "started": ExportState.SUCCEEDED,
        "cancelled": ExportState.CANCELLED,
        "waiting": ExportState.SUCCEEDED,
    }
    request = ExportRequest(
        app_id=old.app_id,
        export_type=ExportType.EVENT,
        export_format=ExportFormat.NDJSON,
        container_url=old.container_url,
        time_range=SPAN,
    )
    new = _ended(runtime, operations.create_export(runtime, request).task_id)
    assert new.state is ExportState.SUCCEEDED
    assert len(_rows(old, new)) == new.progress.rows_total > 0
    operations.retry_export(runtime, old.tasks["cancelled"], container_url=old.container_url)
    retried = _ended(runtime, old.tasks["cancelled"])
    assert retried.state is ExportState.SUCCEEDED
    for task in (tasks["started"], tasks["waiting"], retried):
        assert _rows(old, task) == _rows(old, new)
    assert _versions_under_way(old) <= {APPLICATION_VERSION}


def _versions_under_way(old: OldHome) -> set[str]:
    """Of the workflows that have not ended; a task may have, a moment before its workflow."""
    engine = sa.create_engine(f"sqlite:///{old.settings.home / 'tasks.db'}")
    query = sa.text(
        "SELECT DISTINCT application_version FROM workflow_status "
        "WHERE status IN ('PENDING', 'ENQUEUED', 'DELAYED')"
    )
    try:
        with engine.connect() as connection:
            return set(connection.scalars(query))
    finally:
        engine.dispose()
