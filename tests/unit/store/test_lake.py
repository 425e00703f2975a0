"""Tests that the lake's tables hold what was appended, once, and that it is on disk."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engagement.exceptions import LakeDamagedError
from engagement.model.records import TIME_COLUMN, Kind
from engagement.store.data_files import DataFile
from engagement.store.lake import CHECKPOINT_VERSIONS, LOG_DAYS, Lake, in_order
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


def append(lake: Lake, *records: dict[str, object], position: int) -> int:
    rows = in_order(frame(Kind.EVENT, *records), Kind.EVENT)
    return lake.append(APP_ID, Kind.EVENT, rows, position=position).version


def rows_of(lake: Lake, version: int) -> pl.DataFrame:
    paths = [file.path for file in lake.files(APP_ID, Kind.EVENT, version)]
    found = lake.scan(APP_ID, Kind.EVENT, paths).collect()
    return found.sort(sort_columns(Kind.EVENT))


def files_of(lake: Lake) -> list[DataFile]:
    return lake.files(APP_ID, Kind.EVENT, lake.seal(APP_ID, Kind.EVENT).version)


def test_a_position_is_appended_once(lake: Lake) -> None:
    first = append(lake, {"name": "a", "sequence": 1}, position=7)
    again = append(lake, {"name": "a", "sequence": 1}, position=7)
    older = append(lake, {"name": "a", "sequence": 1}, position=6)
    newer = append(lake, {"name": "b", "sequence": 2}, position=8)

    assert (again, older) == (first, first)
    assert rows_of(lake, newer)["name"].to_list() == ["a", "b"]
    assert lake.held_position(APP_ID) == 8


def test_vacuum_shortens_the_log(tmp_path: Path) -> None:
    root = tmp_path / "lake"
    lake = Lake(str(root))
    for number in range(CHECKPOINT_VERSIONS + 1):
        append(lake, {"name": f"{number}", "sequence": number}, position=number + 1)
    log = root / APP_ID / "event" / "_delta_log"
    commits = sorted(log.glob("*.json"))
    old = (datetime.now(UTC) - timedelta(days=LOG_DAYS + 1)).timestamp()
    for file in log.iterdir():
        os.utime(file, (old, old))
    before = rows_of(lake, append(lake, {"name": "young"}, position=1_000))

    lake.vacuum(APP_ID, Kind.EVENT, retention_hours=LOG_DAYS * 24 + 1)
    assert all(file.exists() for file in commits), "who keeps files for longer keeps the log too"
    lake.vacuum(APP_ID, Kind.EVENT, retention_hours=24)

    assert not any(file.exists() for file in commits[: CHECKPOINT_VERSIONS - 1])
    for fresh_or_not in (lake, Lake(str(root))):
        newest = fresh_or_not.seal(APP_ID, Kind.EVENT)
        fresh_or_not.recover_app(APP_ID, {Kind.EVENT: newest})
        assert rows_of(fresh_or_not, newest.version).equals(before)
    assert append(lake, {"name": "after"}, position=1_001) == newest.version + 1


def test_a_pinned_version_stays_as_it_was(lake: Lake) -> None:
    first = append(lake, {"name": "a"}, position=1)
    append(lake, {"name": "b"}, position=2)
    lake.exchange(APP_ID, Kind.EVENT, files_of(lake), [])

    assert rows_of(lake, first)["name"].to_list() == ["a"]


def test_files_are_exchanged_and_the_others_stay(lake: Lake) -> None:
    yesterday = NOW - timedelta(days=1)
    append(lake, {"name": "old", "timestamp": yesterday}, {"name": "new"}, position=1)
    old, new = files_of(lake)
    append(lake, {"name": "meanwhile"}, position=2)
    other = in_order(frame(Kind.EVENT, {"name": "other"}), Kind.EVENT)

    files = lake.write(
        APP_ID, Kind.EVENT, [[other, other.clear()], [other.clear()]], day=NOW.date()
    )
    exchanged = lake.exchange(APP_ID, Kind.EVENT, [new], files)
    emptied = lake.exchange(APP_ID, Kind.EVENT, [old], [])

    assert sorted(rows_of(lake, exchanged.version)["name"]) == ["meanwhile", "old", "other"]
    assert sorted(rows_of(lake, emptied.version)["name"]) == ["meanwhile", "other"]
    assert (exchanged.rows_total, emptied.rows_total) == (3, 2)


def test_a_file_is_exchanged_once(lake: Lake) -> None:
    append(lake, {"name": "a"}, position=1)
    files = files_of(lake)
    lake.exchange(APP_ID, Kind.EVENT, files, [])
    again = lake.write(APP_ID, Kind.EVENT, [[frame(Kind.EVENT, {"name": "a"})]], day=NOW.date())

    with pytest.raises(LakeDamagedError, match="not in the table"):
        lake.exchange(APP_ID, Kind.EVENT, files, again)

    assert files_of(lake) == []


def test_an_emptied_table_counts_no_rows(lake: Lake) -> None:
    append(lake, {"name": "a"}, position=1)

    emptied = lake.exchange(APP_ID, Kind.EVENT, files_of(lake), [])

    assert emptied.rows_total == 0
    assert files_of(lake) == []
    assert lake.recover_app(APP_ID, {Kind.EVENT: emptied}) == []


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
    tmp_path_factory: pytest.TempPathFactory, told: list[dict[str, object]]
) -> None:
    lake = Lake(str(tmp_path_factory.mktemp("statistics")))
    numbered = [item | {"sequence": number} for number, item in enumerate(told)]

    version = append(lake, *numbered, position=1)

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
    assert rows_of(lake, version).height == len(told)


def test_the_same_appends_give_the_same_order_of_files(tmp_path: Path) -> None:
    """File names are random, so an order by name would change an export's bytes."""
    orders = set()
    for number in range(6):
        lake = Lake(str(tmp_path / str(number)))
        for position in range(1, 5):
            when = NOW + timedelta(seconds=position)
            version = append(lake, {"name": str(position), "timestamp": when}, position=position)
        paths = [file.path for file in lake.files(APP_ID, Kind.EVENT, version)]
        orders.add(tuple(lake.scan(APP_ID, Kind.EVENT, paths).collect()["name"]))

    assert orders == {("1", "2", "3", "4")}


@pytest.mark.parametrize("kind", list(Kind))
def test_an_unknown_version_is_damage(lake: Lake, kind: Kind) -> None:
    with pytest.raises(LakeDamagedError, match=kind.value):
        lake.files(APP_ID, kind, 0)

    append(lake, {"name": "a"}, position=1)

    with pytest.raises(LakeDamagedError, match=kind.value):
        lake.files(APP_ID, kind, 7)
