"""Has a test for each end of a task, and for who may work on a home folder."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from polars.exceptions import PanicException
from scene import SPAN, VICTIM, Scene, new_scene
from victim import settings_of

from engagement import operations
from engagement.exceptions import BadInputError, ErrorCode, HomeBusyError, IllegalStateError
from engagement.export.workflow import ExportWorkflow, Failure
from engagement.failpoints import Failpoint
from engagement.model.export_request import ExportRequest
from engagement.model.export_tasks import ExportTask
from engagement.model.exports import ExportFormat, ExportState, ExportType
from engagement.model.records import Kind
from engagement.runtime import engine
from engagement.runtime.engine import APP_EXPORTS_CONCURRENT_MAX
from engagement.runtime.opening import Runtime, open_service
from support.servers import Azurite
from support.waiting import WAIT_SECONDS_MAX, wait_for, wait_for_event

FINAL = (ExportState.SUCCEEDED, ExportState.FAILED, ExportState.CANCELLED)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """An app with its sample in the lake."""
    scene = new_scene(tmp_path_factory.mktemp("ends"))
    assert scene.import_sample().returncode == 0
    return scene


class Gate:
    """Holds an export at a point until it is told to go on."""

    def __init__(self, point: Failpoint) -> None:
        self._point = point
        self.reached = threading.Event()
        self.open = threading.Event()

    def __call__(self, here: Failpoint) -> None:
        if here is self._point:
            self.reached.set()
            wait_for_event(self.open, "a test that opens the gate")


@pytest.fixture
def scene(base: Scene, tmp_path: Path) -> Scene:
    return base.copy(tmp_path / "home")


def request(scene: Scene, container_url: str | None = None) -> ExportRequest:
    """An export of several parts."""
    return ExportRequest(
        app_id=scene.app_id,
        export_type=ExportType.EVENT,
        export_format=ExportFormat.NDJSON,
        container_url=container_url or f"file://{scene.out}",
        time_range=SPAN,
    )


def ended(runtime: Runtime, task: ExportTask) -> ExportTask:
    return operations.wait_export(runtime, task.task_id, timeout_seconds=WAIT_SECONDS_MAX)


def cancelled_at(gate: Gate, runtime: Runtime, request: ExportRequest) -> ExportTask:
    """A task that somebody cancelled when it stood at the gate, after its end."""
    task = operations.create_export(runtime, request)
    wait_for_event(gate.reached, "an export at the gate")
    operations.cancel_export(runtime, task.task_id)
    gate.open.set()
    return ended(runtime, task)


def manifests(scene: Scene) -> list[str]:
    return [name for name in scene.tree() if name.endswith("manifest.json")]


def test_succeeded(scene: Scene) -> None:
    seen: list[ExportState] = []

    with open_service(settings_of(scene.home, scene.out)) as runtime:
        task = operations.create_export(runtime, request(scene))
        task = operations.wait_export(
            runtime,
            task.task_id,
            on_progress=lambda item: seen.append(item.state),
            timeout_seconds=WAIT_SECONDS_MAX,
        )
        assert runtime.plans.read_export(task.task_id).sealed_container_url is None

    assert task.state is ExportState.SUCCEEDED
    assert task.progress.parts_done == task.progress.parts_total >= 3
    assert task.progress.rows_done == task.progress.rows_total
    assert len(manifests(scene)) == 1
    order = [ExportState.QUEUED, ExportState.STARTED, ExportState.SUCCEEDED]
    assert seen == sorted(seen, key=order.index)


def test_failed_where_the_container_goes_away(scene: Scene) -> None:
    gate = Gate(Failpoint.PART_DELIVERED)

    with open_service(settings_of(scene.home, scene.out), on_failpoint=gate) as runtime:
        task = operations.create_export(runtime, request(scene))
        wait_for_event(gate.reached, "an export at the gate")
        folder = scene.out / "Event" / task.task_id
        folder.rename(folder.with_name("moved"))
        folder.write_text("a file where the folder was")
        gate.open.set()
        task = ended(runtime, task)
        assert runtime.plans.read_export(task.task_id).sealed_container_url is None

    assert (task.state, task.error_code) == (ExportState.FAILED, ErrorCode.CONTAINER_NOT_FOUND)
    assert task.error_details
    assert not manifests(scene)


@pytest.mark.parametrize("point", [Failpoint.EXPORT_STARTED, Failpoint.PART_CHUNK])
def test_failed_where_an_extension_panics(scene: Scene, point: Failpoint) -> None:
    """Polars raises a `BaseException` then, which no `except Exception` sees."""

    def panic(here: Failpoint) -> None:
        if here is point:
            raise PanicException("index out of bounds")

    with open_service(settings_of(scene.home, scene.out), on_failpoint=panic) as runtime:
        task = ended(runtime, operations.create_export(runtime, request(scene)))

    assert (task.state, task.error_code) == (ExportState.FAILED, ErrorCode.INTERNAL)
    assert "PanicException" in (task.error_details or "")
    assert not manifests(scene)


def test_failed_where_a_step_does_not_go_on(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "RECONCILE_SECONDS", 0.05)
    settings = settings_of(scene.home, scene.out).model_copy(update={"stall_seconds": 1})
    gate = Gate(Failpoint.PART_DELIVERED)

    with open_service(settings, on_failpoint=gate) as runtime:
        task = operations.create_export(runtime, request(scene))
        wait_for_event(gate.reached, "an export at the gate")
        task = ended(runtime, task)
        assert runtime.plans.read_export(task.task_id).sealed_container_url is None
        gate.open.set()

    assert (task.state, task.error_code) == (ExportState.FAILED, ErrorCode.STALLED)
    assert not manifests(scene)


def test_a_workflow_whose_thread_ends_without_a_trace_goes_on(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "RECONCILE_SECONDS", 0.1)
    write_parts = ExportWorkflow._write_parts  # noqa: SLF001
    panics = [PanicException("outside of every step")]

    def panic_once(self: ExportWorkflow, task_id: str, app_id: str, count: int) -> Failure | None:
        if panics:
            raise panics.pop()
        return write_parts(self, task_id, app_id, count)

    monkeypatch.setattr(ExportWorkflow, "_write_parts", panic_once)

    with open_service(settings_of(scene.home, scene.out)) as runtime:
        task = ended(runtime, operations.create_export(runtime, request(scene)))

    assert task.state is ExportState.SUCCEEDED
    assert not panics


def test_retried_after_a_failure(scene: Scene, azurite: Azurite) -> None:
    """Parts that were delivered stay; only the credential is new."""
    container = azurite.container("retried")
    gate = Gate(Failpoint.PART_RECORDED)

    with open_service(settings_of(scene.home, scene.out), on_failpoint=gate) as runtime:
        stopped = cancelled_at(gate, runtime, request(scene, container.write_url))
        with pytest.raises(BadInputError):
            operations.retry_export(runtime, stopped.task_id)
        other = azurite.container("other")
        with pytest.raises(BadInputError):
            operations.retry_export(runtime, stopped.task_id, container_url=other.write_url)
        done_before = stopped.progress.parts_done
        again = azurite.url(container.name, "cw")
        task = operations.retry_export(runtime, stopped.task_id, container_url=again)
        assert task.attempt == 2
        task = ended(runtime, task)
        proof = operations.verify_export(
            runtime, container_url=container.read_url, folder=task.folder
        )
        with pytest.raises(IllegalStateError):
            operations.retry_export(runtime, task.task_id, container_url=again)

    assert stopped.state is ExportState.CANCELLED
    assert 0 < done_before < task.progress.parts_total
    assert task.state is ExportState.SUCCEEDED
    assert proof.compared_with_lake


def test_failed_where_the_pinned_files_were_vacuumed(scene: Scene) -> None:
    """A retry may come so late that what its plan reads is gone; it must not deliver less."""
    gate = Gate(Failpoint.PART_RECORDED)

    with open_service(settings_of(scene.home, scene.out), on_failpoint=gate) as runtime:
        task = cancelled_at(gate, runtime, request(scene))
        part = next(data for name, data in scene.tree().items() if "/part-" in name)
        device_id = json.loads(part.splitlines()[0])["deviceId"]
        operations.erase_device(runtime, scene.app_id, device_id)
        runtime.lake.vacuum(
            scene.app_id,
            Kind.EVENT,
            before=datetime.now(UTC) + timedelta(days=1),
            keep=set(),
            shorten_log=False,
        )
        url = f"file://{scene.out}"
        task = operations.retry_export(runtime, task.task_id, container_url=url)
        task = ended(runtime, task)

    assert (task.state, task.error_code) == (ExportState.FAILED, ErrorCode.SOURCE_UNAVAILABLE)
    assert not manifests(scene)


def test_cancelled_while_it_waits(scene: Scene) -> None:
    with open_service(settings_of(scene.home, scene.out), run_tasks=False) as runtime:
        task = operations.create_export(runtime, request(scene))
        task = operations.cancel_export(runtime, task.task_id)
        with pytest.raises(IllegalStateError):
            operations.cancel_export(runtime, task.task_id)

    assert (task.state, task.error_code) == (ExportState.CANCELLED, ErrorCode.CANCELLED)
    assert not scene.tree() or not manifests(scene)


def test_a_retry_is_not_ended_by_the_attempt_that_was_cancelled_while_it_waited(
    scene: Scene,
) -> None:
    """The first attempt's workflow is still in the queue when the second one joins it."""
    gate = Gate(Failpoint.EXPORT_PLAN_KEPT)

    with open_service(settings_of(scene.home, scene.out), on_failpoint=gate) as runtime:
        ahead = [
            operations.create_export(runtime, request(scene))
            for _ in range(APP_EXPORTS_CONCURRENT_MAX)
        ]
        task = operations.create_export(runtime, request(scene))
        assert operations.cancel_export(runtime, task.task_id).state is ExportState.CANCELLED
        url = f"file://{scene.out}"
        task = operations.retry_export(runtime, task.task_id, container_url=url)
        assert (task.state, task.attempt) == (ExportState.QUEUED, 2)
        gate.open.set()
        states = {ended(runtime, item).state for item in (*ahead, task)}

    assert states == {ExportState.SUCCEEDED}
    assert len(manifests(scene)) == APP_EXPORTS_CONCURRENT_MAX + 1


