"""Checks that any plan covers every row exactly once."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engagement.export.plan import (
    PART_SOURCE_BYTES_MAX,
    plan_parts,
)
from engagement.model.codec import decode, encode
from engagement.model.exports import ExportType, TimeRange
from engagement.model.plan import Part, Plan, PlanHead
from engagement.model.records import Kind
from engagement.store.data_files import DataFile
from engagement.store.ranges import device_boundaries

FIRST_DAY = date(2024, 2, 27)
DAYS = 6

device_ids = st.integers(0, 16**32 - 1).map(lambda number: f"{number:032x}")
days = st.integers(0, DAYS - 1).map(lambda offset: FIRST_DAY + timedelta(days=offset))


@st.composite
def data_files(draw: st.DrawFn, day: st.SearchStrategy[date | None]) -> DataFile:
    low, high = sorted((draw(device_ids), draw(device_ids)))
    on = draw(day)
    midnight = datetime.combine(on or FIRST_DAY, datetime.min.time(), UTC)
    return DataFile(
        path=f"part-{draw(st.uuids())}.parquet",
        bytes=draw(st.integers(1, 10**7)),
        rows=draw(st.integers(1, 10**6)),
        day=on,
        device_min=low,
        device_max=high,
        time_min=midnight,
        time_max=midnight + timedelta(hours=23),
    )


def in_table_order(files: Sequence[DataFile]) -> list[DataFile]:
    return sorted(files, key=lambda file: (file.day or date.min, file.device_min, file.path))


def holds(part: Part, kind: Kind, file: DataFile, device_id: str) -> bool:
    """Whether the part reads this device's rows of this file."""
    above = part.device_from is None or device_id >= part.device_from
    below = part.device_to is None or device_id < part.device_to
    return file.path in part.files[kind] and above and below


@given(
    st.lists(data_files(days), max_size=12),
    st.integers(10**4, 10**8),
    st.lists(device_ids, max_size=4),
    st.tuples(days, days).map(sorted),
)
def test_history_is_covered_exactly_once(
    files: list[DataFile], target: int, inside: list[str], span: list[date]
) -> None:
    time_range = TimeRange.of_days(span[0], span[1])

    parts = plan_parts(
        ExportType.EVENT,
        {Kind.EVENT: in_table_order(files)},
        time_range=time_range,
        part_rows_target=target,
    )

    for file in files:
        assert file.day is not None
        wanted = 1 if span[0] <= file.day <= span[1] else 0
        possible = [item for item in inside if file.device_min <= item <= file.device_max]
        for device_id in (file.device_min, file.device_max, *possible):
            assert sum(holds(part, Kind.EVENT, file, device_id) for part in parts) == wanted
    assert [part.index for part in parts] == list(range(len(parts)))


@given(st.lists(data_files(st.none()), max_size=8), st.integers(10**4, 10**8))
def test_snapshots_are_covered_exactly_once(files: list[DataFile], target: int) -> None:
    tags = in_table_order(files)

    parts = plan_parts(
        ExportType.DEVICE,
        {Kind.DEVICE: tags, Kind.TAG: tags},
        time_range=None,
        part_rows_target=target,
    )

    for file in files:
        for device_id in (file.device_min, file.device_max):
            reading = [part for part in parts if holds(part, Kind.DEVICE, file, device_id)]
            assert len(reading) == 1
            assert file.path in reading[0].files[Kind.TAG]


@given(st.lists(data_files(days), min_size=1, max_size=12), st.integers(10**4, 10**8))
def test_known_rows_of_whole_days_add_up(files: list[DataFile], target: int) -> None:
    time_range = TimeRange.of_days(FIRST_DAY, FIRST_DAY + timedelta(days=DAYS - 1))

    parts = plan_parts(
        ExportType.CRASH,
        {Kind.CRASH: in_table_order(files)},
        time_range=time_range,
        part_rows_target=target,
    )

    by_day = {
        day: sum(file.rows for file in files if file.day == day)
        for day in {file.day for file in files}
    }
    for part in parts:
        if part.rows is not None:
            run = [
                rows
                for day, rows in by_day.items()
                if day and part.first_day and part.last_day
                if part.first_day <= day <= part.last_day
            ]
            assert part.rows == sum(run)
            assert part.rows <= target or len(run) == 1


