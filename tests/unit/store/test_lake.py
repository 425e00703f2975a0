"""Tests that the lake's tables hold what was appended, once, and that it is on disk."""

import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from deltalake import DeltaTable, write_deltalake
from hypothesis import given, settings
from hypothesis import strategies as st

from engagement.exceptions import LakeDamagedError
from engagement.model.records import TIME_COLUMN, Kind
from engagement.store.commits import Commit, FileChange, OpenCommit, TableChange
from engagement.store.data_files import DataFile
from engagement.store.lake import CHECKPOINT_VERSIONS, LOG_DAYS, Lake
from engagement.store.row_order import in_order
from engagement.store.schemas import file_schema, sort_columns
from support.batches import DEVICES, NOW
from support.home import APP_ID


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path / "lake"))


def frame(kind: Kind, *records: dict[str, object]) -> pl.DataFrame:
    """Rows of a kind; what a record does not say is null, or the same for all."""
    schema = file_schema(kind)
    shared = {"device_id": DEVICES[0], "received_at": NOW, TIME_COLUMN[kind]: NOW, "sequence": 1}
    rows = [{name: (shared | record).get(name) for name in schema} for record in records]
    return pl.DataFrame(rows, schema=schema)


def newest_version(lake: Lake) -> int | None:
    """The version of the events' newest commit; None if there is no table."""
    is_there = DeltaTable.is_deltatable(f"{lake.local}/{APP_ID}/event")
    return lake.require(APP_ID, Kind.EVENT).version() if is_there else None


def commit(lake: Lake, change: TableChange, *, number: int) -> Commit:
    """What a change to the events becomes under a number."""
    pending = OpenCommit(
        kind=Kind.EVENT,
        commit_id=number,
        recorded_version=newest_version(lake),
        recorded_rows=sum(file.rows for file in files_of(lake)),
        changes={"group": change},
    )
    made, dropped = lake.commit(APP_ID, pending)
    if dropped:
        raise LakeDamagedError("A group was dropped.")
    return made


def append(lake: Lake, *records: dict[str, object], number: int) -> int:
    rows = in_order(frame(Kind.EVENT, *records), Kind.EVENT)
    return commit(lake, lake.write_rows(APP_ID, Kind.EVENT, rows), number=number).version


def exchange(
    lake: Lake, old: Sequence[DataFile], new: Sequence[FileChange], *, number: int
) -> Commit:
    removed = tuple(file.as_change() for file in old)
    return commit(lake, TableChange(added=tuple(new), removed=removed), number=number)


def rows_of(lake: Lake, version: int) -> pl.DataFrame:
    paths = [file.path for file in lake.files(APP_ID, Kind.EVENT, version)]
    found = lake.scan(APP_ID, Kind.EVENT, paths).collect()
    return found.sort(sort_columns(Kind.EVENT))


def files_of(lake: Lake) -> list[DataFile]:
    version = newest_version(lake)
    return [] if version is None else lake.files(APP_ID, Kind.EVENT, version)


def test_a_number_is_committed_once(lake: Lake) -> None:
    first = append(lake, {"name": "a", "sequence": 1}, number=7)
    again = append(lake, {"name": "a", "sequence": 1}, number=7)
    older = append(lake, {"name": "a", "sequence": 1}, number=6)
    newer = append(lake, {"name": "b", "sequence": 2}, number=8)

    assert (again, older) == (first, first)
    assert rows_of(lake, newer)["name"].to_list() == ["a", "b"]


def test_whoever_saw_an_older_version_adds_nothing_twice(tmp_path: Path) -> None:
    """Two commit the same at once, as after a lock was lost; one of them comes late."""
    here, late = (Lake(str(tmp_path / "lake")) for _ in range(2))
    for lake in (here, late):
        append(lake, {"name": "a", "sequence": 1}, number=1)  # each holds the table as it is now
    rows = in_order(frame(Kind.EVENT, {"name": "b", "sequence": 2}), Kind.EVENT)
    change = here.write_rows(APP_ID, Kind.EVENT, rows)

    commit(here, change, number=2)
    exchange(here, files_of(here), here.write_rows(APP_ID, Kind.EVENT, rows).added, number=3)
    version = commit(late, change, number=2).version

    assert rows_of(late, version)["name"].to_list() == ["b"]


def test_a_table_of_an_earlier_release_gets_its_columns_with_every_version_on_disk(
    tmp_path: Path, synced: list[Path]
) -> None:
    """New columns are a version of their own, before the one that has the rows."""
    rows = in_order(frame(Kind.EVENT, {"name": "old"}), Kind.EVENT)
    table = tmp_path / "lake" / APP_ID / "event"
    write_deltalake(str(table), rows.drop("record_id"), partition_by=["date"])
    lake = Lake(str(tmp_path / "lake"))
    synced.clear()

    version = append(lake, {"name": "new", "sequence": 2}, number=1)

    assert rows_of(lake, version)["name"].to_list() == ["old", "new"]
    made = {file for file in (table / "_delta_log").glob("*.json") if int(file.stem) > 0}
    assert len(made) == version == 2
    assert made <= set(synced)