def test_cancelled_while_it_runs(scene: Scene) -> None:
    gate = Gate(Failpoint.PART_STARTED)

    with open_service(settings_of(scene.home, scene.out), on_failpoint=gate) as runtime:
        task = cancelled_at(gate, runtime, request(scene))
        assert runtime.plans.read_export(task.task_id).sealed_container_url is None

    assert task.state is ExportState.CANCELLED
    assert not manifests(scene)


def test_a_cancel_that_comes_too_late_changes_nothing(scene: Scene) -> None:
    """Once the manifest is delivered the task has succeeded, whoever asks for what."""
    gate = Gate(Failpoint.MANIFEST_DELIVERED)

    with open_service(settings_of(scene.home, scene.out), on_failpoint=gate) as runtime:
        task = cancelled_at(gate, runtime, request(scene))

    assert task.state is ExportState.SUCCEEDED
    assert len(manifests(scene)) == 1


def test_a_credential_is_nowhere_in_the_home_folder(scene: Scene, azurite: Azurite) -> None:
    container = azurite.container("secret")
    signature = container.write_url.partition("sig=")[2].partition("&")[0]
    assert len(signature) > 20

    with open_service(settings_of(scene.home, scene.out)) as runtime:
        task = operations.create_export(runtime, request(scene, container.write_url))
        waiting = secret_files(scene.home, signature)
        task = ended(runtime, task)

    assert task.state is ExportState.SUCCEEDED
    assert signature not in repr(task)
    assert waiting == []
    assert secret_files(scene.home, signature) == []


