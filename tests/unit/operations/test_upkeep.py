"""Tests that what is old is forgotten, and that a clock that jumps makes nothing old."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from polars.exceptions import PanicException

from engagement import operations
from engagement.exceptions import BadInputError, LakeDamagedError
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


def _days_kept(
    runtime: Runtime, app_id: str, clock: StoppedClock, *, kind: Kind = Kind.EVENT
) -> list[int]:
    """How many days ago that happened which is in the lake."""
    version = runtime.inbox.last_commits(app_id)[kind].version
    today = clock().date()
    files = runtime.lake.files(app_id, kind, version)
    return sorted((today - file.day).days for file in files if file.day is not None)


def _create_app(runtime: Runtime, name: str) -> str:
    place = {"collection": "apps", "resource_group": "group", "subscription": "subscription"}
    return operations.create_app(runtime, name=name, **place).app.app_id


def test_each_app_keeps_its_history_as_long_as_is_set(
    runtime: Runtime, clock: StoppedClock
) -> None:
    kept = {_create_app(runtime, name): days for name, days in (("a", 1), ("b", 3), ("c", None))}
    for app_id, days in kept.items():
        operations.set_retention(runtime, app_id, days)
    for day in range(6):
        for app_id in kept:
            _post(runtime, app_id, clock, f"{day}")
        _serve(runtime, clock, days=1)

    operations.tidy_due(runtime)

    found = [_days_kept(runtime, app_id, clock) for app_id in kept]
    assert found == [[1], [1, 2, 3], [1, 2, 3, 4, 5, 6]], "today and so many days before it"


def test_a_day_that_is_still_written_is_kept(
    runtime: Runtime, app_id: str, clock: StoppedClock
) -> None:
    operations.set_retention(runtime, app_id, 1)
    clock.advance(timedelta(hours=11, minutes=59))  # a minute before midnight
    for _ in range(3):
        _post(runtime, app_id, clock, f"{clock()}")
        _serve(runtime, clock, days=1)

    operations.tidy_due(runtime)
    _post(runtime, app_id, clock, "now")
    clock.advance(timedelta(minutes=2))
    _post(runtime, app_id, clock, "past midnight")
    operations.retain(runtime, app_id, 1)

    assert _days_kept(runtime, app_id, clock) == [0, 1]


def test_upkeep_is_due_a_day_after_the_last_however_often_the_service_starts(
    tmp_path: Path, clock: StoppedClock
) -> None:
    home = tmp_path / "home"
    with open_test_runtime(home, clock=clock) as runtime:
        _serve(runtime, clock, days=30)
        app_id = _create_app(runtime, "app")
        operations.set_retention(runtime, app_id, 1)
        _post(runtime, app_id, clock, "a")
        _serve(runtime, clock, days=3)
        operations.tidy_due(runtime)
        _post(runtime, app_id, clock, "b")
        assert _days_kept(runtime, app_id, clock) == [0]

    kept = []
    for _ in range(10):
        clock.advance(timedelta(hours=7))
        with open_test_runtime(home, clock=clock) as runtime:
            operations.tidy_due(runtime)
            kept.append(_days_kept(runtime, app_id, clock))

    assert kept[:6] == [[0], [1], [1], [1], [1], [2]], "the third look of a day is too early"
    assert kept[7:] == [[], [], []]


def test_upkeep_that_a_crash_cut_off_is_done_an_hour_later(
    runtime: Runtime, app_id: str, clock: StoppedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    operations.set_retention(runtime, app_id, 1)
    _post(runtime, app_id, clock, "a")
    _serve(runtime, clock, days=9)

    def crash(*_: object) -> None:
        raise SystemExit

    with monkeypatch.context() as crashing:
        crashing.setattr("engagement.operations.upkeep.retain", crash)
        with pytest.raises(SystemExit):
            operations.tidy_due(runtime)
        clock.advance(timedelta(minutes=59))
        operations.tidy_due(runtime)  # it would crash
    clock.advance(timedelta(minutes=2))
    operations.tidy_due(runtime)

    assert _days_kept(runtime, app_id, clock) == []


def test_a_damaged_app_keeps_no_other_from_its_retention(
    runtime: Runtime, clock: StoppedClock
) -> None:
    app_ids = [_create_app(runtime, name) for name in "abc"]
    for app_id in app_ids:
        operations.set_retention(runtime, app_id, 1)
        _post(runtime, app_id, clock, app_id)
    table = runtime.settings.home / "lake" / app_ids[1] / Kind.SESSION.value
    for file in table.rglob("*.parquet"):
        file.unlink()
    _serve(runtime, clock, days=5)

    with pytest.raises(LakeDamagedError):
        operations.tidy_due(runtime)

    assert [_days_kept(runtime, app_id, clock) for app_id in app_ids] == [[]] * 3
    sessions = [_days_kept(runtime, app_id, clock, kind=Kind.SESSION) for app_id in app_ids]
    assert sessions == [[], [5], []]
    clock.advance(timedelta(hours=2))
    operations.tidy_due(runtime)  # it is not its turn


@pytest.mark.parametrize("days", [0, -5, 36_501, 10**12])
def test_history_is_never_kept_for_no_day(runtime: Runtime, app_id: str, days: int) -> None:
    with pytest.raises(BadInputError, match="1 to 36,500"):
        operations.retain(runtime, app_id, days)
