"""Tests what a table's log says of its files, and where a file lies."""

from datetime import date

from hypothesis import given
from hypothesis import strategies as st

from engagement.model.records import Kind
from engagement.store.data_files import day_of_path, path_in_day
from support.batches import DAY, DEVICES, NOW, batch, log
from support.home import Home


@given(st.dates())
def test_a_day_is_read_from_the_path_that_it_gives(day: date) -> None:
    assert day_of_path(path_in_day("part.parquet", day)) == day


def test_a_file_without_a_partition_lies_in_the_table_itself() -> None:
    assert path_in_day("part.parquet", None) == "part.parquet"


def test_the_log_tells_what_the_files_hold(home: Home) -> None:
    home.take(*(batch(log("event", number), device=DEVICES[number]) for number in (2, 0, 1)))

    version = home.inbox.last_commits(home.app_id)[Kind.EVENT].version
    (file,) = home.lake.files(home.app_id, Kind.EVENT, version)

    rows = home.rows(Kind.EVENT)
    assert (file.rows, file.day) == (3, DAY)
    assert (file.device_min, file.device_max) == (DEVICES[0], DEVICES[2])
    assert (file.time_min, file.time_max) == (rows["timestamp"].min(), rows["timestamp"].max())
    assert file.received_min == file.received_max == NOW
    assert file.bytes > 0
