"""Tests that a table is cut into ranges of devices which hold each row once."""

import itertools
from datetime import timedelta

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from engagement.store.data_files import DataFile
from engagement.store.ranges import device_boundaries, in_devices
from support.batches import NOW

ids = st.integers(0, 16**32 - 1).map(lambda number: f"{number:032x}")


def file_of(low: str, high: str, rows: int) -> DataFile:
    return DataFile(
        path=f"{low}-{high}",
        bytes=rows,
        rows=rows,
        day=None,
        device_min=min(low, high),
        device_max=max(low, high),
        time_min=NOW,
        time_max=NOW + timedelta(hours=1),
    )


files = st.lists(st.builds(file_of, ids, ids, st.integers(1, 10**6)), min_size=1, max_size=8)


@given(files, st.integers(1, 9))
def test_boundaries_ascend_within_the_devices_and_are_not_more_than_wanted(
    some: list[DataFile], count: int
) -> None:
    boundaries = device_boundaries(some, count)

    assert boundaries == sorted(set(boundaries))
    assert len(boundaries) < max(count, 1)
    first, last = min(item.device_min for item in some), max(item.device_max for item in some)
    assert all(first < boundary <= last for boundary in boundaries)


@given(st.lists(ids, max_size=20), files, st.integers(1, 9))
def test_every_device_is_in_one_range(devices: list[str], some: list[DataFile], count: int) -> None:
    rows = pl.LazyFrame({"device_id": devices}, schema={"device_id": pl.String()})
    bounds = [None, *device_boundaries(some, count), None]

    found = [
        device
        for low, high in itertools.pairwise(bounds)
        for device in in_devices(rows, low, high).collect()["device_id"]
    ]

    assert sorted(found) == sorted(devices)


def test_rows_that_are_spread_evenly_are_cut_evenly() -> None:
    whole = file_of("0" * 32, "f" * 32, 1_000)

    assert [boundary[0] for boundary in device_boundaries([whole], 4)] == ["4", "8", "c"]
