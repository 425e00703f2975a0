"""Tests that what a page says of an app's contents is what the lake holds."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from engagement import operations
from engagement.exceptions import BadInputError, UnknownAppError
from engagement.model.records import Kind, new_guid
from engagement.runtime.opening import Runtime
from engagement.store import record_views
from engagement.testing import open_test_runtime
from support.batches import DAY, DEVICES, batch, everything, log
from support.whole_service import register_app


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    with open_test_runtime(tmp_path_factory.mktemp("contents") / "home") as runtime:
        yield runtime


@pytest.fixture
def app_id(runtime: Runtime) -> str:
    return register_app(runtime, new_guid()).app_id


def take(runtime: Runtime, app_id: str, *bodies: bytes) -> None:
    for body in bodies:
        operations.collect_batch(runtime, app_id, body, content_encoding=None).durable.result()
    runtime.flush(app_id)


def event(name: str, *, days: int = 0) -> dict[str, object]:
    return log("event", day=DAY + timedelta(days=days)) | {"name": name}


def test_days_are_counted_by_kind(runtime: Runtime, app_id: str) -> None:
    take(
        runtime, app_id, batch(event("a"), event("b"), event("c", days=1), log("crash", stack="x"))
    )

    counts = operations.count_days(runtime, app_id, first=DAY, last=DAY)

    assert counts == {Kind.EVENT: {DAY: 2}, Kind.CRASH: {DAY: 1}}


def test_names_are_ordered_by_how_often_they_occur(runtime: Runtime, app_id: str) -> None:
    take(runtime, app_id, batch(event("rare"), *[event("often")] * 3, event("late", days=5)))

    counts = operations.top_names(runtime, app_id, Kind.EVENT, first=DAY, last=DAY)

    assert list(counts.rows) == [(("often",), 3), (("rare",), 1)]
    assert counts.counted == counts.total == 4


def test_a_large_table_is_counted_in_its_newest_rows(
    runtime: Runtime, app_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_views, "COUNTED_ROWS_MAX", 2)
    take(runtime, app_id, batch(event("old"), event("old")), batch(event("new", days=1)))

    counts = operations.top_names(
        runtime, app_id, Kind.EVENT, first=DAY, last=DAY + timedelta(days=1)
    )

    assert list(counts.rows) == [(("new",), 1)]
    assert (counts.counted, counts.total) == (1, 3)


def test_a_device_counts_once_as_it_told_last(runtime: Runtime, app_id: str) -> None:
    for seconds, version in ((1, "1.0"), (2, "2.0")):
        info = {"applicationVersionName": version, "firmwareName": "Android"}
        take(runtime, app_id, batch(log("event", seconds), device=DEVICES[0], info=info))
    take(runtime, app_id, batch(log("event"), device=DEVICES[1]))

    counts = operations.count_versions(runtime, app_id)

    assert list(counts.rows) == [(("2.0", "Android", ""), 1)]


def test_the_newest_records_are_those_that_came_last(runtime: Runtime, app_id: str) -> None:
    take(runtime, app_id, batch(event("first", days=3)), batch(log("error")))
    take(runtime, app_id, batch(event("second"), event("third")))

    newest = operations.newest_records(runtime, app_id, limit=3)

    assert [record.name for record in newest] == ["third", "second", "error name"]


def test_of_an_unknown_app_nothing_is_told(runtime: Runtime) -> None:
    with pytest.raises(UnknownAppError):
        operations.newest_records(runtime, "0" * 32)
    with pytest.raises(UnknownAppError):
        operations.count_versions(runtime, "0" * 32)


def test_an_app_without_records_has_none(runtime: Runtime, app_id: str) -> None:
    assert operations.newest_records(runtime, app_id) == []
    assert operations.count_days(runtime, app_id, first=DAY, last=DAY) == {}
    assert operations.count_versions(runtime, app_id).rows == ()


def test_pages_hold_every_record_of_the_device_once(runtime: Runtime, app_id: str) -> None:
    for number in range(3):
        take(runtime, app_id, everything(number), everything(number, device=DEVICES[1]))
        take(runtime, app_id, batch(*[log("event")] * 5))  # at one instant

    whole = operations.read_device_history(runtime, app_id, DEVICES[0], limit=100)
    paged, before = [], None
    while True:
        page = operations.read_device_history(runtime, app_id, DEVICES[0], limit=4, before=before)
        paged += page.records
        before = page.older
        if before is None:
            break

    assert paged == list(whole.records)
    assert {record.device_id for record in paged} == {DEVICES[0]}
    kinds = [record.kind for record in paged]
    assert (kinds.count(Kind.EVENT), kinds.count(Kind.JOB), kinds.count(Kind.CRASH)) == (21, 3, 3)
    assert [record.at for record in paged] == sorted((r.at for r in paged), reverse=True)


@pytest.mark.parametrize("before", ["", "1", "a.b.c", "1.2.3.4", "9" * 60 + ".1.1"])
def test_a_place_that_no_answer_gave_is_refused(runtime: Runtime, app_id: str, before: str) -> None:
    with pytest.raises(BadInputError):
        operations.read_device_history(runtime, app_id, DEVICES[0], before=before)
