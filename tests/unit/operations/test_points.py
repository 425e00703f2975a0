"""Tests what charts hold: sums, levels, gaps where nobody counted, and what is not kept yet."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from engagement import operations
from engagement.model.points import EVERYWHERE, ChartRange
from engagement.operations import StorageState
from engagement.runtime.opening import Runtime, open_service
from engagement.settings import Settings

STORAGE = StorageState(disk_bytes=200, disk_used_bytes=50, lake_bytes=7)
MINUTE = timedelta(minutes=1)


class Clock:
    """Shows a time that moves when it is told to."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 1, 12, 0, 30, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def runtime(tmp_path: Path, clock: Clock) -> Iterator[Runtime]:
    with open_service(Settings(home=tmp_path), run_tasks=False, clock=clock) as runtime:
        yield runtime


def _record(runtime: Runtime, counts: dict[tuple[str, str], int]) -> None:
    operations.record_points(runtime, counts, ended=[], storage=STORAGE)


def test_counts_of_apps_add_up_to_those_of_all(runtime: Runtime) -> None:
    _record(runtime, {("a", "accepted.event"): 3, ("b", "accepted.event"): 4})

    def newest(*scopes: str) -> int | None:
        chart = operations.read_chart(runtime, scopes, "accepted.", ChartRange.HOUR)
        return chart.series["accepted.event"][-1]

    assert (newest("a"), newest("a", "b"), newest(EVERYWHERE)) == (3, 7, 7)


def test_a_minute_in_which_nobody_counted_is_a_gap_and_not_zero(
    runtime: Runtime, clock: Clock
) -> None:
    for minutes, counts in ((0, {("a", "accepted.event"): 3}), (1, {}), (2, {})):
        clock.now += minutes * MINUTE
        _record(runtime, dict(counts))
    clock.now += MINUTE

    chart = operations.read_chart(runtime, [EVERYWHERE], "accepted.", ChartRange.HOUR)

    assert chart.series["accepted.event"][-5:] == [3, 0, None, 0, 0]
    assert len(chart.at) == 60
    assert chart.at[-1] == int(clock.now.timestamp()) // 60 * 60


def test_a_level_is_the_highest_of_a_step(runtime: Runtime, clock: Clock) -> None:
    _record(runtime, {})
    clock.now += MINUTE
    full = StorageState(disk_bytes=200, disk_used_bytes=100, lake_bytes=7)
    operations.record_points(runtime, {}, ended=[], storage=full)

    chart = operations.read_chart(runtime, [EVERYWHERE], "disk", ChartRange.DAY)

    assert chart.series["disk"][-1] == 50


def test_what_is_not_kept_yet_is_in_the_newest_moment(runtime: Runtime) -> None:
    pending = {("a", "accepted.event"): 5, ("b", "accepted.event"): 6, ("a", "refused.x"): 1}

    def newest(*scopes: str) -> list[int | None]:
        chart = operations.read_chart(
            runtime, scopes, "accepted.", ChartRange.HOUR, pending=pending
        )
        return [values[-1] for values in chart.series.values()]

    assert (newest("a"), newest(EVERYWHERE), newest("c")) == ([5], [11], [])


@pytest.mark.parametrize("chosen", ChartRange)
def test_a_chart_has_no_more_than_three_hundred_moments(
    runtime: Runtime, chosen: ChartRange
) -> None:
    chart = operations.read_chart(runtime, [EVERYWHERE], "accepted.", chosen)

    assert 24 <= len(chart.at) <= 300
    assert {b - a for a, b in zip(chart.at, chart.at[1:], strict=False)} == {chosen.step}
