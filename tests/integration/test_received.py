"""Tests exports whose range is about when records were received."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from deltalake import DeltaTable
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engagement.export.plan import plan_parts
from engagement.model.exports import ExportFormat, ExportType, TimeAxis, TimeRange
from engagement.model.records import Kind
from engagement.store.data_files import DataFile
from support.batches import DAY, DEVICES, at, batch, everything, log
from support.export_files import read_part
from support.home import Home, exported_files

RECEIVED = datetime(2026, 2, 21, 8, tzinfo=UTC)
TICK = timedelta(microseconds=333)
"""Smaller than a millisecond, which is what statistics are cut to."""
ONE_DAY = timedelta(days=1)
FIRST_DAY = (RECEIVED, RECEIVED + ONE_DAY)
SECOND_DAY = (RECEIVED + ONE_DAY, RECEIVED + 2 * ONE_DAY)
HISTORIES = [item for item in ExportType if item.is_historical]


def received(
    home: Home,
    export_type: ExportType,
    span: tuple[datetime, datetime],
    *,
    part_rows_target: int = 500_000,
    export_format: ExportFormat = ExportFormat.NDJSON,
) -> list[dict[str, Any]]:
    """The records of an export of what was received in a range."""
    request = home.request(
        export_type,
        export_format=export_format,
        time_axis=TimeAxis.RECEIVED,
        time_range=TimeRange(start=span[0], end=span[1]),
    )
    return [
        record
        for data in exported_files(home, request, part_rows_target=part_rows_target)
        for record in read_part(data, export_type, export_format, request.compression)
    ]


def compact(home: Home) -> None:
    home.upkeep().compact(home.app_id)


arrivals = st.lists(
    st.tuples(
        st.integers(0, 12).map(lambda ticks: RECEIVED + ticks * TICK)
        | st.integers(-2, 2).map(lambda days: RECEIVED + days * ONE_DAY),
        st.integers(0, 2).map(lambda days: DAY + days * ONE_DAY),
        st.sampled_from(DEVICES[:3]),
    ),
    min_size=1,
    max_size=6,
)
cuts = st.lists(st.integers(-1, 13).map(lambda ticks: RECEIVED + ticks * TICK), max_size=4)


@settings(max_examples=12, suppress_health_check=[HealthCheck.too_slow])
@given(
    arrived=arrivals,
    inside=cuts,
    part_rows_target=st.sampled_from([1, 4, 500_000]),
    is_compacted=st.booleans(),
)
def test_adjoining_ranges_hold_every_record_once(
    shared_home: Home,
    *,
    arrived: list[tuple[datetime, date, str]],
    inside: list[datetime],
    part_rows_target: int,
    is_compacted: bool,
) -> None:
    home = shared_home
    home.next_app()
    for number, (received_at, day, device) in enumerate(arrived):
        home.take(everything(number, device=device, day=day), received_at=received_at)
    if is_compacted:
        compact(home)
    edges = sorted({RECEIVED - 3 * ONE_DAY, *inside, RECEIVED + 3 * ONE_DAY})

    for export_type in HISTORIES:
        found = [
            received(home, export_type, span, part_rows_target=part_rows_target)
            for span in pairwise(edges)
        ]
        whole = home.request(export_type)
        wanted = [
            record
            for data in exported_files(home, whole)
            for record in read_part(data, export_type, whole.export_format, whole.compression)
        ]
        assert counted(item for some in found for item in some) == counted(wanted)
        if export_type is ExportType.EVENT:
            assert [len(some) for some in found] == [
                2 * sum(start <= received_at < end for received_at, *_ in arrived)
                for start, end in pairwise(edges)
            ]


def counted(records: Any) -> Counter[str]:
    return Counter(repr(sorted(record.items())) for record in records)


@pytest.mark.parametrize("export_format", list(ExportFormat))
def test_late_records_are_in_the_range_of_their_receipt(
    home: Home, export_format: ExportFormat
) -> None:
    """Whatever day they happened on, even the last one that there is."""
    late = [date(1970, 1, 1), DAY, date(9999, 12, 31)]
    home.take(*(batch(log("event", day=day, name=f"{day}")) for day in late), received_at=RECEIVED)
    home.take(batch(log("event", name="later")), received_at=RECEIVED + ONE_DAY)

    found = received(home, ExportType.EVENT, FIRST_DAY, export_format=export_format)

    assert {record["name"] for record in found} == {f"{day}" for day in late}


def test_whole_days_are_days_of_receipt(home: Home) -> None:
    """On the other axis whole days need no filter, on this one they always do."""
    home.take(batch(log("event", name="early")), received_at=RECEIVED - ONE_DAY)
    home.take(batch(log("event", name="late")), received_at=RECEIVED)
    compact(home)

    request = home.request(
        ExportType.EVENT, days=(RECEIVED.date(), RECEIVED.date()), time_axis=TimeAxis.RECEIVED
    )

    assert [row["name"] for row in home.exported(request)] == ["late"]


@pytest.mark.parametrize("is_compacted", [False, True])
def test_a_session_is_received_when_the_last_of_it_was(home: Home, *, is_compacted: bool) -> None:
    """It goes over midnight, and its second day comes in first."""
    next_day = DAY + ONE_DAY
    session = "5" * 32
    before = log("activity", 0, day=DAY, end=at(1, day=DAY), sessionId=session)
    after = log("activity", 0, day=next_day, end=at(1, day=next_day), sessionId=session)
    home.take(batch(after), received_at=RECEIVED + ONE_DAY)
    home.take(batch(before), received_at=RECEIVED)
    if is_compacted:
        compact(home)

    early = received(home, ExportType.SESSION, FIRST_DAY)
    late = received(home, ExportType.SESSION, SECOND_DAY)

    assert early == []
    assert [(item["sessionId"], item["start"][:10], item["end"][:10]) for item in late] == [
        (session, f"{DAY}", f"{next_day}")
    ]


def test_a_session_that_grew_is_delivered_again(home: Home) -> None:
    first = log("activity", 0, sessionId="5" * 32)
    home.take(batch(first), received_at=RECEIVED)
    before = received(home, ExportType.SESSION, FIRST_DAY)

    home.take(batch(log("activity", 9, sessionId="5" * 32)), received_at=RECEIVED + ONE_DAY)

    assert received(home, ExportType.SESSION, FIRST_DAY) == []
    (again,) = received(home, ExportType.SESSION, SECOND_DAY)
    assert again["end"] > before[0]["end"]
    assert again["start"] == before[0]["start"]


def test_files_that_hold_nothing_received_then_are_not_read(home: Home) -> None:
    for days in range(4):
        home.take(batch(log("event")), received_at=RECEIVED + days * ONE_DAY)
    request = home.request(
        ExportType.EVENT,
        time_axis=TimeAxis.RECEIVED,
        time_range=TimeRange(start=RECEIVED + ONE_DAY, end=RECEIVED + 3 * ONE_DAY),
    )

    plan = home.plan(request)

    assert [len(part.files[Kind.EVENT]) for part in plan.parts] == [2]
    assert plan.rows == 2


def test_a_table_made_before_there_were_statistics_of_receipt(home: Home) -> None:
    """Their files are read, since they may hold anything."""
    home.take(batch(log("event", name="old")), received_at=RECEIVED)
    table = DeltaTable(str(home.folder / "lake" / home.app_id / "event"))
    table.alter.set_table_properties({"delta.dataSkippingStatsColumns": "device_id,timestamp"})
    home.take(batch(log("event", name="older")), received_at=RECEIVED)
    home.take(batch(log("event", name="other")), received_at=RECEIVED + ONE_DAY)

    newest = home.inbox.last_commits(home.app_id)[Kind.EVENT]
    files = home.lake.files(home.app_id, Kind.EVENT, newest.version)
    found = received(home, ExportType.EVENT, FIRST_DAY)

    assert [(file.received_min, file.received_max) for file in files] == 3 * [(None, None)]
    assert {record["name"] for record in found} == {"old", "older"}


instants = st.integers(0, 40).map(lambda ticks: RECEIVED + ticks * TICK)


@st.composite
def data_files(draw: st.DrawFn) -> DataFile:
    low, high = sorted((draw(instants), draw(instants)))
    day = DAY + draw(st.integers(0, 5)) * ONE_DAY
    is_known = draw(st.booleans())
    return DataFile(
        path=f"{draw(st.uuids())}",
        bytes=1,
        rows=draw(st.integers(1, 100)),
        day=day,
        device_min="0" * 32,
        device_max="f" * 32,
        time_min=RECEIVED,
        time_max=RECEIVED,
        received_min=cut_to_milliseconds(low) if is_known else None,
        received_max=cut_to_milliseconds(high) if is_known else None,
    )


def cut_to_milliseconds(instant: datetime) -> datetime:
    return instant.replace(microsecond=instant.microsecond // 1000 * 1000)


def in_table_order(files: Sequence[DataFile]) -> list[DataFile]:
    return sorted(files, key=lambda file: (file.day or date.min, file.path))


@given(
    st.lists(data_files(), max_size=8),
    st.tuples(instants, instants).map(sorted).filter(lambda span: span[0] < span[1]),
    st.integers(1, 400),
)
def test_every_file_that_may_hold_the_range_is_read_once(
    files: list[DataFile], span: list[datetime], target: int
) -> None:
    parts = plan_parts(
        ExportType.EVENT,
        {Kind.EVENT: in_table_order(files)},
        time_range=TimeRange(start=span[0], end=span[1]),
        part_rows_target=target,
        time_axis=TimeAxis.RECEIVED,
    )

    assert all(part.rows is None for part in parts), "statistics cannot say how many"
    for file in files:
        reading = [part for part in parts if file.path in part.files[Kind.EVENT]]
        low, high = file.received_min, file.received_max
        if low is None or high is None or (low < span[1] and high >= span[0]):
            # Cut by device ids, a file is read by each of the parts of its day.
            bounds = [(part.device_from, part.device_to) for part in reading]
            assert bounds
            assert bounds[0][0] is None
            assert bounds[-1][1] is None
            assert all(item[1] == other[0] for item, other in pairwise(bounds))


@given(
    st.lists(data_files(), max_size=8),
    st.tuples(instants, instants).map(sorted).filter(lambda span: span[0] < span[1]),
    st.integers(1, 400),
)
def test_a_sessions_files_are_all_read_where_one_decides(
    files: list[DataFile], span: list[datetime], target: int
) -> None:
    parts = plan_parts(
        ExportType.SESSION,
        {Kind.SESSION: in_table_order(files)},
        time_range=TimeRange(start=span[0], end=span[1]),
        part_rows_target=target,
        time_axis=TimeAxis.RECEIVED,
    )

    for file in files:
        low, high = file.received_min, file.received_max
        if low is None or high is None or (low < span[1] and high >= span[0]):
            of_day = {other.path for other in files if other.day == file.day}
            reading = [part for part in parts if part.first_day <= file.day <= part.last_day]
            assert reading
            for part in reading:
                assert of_day <= set(part.files[Kind.SESSION])
