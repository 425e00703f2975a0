"""Tests that upkeep changes files, and rows only where it was asked to."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engagement.model.exports import (
    ExportState,
    ExportType,
)
from engagement.model.records import HISTORICAL_KINDS, SPAN_KINDS, Kind
from engagement.store import upkeep as upkeep_module
from engagement.store.folds import FOLD_KEYS, fold
from engagement.store.schemas import sort_columns
from support.batches import DAY, DEVICES, NOW, batch, everything, feedback, log
from support.home import Home, StoppedError, queued_task

ONE_DAY = timedelta(days=1)


def fill(home: Home, flushes: int = 2, *, days: int = 2, devices: int = 3) -> None:
    """Several flushes of logs of every type of several devices, on several days."""
    for number in range(flushes):
        home.take(
            *(
                everything(number * devices + place, device=device, day=DAY + day * ONE_DAY)
                for place, device in enumerate(DEVICES[:devices])
                for day in range(days)
            )
        )


def exports(home: Home, **options: Any) -> dict[ExportType, list[dict[str, Any]]]:
    """What every export delivers, in a fixed order."""
    delivered = {}
    for kind in ExportType:
        request = home.request(kind, **({} if kind.is_historical else options))
        delivered[kind] = sorted(home.exported(request), key=repr)
    return delivered


def whole_rows(home: Home) -> dict[Kind, list[dict[str, Any]]]:
    """Every row of every table, of each session and job one."""
    return home.all_rows() | {
        kind: fold(kind, home.rows(kind).lazy()).collect().to_dicts() for kind in SPAN_KINDS
    }


def files_of(home: Home, kind: Kind) -> int:
    version = home.inbox.last_commits(home.app_id)[kind].version
    return len(home.lake.files(home.app_id, kind, version))


def test_compacting_gathers_files_and_changes_no_export(home: Home) -> None:
    fill(home)
    before = exports(home)
    rows = {kind: home.rows(kind).to_dicts() for kind in HISTORICAL_KINDS - {Kind.SESSION}}

    report = home.upkeep().compact(home.app_id)

    assert exports(home) == before
    assert {kind: home.rows(kind).to_dicts() for kind in rows} == rows
    assert {kind: files_of(home, kind) for kind in HISTORICAL_KINDS} == dict.fromkeys(
        HISTORICAL_KINDS, 2
    )
    # The information of both flushes is gathered too; the second told no new location.
    assert (report.tables, report.files_before, report.files_after) == (7, 6 * 2 * 2 + 2, 6 * 2 + 1)


def test_compacted_files_are_sorted_and_apart(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep_module, "row_group_rows", lambda _: 4)
    monkeypatch.setattr(upkeep_module, "RANGES_PER_FILE", 3)
    monkeypatch.setattr(upkeep_module, "SAMPLED_EVERY", 1)
    fill(home, devices=8, days=1)

    home.upkeep().compact(home.app_id)

    version = home.inbox.last_commits(home.app_id)[Kind.EVENT].version
    files = home.lake.files(home.app_id, Kind.EVENT, version)
    assert [file.rows for file in files] == [12, 12, 8]
    assert all(item.device_max < other.device_min for item, other in pairwise(files))
    paths = [file.path for file in files]
    found = home.lake.scan(home.app_id, Kind.EVENT, paths).collect()
    assert found.height == 2 * 8 * 2
    assert found.equals(found.sort(sort_columns(Kind.EVENT)))


def test_compacting_again_has_nothing_to_do(home: Home) -> None:
    fill(home)
    home.upkeep().compact(home.app_id)
    before = home.inbox.last_commits(home.app_id)

    report = home.upkeep().compact(home.app_id)

    assert report.tables == 0
    assert home.inbox.last_commits(home.app_id) == before


def test_compacting_folds_what_flushes_said_of_a_session(home: Home) -> None:
    fill(home)

    home.upkeep().compact(home.app_id)

    assert home.rows(Kind.SESSION).equals(
        fold(Kind.SESSION, home.rows(Kind.SESSION).lazy()).collect()
    )


@settings(max_examples=6)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 3),
            st.sampled_from(DEVICES[:2]),
            st.sampled_from([None, "u", "v"]),
            st.sampled_from([{}, {"a": 1}, {"a": None}, {"b": "x"}]),
            st.sampled_from([None, "one", "two"]),
            st.integers(1, 2),
        ),
        min_size=1,
        max_size=8,
    ),
    st.integers(0, 8),
    st.integers(0, 8),
)
def test_folding_keeps_every_snapshot_that_it_promises_to_keep(
    shared_home: Home, reports: list[tuple[Any, ...]], keep_days: int, flush_every: int
) -> None:
    """One batch is received a day; folding must not change what a later day knew."""
    home = shared_home
    home.next_app()
    for number, (seconds, device, user, tags, model, campaign) in enumerate(reports):
        logs = [log("event", seconds), feedback(seconds, campaign, "Queued")]
        logs += [log("tags", seconds, tags=tags)] if tags else []
        logs += [log("token", seconds, token=f"{number}", tokenType="GCM", valid=number % 3 > 0)]
        more = {"userId": user} if user else {}
        more |= {"info": {"phoneModel": model}} if model else {}
        home.accept(
            batch(*logs, device=device, **more), received_at=NOW - (len(reports) - number) * ONE_DAY
        )
        if flush_every and number % flush_every == 0:
            home.flush()
    home.flush()
    instants = [{"as_of": NOW - day * ONE_DAY} for day in range(keep_days)]
    before = [exports(home, **options) for options in ({}, *instants)]

    home.upkeep().fold_snapshots(home.app_id, before=NOW - keep_days * ONE_DAY)

    assert [exports(home, **options) for options in ({}, *instants)] == before


def test_folding_leaves_one_row_for_each_thing(home: Home) -> None:
    fill(home)

    report = home.upkeep().fold_snapshots(home.app_id, before=NOW + ONE_DAY)

    for kind, keys in FOLD_KEYS.items():
        if not kind.is_historical:
            rows = home.rows(kind)
            assert rows.height == rows.unique(keys).height
            assert files_of(home, kind) == 1
    assert report.rows_after < report.rows_before


def test_an_erased_device_is_nowhere_and_all_others_are_whole(home: Home) -> None:
    fill(home)
    erased = DEVICES[1]
    kept = {
        kind: [row for row in rows if row["device_id"] != erased]
        for kind, rows in whole_rows(home).items()
    }

    report = home.upkeep().erase(home.app_id, erased)

    assert home.all_rows() == kept
    assert (report.tables, report.rows_before > report.rows_after) == (len(Kind), True)
    for rows in exports(home).values():
        assert {row["device_id"] for row in rows} <= set(DEVICES) - {erased}


def test_an_erased_device_leaves_no_file_that_holds_it(home: Home) -> None:
    fill(home, devices=2)
    home.upkeep().erase(home.app_id, DEVICES[1])

    home.upkeep().vacuum(home.app_id, before=datetime.now(UTC) + ONE_DAY)

    left = list(Path(home.folder, "lake", home.app_id).rglob("*.parquet"))
    holding = [path for path in left if DEVICES[1].encode() in path.read_bytes()]
    assert left
    assert holding == []


def test_erasing_the_only_device_leaves_empty_tables_that_go_on(home: Home) -> None:
    fill(home, devices=1, days=1)

    home.upkeep().erase(home.app_id, DEVICES[0])

    assert all(not rows for rows in home.all_rows().values())
    assert all(not rows for rows in exports(home).values())
    home.restart()
    assert home.recover() == []
    fill(home, flushes=1, devices=1, days=1)
    assert home.inbox.depth() == 0


def test_erasing_a_device_that_is_not_there_changes_no_row(home: Home) -> None:
    fill(home)
    before = home.all_rows()

    report = home.upkeep().erase(home.app_id, "0" * 31 + "1")

    assert (home.all_rows(), report.tables) == (before, 0)


def test_old_days_go_and_the_rest_stays(home: Home) -> None:
    fill(home, days=3)
    snapshots = {kind: home.rows(kind).to_dicts() for kind in Kind if not kind.is_historical}

    report = home.upkeep().retain(home.app_id, first_kept=DAY + ONE_DAY)

    for kind in HISTORICAL_KINDS:
        time = sort_columns(kind)[1]
        days = home.rows(kind)[time].dt.date().unique().sort().to_list()
        assert days == [DAY + ONE_DAY, DAY + 2 * ONE_DAY]
    assert {kind: home.rows(kind).to_dicts() for kind in snapshots} == snapshots
    assert report.tables == len(HISTORICAL_KINDS)
    assert home.upkeep().retain(home.app_id, first_kept=DAY + ONE_DAY).tables == 0


def add_task(home: Home, created_at: datetime) -> str:
    task_id = f"task {created_at.timestamp()} {home.app_id}"
    task = queued_task(task_id)
    request = replace(task.request, app_id=home.app_id)
    task = replace(task, request=request, created_at=created_at)
    home.tasks.add(task, sealed_container_url=b"")
    return task_id


def test_vacuum_keeps_what_a_running_export_reads(home: Home) -> None:
    """delta-rs goes by the real clock, so the vacuum here does as well."""
    fill(home)
    now = datetime.now(UTC)
    request = home.request(ExportType.EVENT)
    pinned = home.inbox.last_commits(home.app_id)[Kind.EVENT].version
    expected = home.rows(Kind.EVENT)
    task_id = add_task(home, now)
    home.upkeep().compact(home.app_id)

    while_running = home.upkeep().vacuum(home.app_id, before=now + ONE_DAY)

    paths = [file.path for file in home.lake.files(home.app_id, Kind.EVENT, pinned)]
    found = home.lake.scan(home.app_id, Kind.EVENT, paths).collect()
    assert found.sort(sort_columns(Kind.EVENT)).equals(expected)
    assert while_running.files_deleted == 0

    home.tasks.finish(task_id, 1, ExportState.SUCCEEDED, now=now)
    afterwards = home.upkeep().vacuum(home.app_id, before=now + ONE_DAY)

    assert afterwards.files_deleted > 0
    assert not any(Path(home.folder, "lake", home.app_id, "event", path).exists() for path in paths)
    assert len(home.exported(request)) == expected.height


def test_vacuum_keeps_what_is_young(home: Home) -> None:
    fill(home)
    home.upkeep().compact(home.app_id)

    report = home.upkeep().vacuum(home.app_id, before=datetime.now(UTC) - ONE_DAY)

    assert report.files_deleted == 0


def test_flushes_go_on_after_a_vacuum_and_a_restart(home: Home) -> None:
    fill(home, flushes=2)
    home.upkeep().compact(home.app_id)
    home.upkeep().vacuum(home.app_id, before=datetime.now(UTC) + ONE_DAY)
    before = exports(home)

    home.restart()
    home.recover()

    assert exports(home) == before
    events = home.rows(Kind.EVENT).height
    home.take(everything(99))
    assert home.rows(Kind.EVENT).height == events + 2


def test_an_app_without_tables_needs_no_upkeep(home: Home) -> None:
    upkeep = home.upkeep()

    reports = [
        upkeep.compact(home.app_id),
        upkeep.fold_snapshots(home.app_id, before=NOW),
        upkeep.erase(home.app_id, DEVICES[0]),
        upkeep.retain(home.app_id, first_kept=DAY),
        upkeep.vacuum(home.app_id, before=NOW),
    ]

    assert {report.tables for report in reports} == {0}


@pytest.mark.parametrize(
    ("files_per_commit", "commits"), [(1_000, 1), (6, 10), (1, 20)], ids=["one", "some", "each"]
)
def test_the_days_of_a_table_are_rewritten_in_few_commits(
    home: Home, monkeypatch: pytest.MonkeyPatch, files_per_commit: int, commits: int
) -> None:
    """A commit looks at all files of the table, and a sender decides how many days there are."""
    monkeypatch.setattr(upkeep_module, "FILES_PER_COMMIT", files_per_commit)
    days = [DAY - timedelta(days=number) for number in range(20)]
    for device in DEVICES[:2]:
        home.take(*(batch(log("event", day=day), device=device) for day in days))
    before = home.rows(Kind.EVENT), home.inbox.last_commits(home.app_id)[Kind.EVENT].version

    report = home.upkeep().compact(home.app_id)

    after = home.rows(Kind.EVENT), home.inbox.last_commits(home.app_id)[Kind.EVENT].version
    assert after[0].equals(before[0])
    assert after[1] - before[1] == commits
    assert (report.files_before, report.files_after) == (40, 20)
    assert report.rows_before == report.rows_after == 40
    assert not home.staging.list_staged(home.app_id, Kind.EVENT)


def test_what_was_rewritten_before_an_upkeep_ended_is_committed_by_the_next_flush(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    for device in DEVICES[:2]:
        home.take(*(everything(n, device=device, day=DAY - timedelta(days=n)) for n in range(4)))
    whole = home.rows(Kind.EVENT)
    write, left = home.lake.write, iter(range(2))

    def stopping(*given: Any) -> Any:
        if next(left, None) is None:
            raise StoppedError
        return write(*given)

    monkeypatch.setattr(home.lake, "write", stopping)
    with pytest.raises(StoppedError):
        home.upkeep().erase(home.app_id, DEVICES[0])
    monkeypatch.undo()

    home.restart()
    home.recover()
    home.flush()
    home.upkeep().erase(home.app_id, DEVICES[0])

    assert set(home.rows(Kind.EVENT)["device_id"]) == {DEVICES[1]}
    assert home.rows(Kind.EVENT).equals(whole.filter(whole["device_id"] != DEVICES[0]))
