"""Tests that imports of tags end well, go on after any end, and count once."""

import json
import os
import stat
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import pytest
from polars.exceptions import PanicException

from engagement.collect.tag_imports import IMPORT_ATTEMPTS_MAX, IMPORT_BYTES_MAX
from engagement.exceptions import (
    BadInputError,
    ErrorCode,
    InvalidContainerError,
    StorageFullError,
    UnknownAppError,
    UnknownTaskError,
)
from engagement.model.records import Kind
from engagement.model.tag_imports import ImportState, ImportTask
from engagement.operations.tag_imports import (
    create_import_task,
    get_import_task,
    list_import_tasks,
)
from engagement.store.queries.tag_imports import ImportTaskQueries
from support.batches import DEVICES
from support.tag_imports import (
    IMPORTED,
    LINES,
    SPELLED,
    ImportScene,
    open_import_scene,
)
from support.waiting import POLL_SECONDS, wait_for, wait_for_event


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImportScene]:
    with open_import_scene(tmp_path_factory.mktemp("imports")) as scene:
        yield scene


@pytest.fixture
def app_id(scene: ImportScene) -> str:
    return scene.new_app()


def test_devices_that_cannot_be_tagged_are_named(scene: ImportScene, app_id: str) -> None:
    others = {f"{number:032x}": {"plan": "x"} for number in range(5)}
    bad = {DEVICES[0]: {"1st": "x"}, DEVICES[1]: "x", "\ud800": {"plan": "x"}}
    good = {SPELLED[0]: {"plan": "pro"}, SPELLED[1]: {}}

    task = scene.imported(app_id, json.dumps(bad | others | good).encode())

    assert task.state is ImportState.SUCCEEDED
    assert task.error_details is not None
    assert task.error_details.startswith("8 of 10 devices were left out. First of them: ")
    for words in ("A key of tags must be", "an object of strings", "no such device", "\\ud800"):
        assert words in task.error_details
    assert scene.tags(app_id) == [{"plan": "pro"}, {}]


@pytest.mark.parametrize("value", [[], {}, 1.5, float("nan"), "x" * 1025, {"deep": [{}]}])
def test_a_value_that_no_tag_can_have_leaves_its_device_out(
    scene: ImportScene, app_id: str, value: object
) -> None:
    tags = {DEVICES[0]: {"plan": value, "good": "x"}, DEVICES[1]: {"plan": "pro"}}

    task = scene.imported(app_id, json.dumps(tags).encode())

    assert task.state is ImportState.SUCCEEDED
    assert (task.error_details or "").startswith("1 of 2 devices were left out.")
    assert scene.tags(app_id) == [{}, {"plan": "pro"}]


@pytest.mark.parametrize(
    ("data", "code", "words"),
    [
        (b"", ErrorCode.CORRUPT_INPUT, "got nothing"),
        (b"[]", ErrorCode.CORRUPT_INPUT, "at character 1"),
        (b'{"a": "\xff"}', ErrorCode.CORRUPT_INPUT, "UTF-8, got other bytes at byte 8"),
        (IMPORT_BYTES_MAX + 1, ErrorCode.REQUEST_TOO_LARGE, "at most 67108864 bytes"),
    ],
)
def test_a_blob_that_holds_no_tags_fails_the_task(
    scene: ImportScene, app_id: str, data: bytes | int, code: ErrorCode, words: str
) -> None:
    task = scene.imported(app_id, data)

    assert (task.state, task.error_code) == (ImportState.FAILED, code)
    assert words in (task.error_details or "")


class DiedError(BaseException):
    """The process is taken to have died here."""


@contextmanager
def _no_end_is_kept() -> Iterator[None]:
    """A process that dies does not say so in the state database."""

    def die(*_: Any, **__: Any) -> NoReturn:
        raise DiedError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ImportTaskQueries, "finish", die)
        yield


@pytest.mark.parametrize("death", [1, 2])
def test_an_import_that_died_goes_on_and_counts_once(
    scene: ImportScene, app_id: str, death: int
) -> None:
    task = scene.queued(app_id)
    flushes: list[str] = []

    def dying(app_id: str) -> None:
        flushes.append(app_id)
        if len(flushes) == death:
            raise DiedError
        scene.runtime.flush(app_id)

    runner = scene.runner(read_blob=lambda *_: [LINES], flush=dying)
    with _no_end_is_kept():
        runner.submit(task)
        wait_for(lambda: len(flushes) >= death, f"{death} flushes of an import")
        runner.stop()
    assert scene.runtime.imports.get(app_id, task.task_id).state is ImportState.STARTED

    done = scene.resumed(task)

    assert done.state is ImportState.SUCCEEDED
    assert scene.tags(app_id) == IMPORTED
    assert scene.runtime.inbox.last_commits(app_id)[Kind.TAG].rows_total == 4


