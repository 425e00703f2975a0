"""Tests that each export that ends is counted once."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from engagement import operations
from engagement.model.export_request import ExportRequest
from engagement.model.exports import ExportFormat, ExportState, ExportType
from engagement.operations.export_lists import PAGE
from engagement.runtime.opening import Runtime, open_service
from engagement.settings import Settings
from engagement.testing import MemoryContainer, StoppedClock
from support.whole_service import register_app

MINUTE = timedelta(minutes=1)


@pytest.fixture
def clock() -> StoppedClock:
    return StoppedClock()


@pytest.fixture
def runtime(tmp_path: Path, clock: StoppedClock) -> Iterator[Runtime]:
    with open_service(
        Settings(home=tmp_path), run_tasks=False, clock=clock, allow_memory=True
    ) as runtime:
        yield runtime


def _end_export(runtime: Runtime) -> str:
    (app,) = operations.list_apps(runtime) or [register_app(runtime)]
    request = ExportRequest(
        app_id=app.app_id,
        export_type=ExportType.DEVICE,
        export_format=ExportFormat.NDJSON,
        container_url=MemoryContainer().url,
    )
    task_id = operations.create_export(runtime, request).task_id
    operations.cancel_export(runtime, task_id)
    return task_id


def test_an_export_is_given_once_when_it_has_ended(runtime: Runtime, clock: StoppedClock) -> None:
    _end_export(runtime)
    clock.advance(MINUTE)
    ended = operations.EndedExports(runtime)
    assert ended.take() == []

    task_id = _end_export(runtime)
    assert ended.take() == []
    clock.advance(MINUTE)

    (task,) = ended.take()
    assert (task.task_id, task.state) == (task_id, ExportState.CANCELLED)
    assert ended.take() == []
    clock.advance(MINUTE)
    assert ended.take() == []


def test_the_end_of_an_export_that_is_kept_late_is_given_too(
    runtime: Runtime, clock: StoppedClock
) -> None:
    """It names an instant before the last look, which did not find it yet."""
    ended = operations.EndedExports(runtime)
    clock.advance(timedelta(seconds=3))
    assert ended.take() == []
    clock.now -= timedelta(seconds=2)
    task_id = _end_export(runtime)
    clock.advance(timedelta(seconds=3))

    assert [task.task_id for task in ended.take()] == [task_id]
    assert ended.take() == []


def test_more_than_a_page_is_given_whole(
    runtime: Runtime, clock: StoppedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert PAGE > 5
    monkeypatch.setattr("engagement.operations.export_lists.PAGE", 2)
    ended = operations.EndedExports(runtime)
    expected = {_end_export(runtime) for _ in range(5)}
    clock.advance(MINUTE)

    found = [task.task_id for task in ended.take()]

    assert set(found) == expected
    assert len(found) == 5
