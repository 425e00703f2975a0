"""Runs tasks in this process and in one of their own."""

import json
import resource
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from engagement import operations
from engagement.collect.inbox import accept
from engagement.collect.payload import decode_batch
from engagement.exceptions import WorkerLostError
from engagement.model.export_request import ExportRequest
from engagement.model.exports import ExportFormat, ExportState, ExportType, TimeRange
from engagement.model.tag_imports import ImportState, ImportTask
from engagement.runtime.opening import Runtime, open_service
from engagement.settings import Settings
from engagement.worker import client
from engagement.worker.client import WorkerProcess, running_worker
from support.waiting import WAIT_SECONDS_MAX, join_threads, wait_for

NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture(params=["in this process", "in a worker"])
def runtime(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Runtime]:
    """A service whose tasks run here or in a worker."""
    monkeypatch.setenv("ENGAGEMENT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ENGAGEMENT_LOCAL_ROOTS", str(tmp_path))
    settings = Settings.from_environment()
    with ExitStack() as closing:
        if request.param == "in this process":
            yield closing.enter_context(open_service(settings))
        else:
            work = closing.enter_context(running_worker(settings))
            yield closing.enter_context(open_service(settings, run_tasks=False, runner=work))


@pytest.fixture
def app_id(runtime: Runtime) -> str:
    """An app with three logs in its inbox."""
    made = operations.create_app(
        runtime, name="app", collection="c", resource_group="g", subscription="s"
    )
    logs = [
        {"type": "event", "name": "tap", "timestamp": f"2026-02-0{day}T00:00:00Z"}
        for day in (1, 2, 3)
    ]
    body = {"batchId": "b", "sentAt": "2026-02-03T00:00:00Z", "deviceId": "d" * 32, "logs": logs}
    batch = decode_batch(json.dumps(body).encode(), received_at=NOW, live=False)
    accept(runtime.inbox, made.app.app_id, [batch], received_at=NOW)
    return made.app.app_id


def test_a_flush_moves_what_was_accepted_and_a_second_one_nothing(
    runtime: Runtime, app_id: str
) -> None:
    assert (runtime.flush(app_id), runtime.flush(app_id)) == (3, 0)
    assert runtime.inbox.depth() == 0


def test_flushes_at_the_same_time_move_each_log_once(runtime: Runtime, app_id: str) -> None:
    moved: list[int] = []
    threads = [
        threading.Thread(target=lambda: moved.append(runtime.flush(app_id))) for _ in range(8)
    ]

    for thread in threads:
        thread.start()
    join_threads(threads, "flushes at the same time")

    assert sorted(moved) == [0] * 7 + [3]


def test_a_submitted_export_runs_once(runtime: Runtime, app_id: str, tmp_path: Path) -> None:
    request = ExportRequest(
        app_id=app_id,
        export_type=ExportType.EVENT,
        container_url=f"file://{tmp_path}/out",
        export_format=ExportFormat.NDJSON,
        time_range=TimeRange.of_days(date(2026, 2, 1), date(2026, 2, 28)),
    )

    task = operations.create_export(runtime, request)
    assert runtime.runner is not None
    runtime.runner.submit(task.task_id)  # again
    done = operations.wait_export(runtime, task.task_id, timeout_seconds=WAIT_SECONDS_MAX)

    assert (done.state, done.progress.rows_done) == (ExportState.SUCCEEDED, 3)


def test_a_started_import_runs(runtime: Runtime, app_id: str) -> None:
    own = runtime.settings.home / "imports" / app_id
    own.mkdir(parents=True)
    (own / "tags").write_text(json.dumps({"d" * 32: {"plan": "pro"}}), encoding="utf-8")

    task = operations.create_import_task(runtime, app_id, storage_url=f"file://{own}/tags")

    def find_ended() -> ImportTask | None:
        found = operations.get_import_task(runtime, app_id, task.task_id)
        return found if found.state.is_final else None

    done = wait_for(find_ended, "the end of an import")

    assert done.state is ImportState.SUCCEEDED
    assert operations.get_device(runtime, app_id, "d" * 32).app_info == {"plan": "pro"}


def test_a_worker_that_ended_is_said_to_be_lost_and_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENGAGEMENT_HOME", str(tmp_path / "home"))
    with running_worker(Settings.from_environment()) as work:
        first = work.pid
        work.kill()

        assert _comes_back(work), "a killed worker must be started anew"
        assert work.pid != first


def test_a_worker_comes_back_when_there_are_descriptors_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENGAGEMENT_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(client, "RESTART_SECONDS", 0.01)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with running_worker(Settings.from_environment()) as work, capture_logs() as logs:
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
        try:
            work.kill()
            wait_for(
                lambda: [line for line in logs if line["event"] == "worker_did_not_start"],
                "a worker that cannot be started",
            )
            assert not work.health().is_alive
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)

        wait_for(lambda: work.health().is_alive, "a worker that comes back")
        assert work.health().restarts == 1
        assert work.flush("a" * 32) == 0


def _comes_back(work: WorkerProcess) -> bool:
    """Whether a flush succeeds after some were refused by the right name."""
    lost = False

    def flushes() -> bool:
        nonlocal lost
        try:
            work.flush("a" * 32)
        except WorkerLostError:
            lost = True
            return False
        return True

    return wait_for(flushes, "a worker that flushes again") and lost
