"""Tests that vacuum deletes what nothing needs any more, whoever left it, and nothing else."""

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from engagement.failpoints import Failpoint, no_failpoint
from engagement.model.records import Kind, new_guid
from engagement.store import files as files_module
from engagement.store.lake import Lake
from support.batches import everything
from support.home import Home, StoppedError, stop_at

ONE_DAY = timedelta(days=1)


def written_before(home: Home, age: timedelta, write: Callable[[], object]) -> set[Path]:
    """The files that something leaves in the lake, as if it had been so long ago."""
    lake = Path(home.folder, "lake", home.app_id)
    before = set(lake.rglob("*.parquet*"))
    write()
    written = set(lake.rglob("*.parquet*")) - before
    then = (datetime.now(UTC) - age).timestamp()
    for file in written:
        os.utime(file, (then, then))
    return written


def test_vacuum_deletes_what_no_log_names_once_it_is_old(home: Home) -> None:
    """Rounds that died before they were staged leave such files, and are done again."""

    def die() -> None:
        home.on_failpoint = stop_at(Failpoint.FLUSH_FILES_WRITTEN)
        with pytest.raises(StoppedError):
            home.flush()
        home.on_failpoint = no_failpoint

    def die_writing() -> None:
        (event,) = Path(home.folder, "lake", home.app_id, "event").glob("date=*")
        (event / f"part-{new_guid()}.zstd.parquet#1").write_bytes(b"PAR1")

    home.take(everything(1))
    home.accept(everything(90))
    old = written_before(home, 8 * ONE_DAY, die) | written_before(home, 8 * ONE_DAY, die_writing)
    young = written_before(home, ONE_DAY, die) | written_before(home, ONE_DAY, die_writing)
    note = next(Path(home.folder, "lake").rglob("date=*")) / "note.txt"
    note.write_text("not a data file")
    home.flush()
    rows = home.all_rows()

    report = home.upkeep().vacuum(home.app_id, before=datetime.now(UTC) - 7 * ONE_DAY)

    assert len(old) > 1
    assert report.files_deleted == len(old)
    assert not any(file.exists() for file in old)
    assert all(file.exists() for file in [*young, note])
    assert home.all_rows() == rows


def test_vacuum_keeps_what_is_staged_however_old(home: Home) -> None:
    def stop_before_commit() -> None:
        home.on_failpoint = stop_at(Failpoint.FLUSH_STAGED)
        with pytest.raises(StoppedError):
            home.flush()
        home.on_failpoint = no_failpoint

    home.take(everything(1))
    home.take(everything(2))
    home.accept(everything(90))
    staged = written_before(home, 8 * ONE_DAY, stop_before_commit)

    report = home.upkeep().vacuum(home.app_id, before=datetime.now(UTC) - 7 * ONE_DAY)
    events = home.rows(Kind.EVENT).height
    home.flush()

    assert staged
    assert report.files_deleted == 0
    assert home.rows(Kind.EVENT).height == events + 2


@pytest.mark.parametrize("is_planted", [False, True], ids=["as it is", "planted bug"])
def test_vacuum_keeps_what_the_version_of_the_instant_had_although_the_log_forgot_it(
    home: Home, monkeypatch: pytest.MonkeyPatch, *, is_planted: bool
) -> None:
    """A checkpoint by a clock that jumped drops what says when a file was taken out."""
    if is_planted:
        monkeypatch.setattr(Lake, "_find_paths", lambda *_: set())
    home.take(everything(1))
    home.take(everything(2))
    now = datetime.now(UTC)
    long_ago = int((now - 30 * ONE_DAY).timestamp() * 1_000)
    monkeypatch.setattr(files_module, "_now", lambda: long_ago)
    home.upkeep(now=now).compact(home.app_id)

    while_young = home.upkeep().vacuum(home.app_id, before=now - 7 * ONE_DAY)
    afterwards = home.upkeep().vacuum(home.app_id, before=now + ONE_DAY)

    assert (while_young.files_deleted > 0) is is_planted
    assert while_young.files_deleted + afterwards.files_deleted > 0
