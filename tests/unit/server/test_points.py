"""Tests that what is counted in memory is brought to the state database once."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from engagement import operations
from engagement.exceptions import StorageFullError
from engagement.model.points import EVERYWHERE, ChartRange
from engagement.model.records import Kind
from engagement.runtime.opening import Runtime, open_service
from engagement.server.points import CODES_MAX, OTHER_CODES, PointRecorder
from engagement.settings import Settings


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[Runtime]:
    with open_service(Settings(home=tmp_path), run_tasks=False) as runtime:
        yield runtime


def _sum(runtime: Runtime, prefix: str) -> int:
    chart = operations.read_chart(runtime, [EVERYWHERE], prefix, ChartRange.DAY)
    return sum(value or 0 for values in chart.series.values() for value in values)


def test_a_count_is_pending_and_then_kept_once(runtime: Runtime) -> None:
    recorder = PointRecorder(runtime)
    recorder.count("a", accepted={Kind.EVENT: 3}, refused={"too_old": 1})
    recorder.count("a", accepted={Kind.EVENT: 2}, refused={})

    assert recorder.read_pending() == {("a", "accepted.event"): 5, ("a", "refused.too_old"): 1}
    recorder.record()
    assert recorder.read_pending() == {}
    recorder.record()

    assert _sum(runtime, "accepted.") == 5
    assert _sum(runtime, "refused.") == 1


def test_what_cannot_be_kept_now_is_kept_later(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = PointRecorder(runtime)
    recorder.count("a", accepted={Kind.EVENT: 3}, refused={})

    def fail(*_: object, **__: object) -> None:
        raise StorageFullError("full")

    with monkeypatch.context() as patched:
        patched.setattr(operations, "record_points", fail)
        with pytest.raises(StorageFullError):
            recorder.record()
    recorder.count("a", accepted={Kind.EVENT: 1}, refused={})
    recorder.record()

    assert _sum(runtime, "accepted.") == 4


def test_there_is_no_end_of_codes_but_one_of_series(runtime: Runtime) -> None:
    recorder = PointRecorder(runtime)
    for number in range(CODES_MAX + 10):
        recorder.count("a", accepted={}, refused={f"code_{number}": 1})

    series = {name for _, name in recorder.read_pending()}
    assert len(series) == CODES_MAX + 1
    assert recorder.read_pending()["a", OTHER_CODES] == 10
