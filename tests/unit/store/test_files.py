"""Tests that a data file holds what it was given, in that order, and tells what the log needs."""

import json
from datetime import timedelta
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest

from engagement.model.records import TIME_COLUMN, Kind
from engagement.store import files
from engagement.store.commits import TableChange
from engagement.store.files import (
    add_actions,
    row_group_rows,
    statistics_columns,
    write_file,
)
from engagement.store.schemas import file_schema
from support.batches import DAY, DEVICES, NOW


def frame(*devices: str, start: int = 0) -> pl.DataFrame:
    schema = file_schema(Kind.EVENT)
    rows = [
        {
            name: {
                "device_id": device,
                "received_at": NOW,
                "timestamp": NOW + timedelta(seconds=start + number),
                "sequence": start + number,
            }.get(name)
            for name in schema
        }
        for number, device in enumerate(devices)
    ]
    return pl.DataFrame(rows, schema=schema)


def test_a_file_holds_frame_after_frame_and_its_statistics(tmp_path: Path) -> None:
    first, second = frame(DEVICES[2], DEVICES[0]), frame(DEVICES[1], start=2)

    change = write_file(str(tmp_path), Kind.EVENT, [first, first.clear(), second], day=DAY)

    assert change is not None
    file = tmp_path / change.path
    assert file.parent.name == f"date={DAY}"
    assert (change.bytes, change.rows) == (file.stat().st_size, 3)
    (action,) = add_actions(TableChange(added=(change,)))
    assert action.partition_values == {"date": DAY.isoformat()}
    rows = pl.read_parquet(file, hive_partitioning=False)
    assert rows["sequence"].to_list() == [0, 1, 2]
    statistics = json.loads(action.stats)
    assert statistics["numRecords"] == 3
    assert statistics["minValues"]["device_id"] == DEVICES[0]
    assert statistics["maxValues"]["device_id"] == DEVICES[2]
    assert statistics["maxValues"]["timestamp"] == "2026-03-01T12:00:02.000Z"
    assert statistics["nullCount"] == {"device_id": 0, "timestamp": 0, "received_at": 0}


def test_of_no_rows_there_is_no_file(tmp_path: Path) -> None:
    assert write_file(str(tmp_path), Kind.EVENT, [frame()], day=DAY) is None
    assert list(tmp_path.rglob("*.parquet")) == []


def test_a_frame_that_is_much_larger_than_a_row_group_becomes_several(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "ROW_GROUP_ROWS", 2)

    action = write_file(str(tmp_path), Kind.EVENT, [frame(*DEVICES, *DEVICES[:1])], day=DAY)

    assert action is not None
    parquet = pq.ParquetFile(tmp_path / action.path).metadata
    assert [parquet.row_group(at).num_rows for at in range(parquet.num_row_groups)] == [4, 4, 1]


@pytest.mark.parametrize("kind", list(Kind))
def test_only_what_the_planner_needs_is_in_the_log(kind: Kind) -> None:
    columns = file_schema(kind)

    assert set(statistics_columns(kind)) == {"device_id", TIME_COLUMN[kind], "received_at"}
    assert set(statistics_columns(kind)) <= set(columns)
    assert row_group_rows(kind) > 0


def test_only_columns_whose_values_repeat_have_a_dictionary(tmp_path: Path) -> None:
    rows = frame(*DEVICES[:1] * 8).with_columns(
        pl.Series("name", ["a", "b"] * 4),
        pl.Series("session_id", [f"session {number}" for number in range(8)]),
    )

    written = write_file(str(tmp_path), Kind.EVENT, [rows], day=None)

    assert written is not None
    group = pq.ParquetFile(tmp_path / written.path).metadata.row_group(0)
    columns = [group.column(place) for place in range(group.num_columns)]
    having = {column.path_in_schema for column in columns if column.has_dictionary_page}
    assert {"device_id", "name", "received_at"} <= having
    assert not having & {"session_id", "timestamp", "sequence"}