@given(st.lists(data_files(days), min_size=1, max_size=12), st.integers(1, 500))
def test_boundaries_ascend_inside_the_files(files: list[DataFile], count: int) -> None:
    boundaries = device_boundaries(files, count)

    assert boundaries == sorted(set(boundaries))
    assert len(boundaries) < max(count, 1)
    low, high = min(file.device_min for file in files), max(file.device_max for file in files)
    assert all(low < boundary <= high for boundary in boundaries)


def test_random_ids_are_cut_evenly() -> None:
    """Even ranges are what keeps a part, and so the memory for it, small."""
    file = DataFile(
        path="a",
        bytes=1,
        rows=1_000_000,
        day=FIRST_DAY,
        device_min="0" * 32,
        device_max="f" * 32,
        time_min=datetime(2024, 2, 27, tzinfo=UTC),
        time_max=datetime(2024, 2, 27, tzinfo=UTC),
    )

    assert device_boundaries([file], 4) == [f"{digit}".ljust(32, "0") for digit in "48c"]


@given(st.lists(data_files(days), max_size=6), st.integers(10**4, 10**8))
def test_a_kept_plan_comes_back_equal(files: list[DataFile], target: int) -> None:
    time_range = TimeRange.of_days(FIRST_DAY, FIRST_DAY + timedelta(days=DAYS))
    parts = plan_parts(
        ExportType.SESSION,
        {Kind.SESSION: in_table_order(files)},
        time_range=time_range,
        part_rows_target=target,
    )
    plan = Plan(head=PlanHead(versions={Kind.SESSION: 3}, campaign_ids=(1, 2)), parts=parts)

    assert decode(encode(plan), Plan) == plan


def span_file(path: str, home: int, first: int, last: int) -> DataFile:
    """A file of the partition of a day, with starts on some days, counted from the first day."""
    begin = datetime(FIRST_DAY.year, FIRST_DAY.month, FIRST_DAY.day, 12, tzinfo=UTC)
    return DataFile(
        path=path,
        bytes=1,
        rows=10,
        day=FIRST_DAY + timedelta(days=home),
        device_min="0" * 32,
        device_max="f" * 32,
        time_min=begin + timedelta(days=first),
        time_max=begin + timedelta(days=last),
    )


@pytest.mark.parametrize("export_type", [ExportType.SESSION, ExportType.JOB])
def test_a_day_of_sessions_or_jobs_is_read_alone(export_type: ExportType) -> None:
    """All that was reported of one is in one partition, so no day beside it matters."""
    files = [span_file(f"{day}", day, day, day) for day in range(5)]
    day = FIRST_DAY + timedelta(days=2)

    (part,) = plan_parts(
        export_type,
        {export_type.kind: files},
        time_range=TimeRange.of_days(day, day),
        part_rows_target=100,
    )

    assert part.files[export_type.kind] == ("2",)
    assert (part.rows, part.is_folded) == (10, True)


def test_a_partition_with_an_earlier_start_is_read_whole_for_that_day() -> None:
    files = [span_file("1", 1, 1, 1), span_file("2", 2, 2, 2), span_file("2late", 2, 1, 1)]
    day = FIRST_DAY + timedelta(days=1)

    parts = plan_parts(
        ExportType.SESSION,
        {Kind.SESSION: files},
        time_range=TimeRange.of_days(day, day),
        part_rows_target=1,
    )

    read = {path for part in parts for path in part.files[Kind.SESSION]}
    assert read == {"1", "2", "2late"}
    assert [part.rows for part in parts if "2" in part.files[Kind.SESSION]] == [None] * len(
        [part for part in parts if "2" in part.files[Kind.SESSION]]
    )


def test_large_rows_make_smaller_parts() -> None:
    """A destination takes only so many bytes for one object, and memory only so many at a time."""
    file = DataFile(
        path="a",
        bytes=4 * PART_SOURCE_BYTES_MAX,
        rows=100_000,
        day=FIRST_DAY,
        device_min="0" * 32,
        device_max="f" * 32,
        time_min=datetime(2024, 2, 27, tzinfo=UTC),
        time_max=datetime(2024, 2, 27, tzinfo=UTC),
    )

    parts = plan_parts(
        ExportType.CRASH,
        {Kind.CRASH: [file]},
        time_range=TimeRange.of_days(FIRST_DAY, FIRST_DAY),
        part_rows_target=500_000,
    )

    assert len(parts) == 4