def test_vacuum_shortens_the_log(tmp_path: Path) -> None:
    root = tmp_path / "lake"
    lake = Lake(str(root))
    for number in range(CHECKPOINT_VERSIONS + 1):
        append(lake, {"name": f"{number}", "sequence": number}, number=number + 1)
    log = root / APP_ID / "event" / "_delta_log"
    commits = sorted(log.glob("*.json"))
    old = (datetime.now(UTC) - timedelta(days=LOG_DAYS + 1)).timestamp()
    for file in log.iterdir():
        os.utime(file, (old, old))
    before = rows_of(lake, append(lake, {"name": "young"}, number=1_000))

    now = datetime.now(UTC)

    def vacuum(days: int, *, shorten_log: bool) -> None:
        before = now - timedelta(days=days)
        lake.vacuum(APP_ID, Kind.EVENT, before=before, keep=set(), shorten_log=shorten_log)

    vacuum(LOG_DAYS + 1, shorten_log=True)
    vacuum(1, shorten_log=False)
    assert all(file.exists() for file in commits), "who keeps files for longer keeps the log too"
    vacuum(1, shorten_log=True)

    assert not any(file.exists() for file in commits[: CHECKPOINT_VERSIONS - 1])
    for fresh_or_not in (lake, Lake(str(root))):
        newest = fresh_or_not.require(APP_ID, Kind.EVENT).version()
        assert rows_of(fresh_or_not, newest).equals(before)
    assert append(lake, {"name": "after"}, number=1_001) == newest + 1


def test_a_pinned_version_stays_as_it_was(lake: Lake) -> None:
    first = append(lake, {"name": "a"}, number=1)
    append(lake, {"name": "b"}, number=2)
    exchange(lake, files_of(lake), [], number=3)

    assert rows_of(lake, first)["name"].to_list() == ["a"]


def test_files_are_exchanged_and_the_others_stay(lake: Lake) -> None:
    yesterday = NOW - timedelta(days=1)
    append(lake, {"name": "old", "timestamp": yesterday}, {"name": "new"}, number=1)
    old, new = files_of(lake)
    append(lake, {"name": "meanwhile"}, number=2)
    other = in_order(frame(Kind.EVENT, {"name": "other"}), Kind.EVENT)

    frames = [[other, other.clear()], [other.clear()]]
    files = lake.write(APP_ID, Kind.EVENT, [(NOW.date(), each) for each in frames])
    exchanged = exchange(lake, [new], files, number=3)
    emptied = exchange(lake, [old], [], number=4)

    assert sorted(rows_of(lake, exchanged.version)["name"]) == ["meanwhile", "old", "other"]
    assert sorted(rows_of(lake, emptied.version)["name"]) == ["meanwhile", "other"]
    assert (exchanged.rows_total, emptied.rows_total) == (3, 2)


def test_a_file_is_exchanged_once(lake: Lake) -> None:
    append(lake, {"name": "a"}, number=1)
    files = files_of(lake)
    exchange(lake, files, [], number=2)
    again = lake.write(APP_ID, Kind.EVENT, [(NOW.date(), [frame(Kind.EVENT, {"name": "a"})])])

    with pytest.raises(LakeDamagedError, match="dropped"):
        exchange(lake, files, again, number=3)

    assert files_of(lake) == []


def test_an_emptied_table_counts_no_rows(lake: Lake) -> None:
    append(lake, {"name": "a"}, number=1)

    emptied = exchange(lake, files_of(lake), [], number=2)

    assert emptied.rows_total == 0
    assert files_of(lake) == []


records = st.fixed_dictionaries(
    {
        "device_id": st.integers(0, 16**32 - 1).map(lambda number: f"{number:032x}"),
        "timestamp": st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 31)).map(  # noqa: DTZ001 - UTC is put on next
            lambda when: when.replace(microsecond=when.microsecond // 1000 * 1000, tzinfo=UTC)
        ),
    }
)


@settings(max_examples=20)
@given(st.lists(records, min_size=1, max_size=8))
def test_statistics_say_what_each_file_holds(
    tmp_path_factory: pytest.TempPathFactory, reports: list[dict[str, object]]
) -> None:
    lake = Lake(str(tmp_path_factory.mktemp("statistics")))
    numbered = [item | {"sequence": number} for number, item in enumerate(reports)]

    version = append(lake, *numbered, number=1)

    for file in lake.files(APP_ID, Kind.EVENT, version):
        rows = lake.scan(APP_ID, Kind.EVENT, [file.path]).collect()
        assert rows.equals(rows.sort(sort_columns(Kind.EVENT)))
        assert (file.rows, file.device_min, file.device_max) == (
            rows.height,
            rows["device_id"].min(),
            rows["device_id"].max(),
        )
        assert (file.time_min, file.time_max) == (rows["timestamp"].min(), rows["timestamp"].max())
        assert set(rows["timestamp"].dt.date()) == {file.day}
    assert rows_of(lake, version).height == len(reports)


def test_the_same_appends_give_the_same_order_of_files(tmp_path: Path) -> None:
    """File names are random, so an order by name would change an export's bytes."""
    orders = set()
    for number in range(6):
        lake = Lake(str(tmp_path / str(number)))
        for position in range(1, 5):
            when = NOW + timedelta(seconds=position)
            version = append(lake, {"name": str(position), "timestamp": when}, number=position)
        paths = [file.path for file in lake.files(APP_ID, Kind.EVENT, version)]
        orders.add(tuple(lake.scan(APP_ID, Kind.EVENT, paths).collect()["name"]))

    assert orders == {("1", "2", "3", "4")}


@pytest.mark.parametrize("kind", list(Kind))
def test_an_unknown_version_is_damage(lake: Lake, kind: Kind) -> None:
    with pytest.raises(LakeDamagedError, match=kind.value):
        lake.files(APP_ID, kind, 0)

    append(lake, {"name": "a"}, number=1)

    with pytest.raises(LakeDamagedError, match=kind.value):
        lake.files(APP_ID, kind, 7)
