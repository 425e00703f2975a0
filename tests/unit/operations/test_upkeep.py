"""Tests that what is old is forgotten, and that a clock that jumps makes nothing old."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from polars.exceptions import PanicException

from engagement import operations
from engagement.model.records import Kind
from engagement.runtime.opening import Runtime, open_service
from engagement.settings import Settings
from engagement.store import files
from engagement.testing import StoppedClock, open_test_runtime
from support.batches import batch, log

DAY = timedelta(days=1)
JUMP = 100 * DAY
"""Longer than anything is kept that is forgotten by its age."""


@pytest.fixture
def clock() -> StoppedClock:
    return StoppedClock()


@pytest.fixture
def runtime(tmp_path: Path, clock: StoppedClock) -> Iterator[Runtime]:
    with open_test_runtime(tmp_path / "home", clock=clock) as runtime:
        _serve(runtime, clock, days=120)
        yield runtime


@pytest.fixture
def app_id(runtime: Runtime) -> str:
    made = operations.create_app(
        runtime, name="app", collection="apps", resource_group="group", subscription="subscription"
    )
    return made.app.app_id


def _serve(runtime: Runtime, clock: StoppedClock, *, days: int) -> None:
    """Let days pass as a server does."""
    for _ in range(days):
        clock.advance(DAY)
        runtime.running_time.look()


def _post(runtime: Runtime, app_id: str, clock: StoppedClock, batch_id: str) -> None:
    """Collect a session, an event, and tags of a device, and bring them into the lake."""
    _collect(runtime, app_id, clock, batch_id)
    runtime.flush(app_id)


def _collect(runtime: Runtime, app_id: str, clock: StoppedClock, batch_id: str) -> None:
    now = clock()
    body = batch(
        log("activity", day=now.date()),
        log("event", day=now.date(), sessionId="session"),
        log("tags", day=now.date(), tags={"batch": batch_id}),
        batch_id=batch_id,
        sent_at=now,
    )
    collected = operations.collect_batch(runtime, app_id, body, content_encoding=None)
    collected.durable.result()


def _rows(runtime: Runtime, app_id: str) -> dict[Kind, int]:
    commits = runtime.inbox.last_commits(app_id)
    return {kind: commit.rows_total for kind, commit in commits.items()}


def _sessions(runtime: Runtime, app_id: str) -> int:
    """How many rows the sessions of one device are in."""
    operations.compact(runtime, app_id)
    return _rows(runtime, app_id)[Kind.SESSION]


def test_a_jump_of_the_clock_forgets_nothing(
    runtime: Runtime, app_id: str, clock: StoppedClock
) -> None:
    _post(runtime, app_id, clock, "a")
    _post(runtime, app_id, clock, "b")
    before = _rows(runtime, app_id)

    clock.now += JUMP
    operations.tidy_up(runtime)
    operations.vacuum(runtime, app_id)
    operations.retain(runtime, app_id, 30)
    clock.now -= JUMP
    _post(runtime, app_id, clock, "a")

    after = _rows(runtime, app_id)
    assert after[Kind.EVENT] == before[Kind.EVENT] == 2
    assert after[Kind.TAG] == before[Kind.TAG] == 2, "changes of the last days stay apart"
    sessions = _sessions(runtime, app_id)
    _post(runtime, app_id, clock, "c")
    assert _sessions(runtime, app_id) == sessions, "the sessions are known still"


def test_what_is_old_by_running_time_is_forgotten(
    runtime: Runtime, app_id: str, clock: StoppedClock
) -> None:
    _post(runtime, app_id, clock, "a")
    _post(runtime, app_id, clock, "b")

    _serve(runtime, clock, days=9)
    operations.tidy_up(runtime)
    again = operations.collect_batch(
        runtime, app_id, batch(log("event"), batch_id="a", sent_at=clock()), content_encoding=None
    )

    assert again.durable.result() == 1, "its key is forgotten"
    assert _rows(runtime, app_id)[Kind.TAG] == 1, "old changes are folded"


def test_a_jump_is_believed_when_the_service_ran_by_the_new_time(
    runtime: Runtime, app_id: str, clock: StoppedClock
) -> None:
    _post(runtime, app_id, clock, "a")
    clock.now += JUMP
    _serve(runtime, clock, days=9)

    operations.tidy_up(runtime)
    operations.retain(runtime, app_id, 30)

    assert _rows(runtime, app_id)[Kind.EVENT] == 0
    assert operations.read_unconfirmed_clock(runtime) == timedelta(0)


@pytest.mark.parametrize(("days_before_jump", "is_kept"), [(0, True), (6, True), (8, False)])
def test_files_that_were_replaced_outlive_a_jump(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, days_before_jump: int, *, is_kept: bool
) -> None:
    """delta-rs goes by the system's clock, so it is that clock which is taken to have jumped."""
    now = datetime.now(UTC)
    jumped = now - 9 * DAY
    clock = StoppedClock(jumped - 30 * DAY)
    settings = Settings(home=tmp_path / "home")
    with open_service(settings, clock=clock, uptime=clock.read_uptime) as runtime:
        app_id = operations.create_app(
            runtime, name="a", collection="a", resource_group="a", subscription="a"
        ).app.app_id
        _post(runtime, app_id, clock, "a")
        _post(runtime, app_id, clock, "b")
        _serve(runtime, clock, days=30 - days_before_jump)
        table = settings.home / "lake" / app_id / Kind.EVENT.value
        before = set(table.rglob("*.parquet"))
        replaced_at = int(clock().timestamp() * 1_000)
        monkeypatch.setattr(files, "_now", lambda: replaced_at)
        operations.compact(runtime, app_id)
        abandoned = table / "part-abandoned.zstd.parquet"
        abandoned.write_bytes(b"")
        os.utime(abandoned, (replaced_at / 1_000, replaced_at / 1_000))
        _serve(runtime, clock, days=days_before_jump)

        clock.now = now
        operations.vacuum(runtime, app_id)

        assert {file.exists() for file in [*before, abandoned]} == {is_kept}


def test_a_panic_at_one_app_keeps_flushes_from_no_other(
    runtime: Runtime, app_id: str, clock: StoppedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = operations.create_app(
        runtime, name="other", collection="apps", resource_group="group", subscription="own"
    ).app.app_id
    for posted in (app_id, other):
        _collect(runtime, posted, clock, "posted")
    clock.advance(DAY)
    flushed: list[str] = []

    def flush(self: Runtime, flushed_id: str) -> int:
        flushed.append(flushed_id)
        if flushed_id == min(app_id, other):
            raise PanicException("index out of bounds")
        return 0

    monkeypatch.setattr(Runtime, "flush", flush)

    with pytest.raises(PanicException):
        operations.flush_due(runtime)

    assert flushed == sorted([app_id, other])
