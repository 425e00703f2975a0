"""Tests that a damaged table keeps no other table from its commits, and goes on when mended."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from engagement.exceptions import LakeDamagedError
from engagement.model.exports import ExportType
from engagement.model.records import Kind
from engagement.store.committing import Committer
from support.batches import everything
from support.home import Home, open_home


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """A home whose tables have one commit each."""
    with open_home(tmp_path / "home") as made:
        made.take(everything(0))
        yield made


def newest_commit(home: Home, kind: Kind) -> Path:
    version = home.inbox.last_commits(home.app_id)[kind].version
    return home.lake.commit_file(home.app_id, kind, version)


def damage(home: Home, kind: Kind) -> bytes:
    """Cut the newest commit of a table; what it was."""
    whole = newest_commit(home, kind).read_bytes()
    newest_commit(home, kind).write_bytes(whole[:-20])
    home.restart()
    return whole


def test_the_other_tables_of_the_app_go_on(home: Home) -> None:
    damage(home, Kind.TAG)

    home.take(everything(1))

    assert home.rows(Kind.EVENT).height == 2 * 2
    assert [table.kind for table in home.staging.list_damaged()] == [Kind.TAG]
    assert home.inbox.depth() == 0
    assert home.staging.list_staged(home.app_id, Kind.TAG)


def test_what_waited_is_committed_once_when_the_table_is_mended(home: Home) -> None:
    whole = damage(home, Kind.TAG)
    home.take(everything(1))
    home.take(everything(2))

    newest_commit(home, Kind.TAG).write_bytes(whole)
    home.recover()
    home.flush()

    assert home.staging.list_damaged() == []
    assert home.rows(Kind.TAG).height == 3 * 2
    assert len(home.exported(home.request(ExportType.TAG))) == 1  # of the one device


def test_a_fault_that_is_no_damage_is_raised_and_tried_again(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise LakeDamagedError("for a moment")

    home.accept(everything(1))
    with monkeypatch.context() as failing:
        failing.setattr(home.lake, "commit", fail)
        with pytest.raises(LakeDamagedError, match="for a moment"):
            home.flush()
    assert home.staging.list_damaged() == []

    assert Committer(home.inbox, home.staging, home.lake).commit(home.app_id) == set()

    assert home.rows(Kind.EVENT).height == 2 * 2
