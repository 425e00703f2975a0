"""Tests that upkeep and flushes of the same tables do not disturb each other."""

import threading
from dataclasses import replace
from typing import Any

import pytest

from engagement.failpoints import Failpoint, no_failpoint
from engagement.model.records import Kind
from engagement.store import upkeep as upkeep_module
from engagement.store.commits import TableChange
from engagement.store.queries.staging import StagingQueries
from engagement.store.upkeep import SMALL_SHARE
from support.batches import DEVICES, NOW, batch, log
from support.home import Home, StoppedError, stop_at
from support.waiting import WAIT_SECONDS_MAX, join_threads


def numbered(home: Home, number: int) -> None:
    home.accept(batch(log("event", number, name=str(number)), log("activity", number)))


@pytest.mark.parametrize(
    "point", [Failpoint.FLUSH_STAGED, Failpoint.COMMIT_FROZEN, Failpoint.COMMIT_IN_LAKE]
)
def test_upkeep_keeps_rows_that_a_flush_has_not_recorded_yet(home: Home, point: Failpoint) -> None:
    for number in range(2):
        numbered(home, number)
        home.flush()
    numbered(home, 2)
    home.on_failpoint = stop_at(point)
    with pytest.raises(StoppedError):
        home.flush()
    home.on_failpoint = no_failpoint

    home.upkeep().compact(home.app_id)
    home.upkeep().erase(home.app_id, DEVICES[5])
    home.flush()

    assert sorted(home.rows(Kind.EVENT)["name"]) == ["0", "1", "2"]
    assert home.rows(Kind.ACTIVITY).height == 3


def test_a_device_is_erased_from_what_is_staged_and_in_no_table_yet(home: Home) -> None:
    numbered(home, 0)
    home.on_failpoint = stop_at(Failpoint.FLUSH_STAGED)
    with pytest.raises(StoppedError):
        home.flush()
    home.on_failpoint = no_failpoint

    home.upkeep().erase(home.app_id, DEVICES[0])
    home.flush()

    assert home.rows(Kind.EVENT).is_empty()
    assert home.rows(Kind.DEVICE).is_empty()


def test_upkeep_beside_flushes_loses_nothing(home: Home) -> None:
    rounds = 4
    ended = threading.Event()
    failures: list[BaseException] = []

    def keep_up() -> None:
        try:
            while not ended.is_set():
                home.upkeep().compact(home.app_id)
                home.upkeep().fold_snapshots(home.app_id, before=NOW)
        except BaseException as error:  # noqa: BLE001 - told to the test's own thread
            failures.append(error)

    beside = threading.Thread(target=keep_up)
    beside.start()
    for number in range(rounds):
        numbered(home, number)
        home.flush()
    ended.set()
    join_threads([beside], "upkeep beside flushes")

    assert failures == []
    assert sorted(map(int, home.rows(Kind.EVENT)["name"])) == list(range(rounds))
    assert home.rows(Kind.ACTIVITY).height == rounds


def flushed_amid_rewrites(home: Home, monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Flush one more number while each rewrite is under way; whether each flush came to its end."""
    for number in range(2):
        numbered(home, number)
        home.flush()
    stage_rewrite = StagingQueries.stage_rewrite
    ended: list[bool] = []

    def stage_late(*what: Any, **how: Any) -> str:
        numbered(home, 2 + len(ended))
        beside = threading.Thread(target=home.flush)
        beside.start()
        beside.join(WAIT_SECONDS_MAX)
        ended.append(not beside.is_alive())
        return stage_rewrite(*what, **how)

    monkeypatch.setattr(StagingQueries, "stage_rewrite", stage_late)
    home.upkeep().compact(home.app_id)
    return ended


def test_a_flush_does_not_wait_for_a_rewrite(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = flushed_amid_rewrites(home, monkeypatch)

    assert ended
    assert all(ended)
    everything = list(range(2 + len(ended)))
    assert sorted(map(int, home.rows(Kind.EVENT)["name"])) == everything
    assert home.rows(Kind.ACTIVITY).height == len(everything)


def test_a_rewrite_that_took_what_came_meanwhile_is_found(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage_rewrite = StagingQueries.stage_rewrite

    def replace_all(
        staging: StagingQueries, app_id: str, kind: Kind, change: TableChange, **named: Any
    ) -> str:
        version = home.lake.require(app_id, kind).version()
        newest = tuple(file.as_change() for file in home.lake.files(app_id, kind, version))
        return stage_rewrite(staging, app_id, kind, replace(change, removed=newest), **named)

    monkeypatch.setattr(StagingQueries, "stage_rewrite", replace_all)
    ended = flushed_amid_rewrites(home, monkeypatch)

    assert home.rows(Kind.EVENT).height < 2 + len(ended)


def test_small_files_are_gathered_so_many_at_a_time(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep_module, "row_group_rows", lambda _: 3 * SMALL_SHARE)

    def gathered(number: int) -> list[int]:
        numbered(home, number)
        home.flush()
        home.upkeep().compact(home.app_id, small_count=3)
        version = home.inbox.last_commits(home.app_id)[Kind.EVENT].version
        return sorted(file.rows for file in home.lake.files(home.app_id, Kind.EVENT, version))

    assert [gathered(number) for number in range(6)] == [
        [1],
        [1, 1],
        [3],
        [1, 3],
        [1, 1, 3],
        [3, 3],
    ]
    assert sorted(map(int, home.rows(Kind.EVENT)["name"])) == list(range(6))
