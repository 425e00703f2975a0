"""Tests what a server does by itself: when it flushes, and how it tidies."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from engagement import operations
from engagement.collect.inbox import accept
from engagement.collect.payload import decode_batch
from engagement.exceptions import StorageFullError
from engagement.model.records import Kind
from engagement.runtime.opening import Runtime
from engagement.store.lake import Lake
from engagement.testing import StoppedClock, open_test_runtime

FLUSH_SECONDS = 20
FLUSH_LOGS = 10


@pytest.fixture
def clock() -> StoppedClock:
    return StoppedClock()


@pytest.fixture
def runtime(tmp_path: Path, clock: StoppedClock) -> Iterator[Runtime]:
    with open_test_runtime(
        tmp_path / "home", clock=clock, flush_seconds=FLUSH_SECONDS, flush_logs_max=FLUSH_LOGS
    ) as runtime:
        yield runtime


@pytest.fixture
def app_id(runtime: Runtime) -> str:
    place = {"collection": "c", "resource_group": "g", "subscription": "s"}
    return operations.create_app(runtime, name="app", **place).app.app_id


def _post(runtime: Runtime, app_id: str, batch_id: str, *, logs: int) -> None:
    log = {"type": "event", "name": "tap", "timestamp": "2026-02-01T00:00:00Z"}
    body = {
        "batchId": batch_id,
        "sentAt": "2026-02-01T00:00:00Z",
        "deviceId": "d",
        "logs": [log] * logs,
    }
    now = runtime.clock()
    batch = decode_batch(json.dumps(body).encode(), received_at=now, live=False)
    accept(runtime.inbox, app_id, [batch], received_at=now)


def test_nothing_is_flushed_where_nothing_waits(runtime: Runtime) -> None:
    assert operations.flush_due(runtime) == 0


def test_a_few_logs_are_flushed_when_they_have_waited(
    runtime: Runtime, app_id: str, clock: StoppedClock
) -> None:
    _post(runtime, app_id, "1", logs=FLUSH_LOGS - 1)
    assert operations.flush_due(runtime) == 0

    clock.now += timedelta(seconds=FLUSH_SECONDS)
    assert operations.flush_due(runtime) == FLUSH_LOGS - 1


def test_many_logs_are_flushed_at_once(runtime: Runtime, app_id: str) -> None:
    _post(runtime, app_id, "1", logs=FLUSH_LOGS)

    assert operations.flush_due(runtime) == FLUSH_LOGS


def test_what_a_failed_flush_has_staged_is_committed_later(
    runtime: Runtime, app_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise StorageFullError("No space is left.")

    _post(runtime, app_id, "1", logs=1)
    with monkeypatch.context() as patch:
        patch.setattr(Lake, "commit", fail)
        with pytest.raises(StorageFullError):
            runtime.flush(app_id)
    assert (runtime.inbox.depth(), runtime.staging.list_apps()) == (0, [app_id])

    operations.flush_due(runtime)

    assert runtime.staging.list_apps() == []
    assert runtime.inbox.last_commits(app_id)[Kind.EVENT].rows_total == 1


def test_keeping_in_shape_and_tidying_lose_no_row(
    runtime: Runtime, app_id: str, clock: StoppedClock
) -> None:
    for number in range(4):
        _post(runtime, app_id, str(number), logs=2)
        runtime.flush(app_id)
    clock.now += timedelta(days=30)

    operations.keep_in_shape(runtime)
    before = runtime.inbox.last_commits(app_id)[Kind.EVENT]
    operations.tidy_up(runtime)
    after = runtime.inbox.last_commits(app_id)[Kind.EVENT]

    assert before.rows_total == after.rows_total == 8
    files = runtime.lake.files(app_id, Kind.EVENT, after.version)
    assert [file.rows for file in files] == [8]