def test_an_import_that_ends_its_process_each_time_fails_after_some_attempts(
    scene: ImportScene, app_id: str
) -> None:
    task = scene.queued(app_id)
    reads: list[str] = []

    def dying(*_: str) -> Iterable[bytes]:
        reads.append(app_id)
        raise DiedError

    for attempt in range(IMPORT_ATTEMPTS_MAX):
        runner = scene.runner(read_blob=dying)
        with _no_end_is_kept():
            runner.resume()
            wait_for(lambda expected=attempt + 1: len(reads) == expected, "an attempt of an import")
            runner.stop()
    runner = scene.runner(read_blob=dying)
    runner.resume()

    done = scene.ended(task)

    runner.stop()
    assert done.error_code is ErrorCode.INTERNAL_RETRIES_EXHAUSTED
    assert len(reads) == IMPORT_ATTEMPTS_MAX


def test_a_process_that_is_asked_to_stop_costs_no_attempt(scene: ImportScene, app_id: str) -> None:
    task = scene.queued(app_id)
    for _ in range(IMPORT_ATTEMPTS_MAX + 1):
        scene.runtime.imports.start(task.task_id, now=task.created_at)
        scene.runtime.imports.take_back_start(task.task_id)

    assert scene.resumed(task).state is ImportState.SUCCEEDED


def _is_refused(scene: ImportScene, app_id: str, path: Path) -> str:
    with pytest.raises(InvalidContainerError) as raised:
        scene.create(app_id, f"file://{path}")
    assert raised.value.code is ErrorCode.EGRESS_DENIED
    return str(raised.value)


def test_local_files_are_imported_from_the_own_folder_of_an_app_alone(
    scene: ImportScene, app_id: str, tmp_path: Path
) -> None:
    """What is said of another file is the same whether it is there or not."""
    other = scene.folder(scene.new_app())
    allowed = scene.runtime.settings.local_roots[0]
    messages = set()
    for folder in (other, allowed, tmp_path, scene.runtime.settings.home / "keys"):
        (folder / "there").write_bytes(LINES)
        messages |= {_is_refused(scene, app_id, folder / name) for name in ("there", "missing")}
    up = f"{scene.folder(app_id)}/../{other.name}/there"
    with pytest.raises(InvalidContainerError):
        scene.create(app_id, f"file://{up}")

    assert len(messages) == 1
    assert "there" not in messages.pop()


@pytest.mark.parametrize("what", ["pipe", "link", "folder", "device"])
def test_what_is_no_file_is_not_read(scene: ImportScene, app_id: str, what: str) -> None:
    path = scene.folder(app_id) / what
    outside = scene.runtime.settings.local_roots[0] / "outside"
    outside.write_bytes(LINES)
    match what:
        case "pipe":
            os.mkfifo(path)
        case "link":
            path.symlink_to(outside)
        case "folder":
            path.mkdir()
        case _:
            if os.getuid() != 0:
                pytest.skip("Only root makes devices.")
            os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 5))  # /dev/zero

    done = scene.ended(scene.create(app_id, f"file://{path}"))

    assert done.state is ImportState.FAILED
    assert scene.tags(app_id) == [{}, {}]


def test_what_is_said_of_a_damaged_file_quotes_nothing_of_it(
    scene: ImportScene, app_id: str
) -> None:
    done = scene.imported(app_id, b"canary: password")

    assert (done.state, done.error_code) == (ImportState.FAILED, ErrorCode.CORRUPT_INPUT)
    assert "canary" not in (done.error_details or "")


def test_an_import_that_was_stopped_goes_on(scene: ImportScene, app_id: str) -> None:
    task = scene.queued(app_id)
    reading, stopping = threading.Event(), threading.Event()

    def read(*_: str) -> Iterator[bytes]:
        reading.set()
        wait_for_event(stopping, "a test that stops an import")
        while True:  # only a look at whether it shall stop ends it, long before it is too much
            time.sleep(POLL_SECONDS)
            yield b" "

    runner = scene.runner(read_blob=read)
    runner.submit(task)
    wait_for_event(reading, "an import that reads")
    stopping.set()
    runner.stop()
    assert scene.runtime.imports.get(app_id, task.task_id).state is ImportState.STARTED

    assert scene.resumed(task).state is ImportState.SUCCEEDED


