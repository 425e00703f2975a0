"""Tests that nothing deleted is left in the files of the state database."""

import threading
from pathlib import Path

import pytest
import sqlalchemy as sa

from engagement.exceptions import StorageUnavailableError
from engagement.model.records import Kind
from engagement.store import scrubbing
from engagement.store.scrubbing import scrub_state
from support.batches import batch, log
from support.home import Home

TEXT = "what somebody wrote"


def _find(folder: Path) -> list[str]:
    return [path.name for path in folder.glob("state.db*") if TEXT.encode() in path.read_bytes()]


def test_what_was_deleted_is_in_no_file(home: Home) -> None:
    for size in (1, 100, 1_000):
        home.accept(batch(log("crash", stack=TEXT * size)))
    home.flush()
    assert _find(home.folder), "it is in pages that are free"

    scrub_state(home.engine)

    assert _find(home.folder) == []
    with home.engine.begin() as connection:
        assert connection.scalar(sa.text("PRAGMA journal_mode")) == "wal"


def test_what_others_write_meanwhile_is_kept(home: Home) -> None:
    numbers = range(40)
    writer = threading.Thread(
        target=lambda: [home.accept(batch(log("event", number))) for number in numbers]
    )
    writer.start()
    scrub_state(home.engine)
    writer.join()

    home.flush()

    with home.engine.begin() as connection:
        assert connection.scalar(sa.text("PRAGMA integrity_check")) == "ok"
    assert home.inbox.depth() == 0
    assert home.rows(Kind.EVENT).height == len(numbers)


def test_a_reader_that_never_ends_is_named(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scrubbing, "SCRUB_SECONDS_MAX", 0.0)
    reading = home.engine.connect().execution_options(read_only=True)
    try:
        reading.execute(sa.text("SELECT * FROM inbox")).all()
        home.accept(batch(log("event")))

        with pytest.raises(StorageUnavailableError):
            scrub_state(home.engine)
    finally:
        reading.close()
