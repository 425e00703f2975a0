"""Tests that the nouns cannot be built wrong."""

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engagement import exceptions
from engagement.exceptions import (
    BadInputError,
    DestinationError,
    EngagementError,
    ErrorCode,
    InvalidExportError,
    OverloadedError,
    Retryable,
    StorageFullError,
    StorageUnavailableError,
    TransientDestinationError,
    WorkerLostError,
)
from engagement.model.exports import ExportFormat, ExportState, ExportType, TimeRange
from engagement.model.records import (
    HISTORICAL_KINDS,
    Kind,
)

START = datetime(2024, 2, 28, tzinfo=UTC)
ONE_DAY = timedelta(days=1)


@given(st.dates(max_value=date(9999, 12, 30)), st.integers(0, 400))
def test_whole_days_include_both_ends(first: date, more: int) -> None:
    last = first + min(timedelta(days=more), date(9999, 12, 30) - first)

    span = TimeRange.of_days(first, last)

    assert (span.first_day, span.last_day, span.is_whole_days) == (first, last, True)
    assert span.end - span.start == (last - first) + ONE_DAY


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (START, START),
        (START + ONE_DAY, START),
        (START.replace(tzinfo=None), START + ONE_DAY),
        (START, (START + ONE_DAY).replace(tzinfo=None)),
        (START, (START + ONE_DAY).astimezone(timezone(timedelta(hours=1)))),
    ],
)
def test_an_impossible_range_cannot_be_built(start: datetime, end: datetime) -> None:
    with pytest.raises(InvalidExportError, match="range"):
        TimeRange(start=start, end=end)


@pytest.mark.parametrize(
    ("first", "last"), [(date(2024, 3, 1), date(2024, 2, 29)), (date(9999, 1, 1), date.max)]
)
def test_impossible_days_cannot_be_built(first: date, last: date) -> None:
    with pytest.raises(InvalidExportError, match="end date"):
        TimeRange.of_days(first, last)


def test_a_range_inside_a_day_is_not_whole_days() -> None:
    minute = timedelta(minutes=1)

    spans = [
        TimeRange(start=START + minute, end=START + ONE_DAY),
        TimeRange(start=START, end=START + minute),
    ]

    assert [span.is_whole_days for span in spans] == [False, False]
    assert {span.last_day for span in spans} == {START.date()}


def test_every_export_type_reads_the_kind_of_its_name() -> None:
    kinds = {item: item.kind for item in ExportType}

    assert kinds.pop(ExportType.PUSH) is Kind.FEEDBACK
    assert {item.value.lower(): kind.value for item, kind in kinds.items()} == {
        item.value.lower(): item.value.lower() for item in kinds
    }
    assert {item.kind for item in ExportType} == set(Kind)
    assert {item.kind for item in ExportType if item.is_historical} == HISTORICAL_KINDS


def test_files_end_in_their_formats_name() -> None:
    assert [item.extension for item in ExportFormat] == ["json", "csv", "ndjson", "parquet"]


def test_final_states_are_the_last_three() -> None:
    assert [item.is_final for item in ExportState] == [False, False, True, True, True]


def test_retryable_is_a_mark_of_few() -> None:
    named = [var for var in vars(exceptions).values() if isinstance(var, type)]
    marked = {item for item in named if issubclass(item, Retryable) and item is not Retryable}

    assert marked == {
        exceptions.ServerUnreachableError,
        exceptions.TooManyRequestsError,
        exceptions.TooManyTasksError,
        OverloadedError,
        StorageFullError,
        StorageUnavailableError,
        WorkerLostError,
        TransientDestinationError,
    }
    assert issubclass(TransientDestinationError, DestinationError)


def test_every_failure_has_a_code_of_its_own() -> None:
    assert BadInputError("x").code is ErrorCode.BAD_INPUT
    assert DestinationError("x", code=ErrorCode.SAS_EXPIRED).code is ErrorCode.SAS_EXPIRED
    assert DestinationError("x").code is ErrorCode.DESTINATION_UNAVAILABLE
    assert str(EngagementError("what was wanted")) == "what was wanted"
    assert len({code.value for code in ErrorCode}) == len(ErrorCode)