def secret_files(home: Path, secret: str) -> list[str]:
    return [
        path.name
        for path in home.rglob("*")
        if path.is_file() and secret.encode() in path.read_bytes()
    ]


def test_a_second_process_is_refused_and_may_look(scene: Scene) -> None:
    with open_service(settings_of(scene.home, scene.out)):
        with pytest.raises(HomeBusyError), open_service(settings_of(scene.home, scene.out)):
            pass
        with open_service(settings_of(scene.home, scene.out), run_tasks=False) as beside:
            assert operations.list_apps(beside)


@pytest.mark.parametrize("point", [Failpoint.EXPORT_STARTED, Failpoint.PART_STARTED])
def test_an_interruption_that_a_query_hears_of_ends_no_task(scene: Scene, point: Failpoint) -> None:
    """Polars raises what Ctrl-C is in the thread of a step."""
    interrupted = threading.Event()

    def interrupt(here: Failpoint) -> None:
        if here is point:
            interrupted.set()
            raise KeyboardInterrupt

    with open_service(settings_of(scene.home, scene.out), on_failpoint=interrupt) as runtime:
        task = operations.create_export(runtime, request(scene))
        wait_for_event(interrupted, "an interruption")
    with open_service(settings_of(scene.home, scene.out)) as runtime:
        done = operations.wait_export(runtime, task.task_id, timeout_seconds=WAIT_SECONDS_MAX)

    assert done.state is ExportState.SUCCEEDED, done.error_details


@pytest.fixture
def running(scene: Scene) -> Iterator[subprocess.Popen[bytes]]:
    """Another process that owns the home folder, waiting for a task that does not exist."""
    fifo = scene.home.parent / "sample"
    os.mkfifo(fifo)
    command = [sys.executable, VICTIM, scene.home, scene.out, "import", fifo, scene.app_id]
    process = subprocess.Popen(command)
    with fifo.open("wb"):
        yield process
        process.kill()
        process.wait(WAIT_SECONDS_MAX)


def test_the_lock_of_a_killed_process_is_taken_over(
    scene: Scene, running: subprocess.Popen[bytes]
) -> None:

    def is_busy() -> bool:
        try:
            with open_service(settings_of(scene.home, scene.out)):
                return False
        except HomeBusyError:
            return True

    wait_for(is_busy, "a process that owns the home folder")
    running.send_signal(signal.SIGKILL)
    running.wait(WAIT_SECONDS_MAX)

    with open_service(settings_of(scene.home, scene.out)) as runtime:
        assert operations.list_apps(runtime)
