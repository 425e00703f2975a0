"""Tests that parts stay within their target, whatever devices and times the rows have."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engagement.exceptions import IncompleteExportError
from engagement.export import rows as rows_module
from engagement.export.cutting import SLACK
from engagement.export.requests import selection_of
from engagement.export.rows import part_rows
from engagement.model.export_request import ExportRequest
from engagement.model.exports import ExportFormat, ExportType
from engagement.model.plan import Part
from engagement.model.records import Kind
from engagement.store import ranges
from support.batches import DEVICES, at, batch, log
from support.home import Home, exported_files, open_home

ALIKE = tuple(f"{'ab' * 15}{number:02x}" for number in range(12))
"""Devices whose ids differ in their last digits only."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    with open_home(tmp_path_factory.mktemp("cutting") / "home") as home:
        yield home


@dataclass(frozen=True)
class Sent:
    """A batch of equal records but for their times."""

    device: str
    """Who sends it."""
    seconds: tuple[int, ...]
    """When the records happened."""


sent = st.builds(
    Sent,
    device=st.sampled_from([*ALIKE[:5], DEVICES[0], DEVICES[7]]),
    seconds=st.lists(st.integers(0, 3), min_size=1, max_size=8).map(tuple),
)
flushes = st.lists(st.lists(sent, min_size=1, max_size=5), min_size=1, max_size=4)


def take(home: Home, rounds: Sequence[Sequence[Sent]], kind: str) -> None:
    """Flush round after round of records of a kind."""
    home.next_app()
    for batches in rounds:
        home.take(
            *(
                batch(
                    *(record(kind, second, place) for place, second in enumerate(each.seconds)),
                    device=each.device,
                )
                for each in batches
            )
        )


def record(kind: str, second: int, place: int) -> dict[str, Any]:
    if kind == "job":
        # Some come again, so that several files tell of one job.
        return log("job", second, jobId=f"{place % 3}-{second}", end=at(second + 1))
    if kind == "tags":
        return log("tags", second, tags={f"key{place}": str(second)})
    return log(kind, second)


def rows_of_parts(home: Home, request: ExportRequest, target: int) -> list[pl.DataFrame]:
    plan = home.plan(request, part_rows_target=target)
    selection = selection_of(request, plan.head.campaign_ids)
    found = [part_rows(home.lake, selection, part).collect() for part in plan.parts]
    assert [rows.height for rows in found] == [part.rows for part in plan.parts]
    return found


def ids_of(rows: Sequence[pl.DataFrame]) -> Counter[str]:
    return Counter(record_id for some in rows for record_id in some["record_id"])


@settings(max_examples=12)
@given(
    flushes,
    st.integers(1, 9),
    st.sampled_from(["event", "job"]),
    st.sampled_from(["", "compacted"]),
)
def test_history_is_cut_into_parts_of_the_target_whatever_it_holds(
    home: Home, rounds: list[list[Sent]], target: int, kind: str, compact: str
) -> None:
    take(home, rounds, kind)
    if compact:
        home.upkeep().compact(home.app_id)
    request = home.request(ExportType.JOB if kind == "job" else ExportType.EVENT)

    (whole,) = rows_of_parts(home, request, 10**6)
    parts = rows_of_parts(home, request, target)

    assert ids_of(parts) == ids_of([whole])
    assert set(ids_of(parts).values()) == {1}
    assert max(part.height for part in parts) <= target + target // SLACK
    devices = [(part["device_id"].min(), part["device_id"].max()) for part in parts]
    assert devices == sorted(devices)


@settings(max_examples=15)
@given(flushes, st.integers(1, 9), st.sampled_from([ExportType.DEVICE, ExportType.TAG]))
def test_a_snapshot_is_cut_between_any_two_devices(
    home: Home, rounds: list[list[Sent]], target: int, export_type: ExportType
) -> None:
    take(home, rounds, "tags")
    request = home.request(export_type)

    (whole,) = rows_of_parts(home, request, 10**6)
    parts = rows_of_parts(home, request, target)

    assert ids_of(parts) == ids_of([whole])
    assert set(ids_of(parts).values()) == {1}
    for part in parts:
        assert part.height <= target + target // SLACK or part["device_id"].n_unique() == 1


@pytest.mark.parametrize("export_format", [ExportFormat.NDJSON, ExportFormat.JSON])
@pytest.mark.parametrize("export_type", [ExportType.EVENT, ExportType.SESSION])
def test_the_files_of_one_busy_device_hold_its_records_once(
    home: Home, export_type: ExportType, export_format: ExportFormat
) -> None:
    home.next_app()
    for flush in range(3):
        seconds = [(flush + 3 * place) // 2 for place in range(30)]
        records = (
            record
            for place, second in enumerate(seconds)
            for record in (log("event", second), log("activity", second, sessionId=f"{place % 20}"))
        )
        home.take(batch(*records))
    request = home.request(export_type, export_format=export_format, include_record_id=True)

    files = exported_files(home, request, part_rows_target=8)

    texts = [line for file in files for line in file.decode().split(chr(34))]
    wanted = home.rows(export_type.kind)["record_id"].unique()
    assert len(files) > 1
    assert {record_id: texts.count(record_id) for record_id in wanted} == dict.fromkeys(wanted, 1)


def test_rows_that_happened_at_one_instant_are_cut_by_the_order_in_which_they_came(
    home: Home,
) -> None:
    take(home, [[Sent(DEVICES[0], (1,) * 50)]], "event")

    parts = rows_of_parts(home, home.request(ExportType.EVENT), 10)

    assert [part.height for part in parts] == [10] * 5
    sequences = [list(part["sequence"].sort()) for part in parts]
    assert sequences == sorted(sequences)


def test_a_device_of_usual_size_is_not_cut(home: Home) -> None:
    rounds = [[Sent(device, (0, 1, 2)) for device in ALIKE]]
    take(home, rounds, "event")

    parts = rows_of_parts(home, home.request(ExportType.EVENT), 3)

    assert [part["device_id"].n_unique() for part in parts] == [1] * len(ALIKE)


def test_a_filter_is_known_when_parts_are_cut(home: Home) -> None:
    """Of a device's rows few may be asked for."""
    home.next_app()
    home.take(batch(*(log("event", place, name="ab"[place % 10 == 0]) for place in range(90))))

    parts = rows_of_parts(home, home.request(ExportType.EVENT, event_names=("b",)), 3)

    assert [part.height for part in parts] == [3, 3, 3]


@pytest.mark.parametrize("is_late", [True, False], ids=["in two parts", "in none"])
def test_a_row_at_an_edge_that_is_not_in_one_part_fails_the_plan(
    home: Home, monkeypatch: pytest.MonkeyPatch, *, is_late: bool
) -> None:
    """The counts of the parts are held against what Delta's log says."""
    take(home, [[Sent(DEVICES[0], (1,) * 50)]], "event")
    within, step = ranges.within_range, 1 if is_late else -1

    def shifted(rows: pl.LazyFrame, kind: Kind, part: Part) -> pl.LazyFrame:
        if isinstance(part.place_to, tuple):
            time, sequence = part.place_to
            part = replace(part, place_to=(time, sequence + step))
        return within(rows, kind, part)

    monkeypatch.setattr(rows_module, "within_range", shifted)

    with pytest.raises(IncompleteExportError):
        home.plan(home.request(ExportType.EVENT), part_rows_target=10)