def test_the_imports_of_an_app_do_not_hold_up_anothers(scene: ImportScene, app_id: str) -> None:
    of_busy = [scene.queued(app_id) for _ in range(4)]
    other_id = scene.new_app()
    of_other = scene.queued(other_id)
    may_go = threading.Event()

    def read(app_id: str, _: str) -> list[bytes]:
        if app_id != other_id:
            wait_for_event(may_go, "a test that lets the busy app go on")
        return [LINES]

    runner = scene.runner(read_blob=read)
    for task in (*of_busy, of_other):
        runner.submit(task)

    assert scene.ended(of_other).state is ImportState.SUCCEEDED
    waiting = {scene.runtime.imports.get(app_id, task.task_id).state for task in of_busy[1:]}
    assert waiting == {ImportState.QUEUED}
    may_go.set()
    assert {scene.ended(task).state for task in of_busy} == {ImportState.SUCCEEDED}
    runner.stop()


def test_an_import_whose_end_could_not_be_kept_runs_again(
    scene: ImportScene, app_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = scene.queued(app_id)
    finish, failed = ImportTaskQueries.finish, threading.Event()

    def fail_once(*given: Any, **named: Any) -> None:
        if failed.is_set():
            finish(*given, **named)
        else:
            failed.set()
            raise StorageFullError("full")

    monkeypatch.setattr(ImportTaskQueries, "finish", fail_once)
    runner = scene.runner(read_blob=lambda *_: [LINES])
    runner.submit(task)
    wait_for_event(failed, "an end that is not kept")

    def find_ended() -> bool:
        runner.resume_lost()
        return scene.runtime.imports.get(app_id, task.task_id).state is ImportState.SUCCEEDED

    wait_for(find_ended, "the end of an import")
    runner.stop()
    assert scene.tags(app_id) == IMPORTED


@pytest.mark.parametrize("error", [ValueError("canary"), PanicException("canary")])
def test_an_unexpected_error_ends_the_task_without_its_words(
    error: BaseException, scene: ImportScene, app_id: str
) -> None:
    task = scene.queued(app_id)

    def read(*_: str) -> Iterable[bytes]:
        raise error

    runner = scene.runner(read_blob=read)
    runner.submit(task)
    done = scene.ended(task)
    runner.stop()

    assert (done.state, done.error_code) == (ImportState.FAILED, ErrorCode.INTERNAL)
    assert "canary" not in (done.error_details or "")


def test_tasks_are_listed_a_page_at_a_time(scene: ImportScene, app_id: str) -> None:
    good = [scene.imported(app_id, b"{}") for _ in range(2)]
    bad = scene.imported(app_id, b"")

    def listed(**options: object) -> list[ImportTask]:
        return list(list_import_tasks(scene.runtime, app_id, **options).tasks)

    by_id = sorted([*good, bad], key=lambda item: item.task_id)
    assert listed() == listed(order_by="jobId") == listed(order_by="jobId asc") == by_id
    assert listed(order_by="jobId desc") == by_id[::-1]
    assert listed(order_by="dateCreated") == [*good, bad]
    assert listed(order_by="jobStatus")[0] == bad
    assert listed(order_by="errorDetails")[2] == listed(order_by="errorDetails desc")[0] == bad
    assert listed(skip=1, top=1) == by_id[1:2]
    assert list_import_tasks(scene.runtime, app_id, skip=1, top=1).has_more
    assert not list_import_tasks(scene.runtime, app_id, skip=1, top=2).has_more


@pytest.mark.parametrize(
    "options",
    [
        {"skip": -1},
        {"skip": 2**31},
        {"top": 0},
        {"top": 41},
        {"order_by": "id"},
        {"order_by": "jobId up"},
        {"order_by": "jobId asc, jobStatus"},
        {"order_by": " "},
    ],
)
def test_an_option_that_cannot_be_is_refused(
    scene: ImportScene, app_id: str, options: dict[str, object]
) -> None:
    with pytest.raises(BadInputError):
        list_import_tasks(scene.runtime, app_id, **options)


def test_tasks_of_other_apps_are_unknown(scene: ImportScene, app_id: str) -> None:
    task = scene.imported(app_id, b"{}")
    other = scene.new_app()

    assert list_import_tasks(scene.runtime, other).tasks == ()
    for unknown in (task.task_id, "\ud800", "\0", ""):
        with pytest.raises(UnknownTaskError):
            get_import_task(scene.runtime, other, unknown)
    for ask in (
        lambda: create_import_task(scene.runtime, "0" * 32, storage_url="file:/x"),
        lambda: get_import_task(scene.runtime, "0" * 32, task.task_id),
        lambda: list_import_tasks(scene.runtime, "0" * 32),
    ):
        with pytest.raises(UnknownAppError):
            ask()
