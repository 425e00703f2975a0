"""Tests that a copied state database holds what the original did, and is proved to."""

import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from engagement.exceptions import BadInputError, DatabaseDamagedError, VerificationError
from engagement.store import state_copy
from engagement.store.queries.executors import ExecutorQueries
from engagement.store.state import open_state
from engagement.store.state_copy import copy_state, load_state, read_state_content
from engagement.store.tables import metadata
from support.batches import DEVICES, batch, everything, log
from support.home import Home, open_home

SECRET = "told by a device"  # noqa: S105 - of no secret, but to be looked for


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Home]:
    """A state with rows of most tables, some of which were deleted."""
    with open_home(tmp_path / "source") as home:
        home.next_app()
        for number in range(4):
            home.take(everything(number, device=DEVICES[number % 3]))
        home.accept(everything(9, device=DEVICES[1]))
        with home.engine.begin() as connection:
            connection.execute(
                metadata.tables["installation"].insert(),
                {"name": "signing_key", "value": bytes(range(256))},
            )
        yield home


@pytest.fixture
def source_url(source: Home) -> str:
    return f"sqlite:///{source.folder / 'state.db'}"


@pytest.fixture
def target_url(tmp_path: Path) -> str:
    """Where there is no state yet; tests/integration gives a server in its place."""
    return f"sqlite:///{tmp_path / 'target.db'}"


def test_every_row_comes_along_and_numbers_go_on(
    source: Home, source_url: str, target_url: str, tmp_path: Path
) -> None:
    copy_state(source_url, tmp_path / "copy.db")
    content = load_state(tmp_path / "copy.db", target_url)

    assert content == read_state_content(source_url) == read_state_content(target_url)
    assert {content[name].rows for name in ("inbox", "installation")} == {1}
    assert content["inbox"].newest_number == 5
    assert content["commits"].rows > 10
    with open_home(tmp_path / "later", state_url=target_url) as copied:
        copied.next_app()
        copied.accept(everything(10, device=DEVICES[1]))
        assert copied.inbox.newest_position(copied.app_id) == 6


def test_a_copy_of_a_copy_is_equal_too(source_url: str, target_url: str, tmp_path: Path) -> None:
    copy_state(source_url, tmp_path / "copy.db")
    load_state(tmp_path / "copy.db", target_url)
    copy_state(target_url, tmp_path / "again.db")

    assert read_state_content(f"sqlite:///{tmp_path / 'again.db'}") == read_state_content(
        source_url
    )


def test_the_original_goes_on_while_it_is_copied(
    source: Home, source_url: str, target_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The copy is of one moment: no table in it is newer than another."""
    copy_state(source_url, tmp_path / "copy.db")
    load_state(tmp_path / "copy.db", target_url)
    before = read_state_content(target_url)
    reading = state_copy._read_newest_number  # noqa: SLF001 - called after each table
    with open_home(tmp_path / "writing", state_url=target_url) as writing:
        writing.next_app()
        numbers = iter(range(100, 200))

        def write_meanwhile(connection: sa.Connection, table: sa.Table) -> int:
            if str(connection.engine.url) == target_url:
                writing.accept(everything(next(numbers), device=DEVICES[2]))
            return reading(connection, table)

        monkeypatch.setattr(state_copy, "_read_newest_number", write_meanwhile)
        copy_state(target_url, tmp_path / "again.db")
        monkeypatch.undo()

    again = read_state_content(f"sqlite:///{tmp_path / 'again.db'}")
    assert {name: table.digest for name, table in again.items()} == {
        name: table.digest for name, table in before.items()
    }


def test_nothing_is_copied_over_a_state_that_is_there(
    source_url: str, target_url: str, tmp_path: Path
) -> None:
    copy_state(source_url, tmp_path / "copy.db")
    load_state(tmp_path / "copy.db", target_url)
    before = read_state_content(target_url)

    with pytest.raises(BadInputError, match=r"there is|holds rows"):
        load_state(tmp_path / "copy.db", target_url)

    assert read_state_content(target_url) == before


def test_a_row_that_is_lost_on_the_way_is_found_out(
    source_url: str, target_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A planted bug; nothing of it comes into use."""
    copy_state(source_url, tmp_path / "copy.db")
    if target_url.startswith("sqlite"):
        vacuum = state_copy._vacuum_into  # noqa: SLF001

        def losing(database: str, file: Path) -> None:
            vacuum(database, file)
            with sqlite3.connect(file) as connection:
                connection.execute("DELETE FROM commits WHERE kind = 'event'")
            connection.close()

        monkeypatch.setattr(state_copy, "_vacuum_into", losing)
    else:
        copy = state_copy._copy_rows  # noqa: SLF001

        def losing_rows(source: sa.Connection, target: sa.Connection) -> None:
            copy(source, target)
            target.execute(sa.text("DELETE FROM commits WHERE kind = 'event'"))

        monkeypatch.setattr(state_copy, "_copy_rows", losing_rows)

    with pytest.raises(VerificationError, match="its tables commits differ"):
        load_state(tmp_path / "copy.db", target_url)

    monkeypatch.undo()
    load_state(tmp_path / "copy.db", target_url)


def test_no_free_page_is_copied(source: Home, source_url: str, tmp_path: Path) -> None:
    body = batch(log("event", 1), device=DEVICES[1], userId=SECRET)
    with source.engine.begin() as connection:
        connection.execute(sa.text("PRAGMA secure_delete=OFF"))
    source.accept(body)
    with source.engine.begin() as connection:
        connection.execute(sa.text("DELETE FROM inbox"))

    copy_state(source_url, tmp_path / "copy.db")

    files = list(source.folder.glob("state.db*"))
    assert any(SECRET.encode() in file.read_bytes() for file in files)
    assert SECRET.encode() not in (tmp_path / "copy.db").read_bytes()


def test_a_damaged_database_is_not_copied_as_if_it_were_whole(
    source: Home, source_url: str, tmp_path: Path
) -> None:
    source.engine.dispose()
    file = source.folder / "state.db"
    data = bytearray(file.read_bytes())
    data[4096 * 3 : 4096 * 5] = bytes([0xFF]) * 8192
    damaged = shutil.copy(file, tmp_path / "damaged.db")
    Path(damaged).write_bytes(data)

    with pytest.raises(DatabaseDamagedError):
        copy_state(f"sqlite:///{damaged}", tmp_path / "copy.db")


def test_processes_that_run_are_no_part_of_a_copy(
    source: Home, source_url: str, target_url: str, tmp_path: Path
) -> None:
    ExecutorQueries(source.engine, lease_seconds=30).register(
        "one", (), host="here", version="1", slots=2
    )

    copy_state(source_url, tmp_path / "copy.db")
    load_state(tmp_path / "copy.db", target_url)
    copy_state(target_url, tmp_path / "again.db")

    assert read_state_content(target_url) == read_state_content(f"sqlite:///{tmp_path}/again.db")
    assert "executors" not in read_state_content(target_url)


def test_where_there_is_no_state_nothing_is_made(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="must be a state database"):
        copy_state(f"sqlite:///{tmp_path / 'none.db'}", tmp_path / "copy.db")

    assert list(tmp_path.iterdir()) == []


def test_every_table_is_compared(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'state.db'}"
    open_state(url).dispose()

    assert read_state_content(url).keys() == metadata.tables.keys() - {"executors"}
