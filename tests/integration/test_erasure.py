"""Tests that nothing of an erased device is left, in no file and in no container."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from engagement import operations
from engagement.exceptions import EngagementError, ErrorCode, UnknownDeviceError
from engagement.failpoints import Failpoint
from engagement.model.export_request import ExportRequest
from engagement.model.export_tasks import ExportTask
from engagement.model.exports import ExportFormat, ExportState, ExportType, TimeRange
from engagement.model.records import derive_guid
from engagement.model.refused import RefusedFilter
from engagement.runtime.opening import Runtime, open_service
from engagement.settings import Settings
from engagement.testing import MemoryContainer, make_batch
from support.waiting import WAIT_SECONDS_MAX, wait_for

PHONE = "00000000-0000-4000-8000-00000ca9a7e1"
"""The least of all ids, so that it stands in statistics."""
TABLET = "the tablet of canary-tablet"
USER = "canary-user"
IDS = {"id of the phone": PHONE.replace("-", ""), "id of the tablet": derive_guid("device", TABLET)}
NAMES = [f"canary_{number:02}_{number * 7919:x}" for number in range(42)]
CANARIES = {**IDS, "tablet": TABLET, "user": USER, **dict(zip(NAMES, NAMES, strict=True))}


class _FailingParts:
    """Fails the parts of exports while it is told to."""

    def __init__(self) -> None:
        self.is_failing = False

    def __call__(self, point: Failpoint) -> None:
        if self.is_failing and point is Failpoint.PART_STARTED:
            raise EngagementError("The part fails.", code=ErrorCode.SAS_EXPIRED)


@contextmanager
def _open(home: Path, failing: _FailingParts) -> Iterator[Runtime]:
    settings = Settings(home=home, vacuum_days_min=0, batch_dedup_days=0)
    with open_service(settings, allow_memory=True, on_failpoint=failing) as runtime:
        yield runtime


def _make_app(runtime: Runtime) -> str:
    made = operations.create_app(
        runtime, name="app", collection="apps", resource_group="group", subscription="subscription"
    )
    return made.app.app_id


def _collect(runtime: Runtime, app_id: str, body: bytes) -> operations.Collected:
    collected = operations.collect_batch(runtime, app_id, body, content_encoding=None)
    collected.durable.result(WAIT_SECONDS_MAX)
    return collected


def _report(runtime: Runtime, app_id: str, device: str, names: list[str], **members: Any) -> None:
    """Let a device tell all names, in records of every type and in what is refused."""
    left = iter(names)
    now = runtime.clock()

    def log(kind: str, **fields: Any) -> dict[str, Any]:
        return {"type": kind, "timestamp": (now - timedelta(seconds=1)).isoformat(), **fields}

    logs = [
        log("activity", name=next(left), extras={"text": next(left)}),
        log("event", name=next(left), extras={next(left): next(left)}),
        log("error", name=next(left), extras={"list": [next(left)]}),
        log("crash", name=next(left), stack=f"at {next(left)}\n\tat main"),
        log("job", name=next(left)),
        log("tags", tags={next(left): next(left)}),
        log("token", token=next(left), tokenType="GCM"),
        log("event", name=next(left), extras={"of": next(left)}, sessionId="a session"),
    ]
    bad = [
        log("nothing", name=next(left)),
        {"type": "event", "timestamp": next(left)},
        log("event", name=7, extras={"bad": next(left)}),
    ]
    content = {"info": {"phoneModel": next(left)}, "location": {"locality": next(left)}}
    body = make_batch(
        *logs,
        *bad,
        device_id=device,
        sent_at=now,
        batch_id=f"batch of {device}",
        **content,
        **members,
    )
    collected = _collect(runtime, app_id, body)
    assert collected.accepted == len(logs), collected.refused
    broken = make_batch(log("event", name=next(left)), device_id=device, **members)[:-1]
    assert _collect(runtime, app_id, broken).unreadable is not None


def _report_others(runtime: Runtime, app_id: str) -> None:
    for number in range(1, 6):
        now = runtime.clock()
        event = {"type": "event", "timestamp": now.isoformat(), "name": "other"}
        bad = {"type": "nothing", "timestamp": now.isoformat()}
        body = make_batch(event, bad, device_id=f"{number:x}" * 32, sent_at=now, userId="another")
        _collect(runtime, app_id, body)


def _fill(runtime: Runtime, app_id: str) -> None:
    """Let devices report in several rounds, the last of which waits in the inbox."""
    _report_others(runtime, app_id)
    _report(runtime, app_id, PHONE, NAMES[:21], userId=USER)
    runtime.flush(app_id)
    _report_others(runtime, app_id)
    runtime.flush(app_id)
    operations.compact(runtime, app_id)
    _report_others(runtime, app_id)
    _report(runtime, app_id, TABLET, NAMES[21:], userId=USER)


def _export(runtime: Runtime, app_id: str, container: MemoryContainer, **more: Any) -> ExportTask:
    request = ExportRequest(
        app_id=app_id,
        container_url=container.url,
        export_format=ExportFormat.NDJSON,
        include_user_id=True,
        **more,
    )
    task = operations.create_export(runtime, request)
    return operations.wait_export(runtime, task.task_id, timeout_seconds=WAIT_SECONDS_MAX)


def _events(runtime: Runtime) -> dict[str, Any]:
    day = timedelta(days=1)
    today = TimeRange(start=runtime.clock() - day, end=runtime.clock() + day)
    return {"export_type": ExportType.EVENT, "time_range": today}


def _export_all(runtime: Runtime, app_id: str, container: MemoryContainer) -> None:
    for export_type in ExportType:
        more = _events(runtime) | {"export_type": export_type}
        if not export_type.is_historical:
            more = {"export_type": export_type}
        if export_type is ExportType.PUSH:
            continue
        assert _export(runtime, app_id, container, **more).state is ExportState.SUCCEEDED


def _find(*places: bytes) -> set[str]:
    """The names of the canaries that are in some bytes, in any spelling of an id."""
    return {
        name
        for name, canary in CANARIES.items()
        if any(canary.encode() in place for place in places)
    }


def _find_in_files(home: Path) -> dict[str, set[str]]:
    """The canaries in each file of a home, also in what Parquet's files compress."""
    found = {}
    for path in home.rglob("*"):
        if path.is_file():
            contents = [path.read_bytes(), str(path).encode()]
            if path.name.endswith(".parquet"):
                contents.append(repr(pq.ParquetFile(path).read().to_pylist()).encode())
            found[str(path.relative_to(home))] = _find(*contents)
    return {path: canaries for path, canaries in found.items() if canaries}


def _find_in_container(container: MemoryContainer) -> set[str]:
    return _find(*(container.read(key) for key in container.list_keys()))


def _fail_an_export(
    runtime: Runtime, app_id: str, container: MemoryContainer, failing: _FailingParts
) -> ExportTask:
    failing.is_failing = True
    task = _export(runtime, app_id, container, **_events(runtime))
    failing.is_failing = False
    assert task.state is ExportState.FAILED
    return task


@pytest.fixture
def failing() -> _FailingParts:
    return _FailingParts()


def test_nothing_is_left_of_an_erased_user(tmp_path: Path, failing: _FailingParts) -> None:
    container = MemoryContainer()
    with _open(tmp_path, failing) as runtime:
        app_id = _make_app(runtime)
        _fill(runtime, app_id)
        failed = _fail_an_export(runtime, app_id, container, failing)

        report = operations.erase_user(runtime, app_id, USER)
        operations.vacuum(runtime, app_id)

        assert report.devices == 2
        assert _find_in_files(tmp_path) == {}
        _export_all(runtime, app_id, container)
        operations.retry_export(runtime, failed.task_id, container_url=container.url)
        retried = operations.wait_export(runtime, failed.task_id, timeout_seconds=WAIT_SECONDS_MAX)
        assert retried.error_code is ErrorCode.SOURCE_UNAVAILABLE
        assert _find_in_container(container) == set()
    assert _find_in_files(tmp_path) == {}


def test_all_is_found_of_a_user_that_was_not_erased(tmp_path: Path, failing: _FailingParts) -> None:
    container = MemoryContainer()
    with _open(tmp_path, failing) as runtime:
        app_id = _make_app(runtime)
        _fill(runtime, app_id)
        _fail_an_export(runtime, app_id, container, failing)
        operations.vacuum(runtime, app_id)

        found = _find_in_files(tmp_path)
        _export_all(runtime, app_id, container)

        assert set().union(*found.values()) == set(CANARIES)
        assert any("_delta_log" in path for path in found)
        assert any(path.startswith("state.db") for path in found)
        assert set(IDS) <= _find_in_container(container)


def test_an_erased_device_leaves_the_others_as_they_are(
    tmp_path: Path, failing: _FailingParts
) -> None:
    with _open(tmp_path, failing) as runtime:
        app_id = _make_app(runtime)
        _fill(runtime, app_id)
        refused = len(operations.list_refused(runtime, RefusedFilter(), limit=100))

        report = operations.erase_device(runtime, app_id, PHONE)
        operations.vacuum(runtime, app_id)
        again = operations.erase_device(runtime, app_id, PHONE)

        assert report.devices == again.devices == 1
        assert (report.refused, again.refused) == (4, 0)
        left = len(operations.list_refused(runtime, RefusedFilter(), limit=100))
        assert left == refused - report.refused
        others = operations.list_devices(runtime, app_id).devices
        assert len(others) == 6
        assert operations.get_device(runtime, app_id, TABLET).user_id == USER
        found = set().union(*_find_in_files(tmp_path).values())
        assert "id of the phone" not in found
        assert not found.intersection(NAMES[:21])


def test_what_comes_late_of_an_erased_device_is_refused(
    tmp_path: Path, failing: _FailingParts
) -> None:
    late = {"type": "event", "timestamp": "2026-01-01T00:00:00Z", "name": "late"}
    tracked = {"type": "track", "event": "late", "anonymousId": TABLET, "messageId": "late"}
    untyped = {"type": "nothing", "anonymousId": TABLET, "messageId": "untyped"}
    with _open(tmp_path, failing) as runtime:
        app_id = _make_app(runtime)
        _fill(runtime, app_id)
        operations.erase_user(runtime, app_id, USER)
        refused = len(operations.list_refused(runtime, RefusedFilter(), limit=100))

        collected = _collect(runtime, app_id, make_batch(late, {}, device_id=PHONE, userId=USER))
        body = json.dumps({"batch": [tracked, untyped]}).encode()
        posted = operations.read_posted(runtime, body, content_encoding=None, message_type=None)
        messages = operations.collect_messages(runtime, app_id, posted)
        messages.durable.result(WAIT_SECONDS_MAX)
        broken = _collect(runtime, app_id, make_batch(late, device_id=PHONE)[:-1])
        imported = operations.import_batches(
            runtime, app_id=app_id, lines=[make_batch(late, device_id=TABLET)]
        )
        runtime.flush(app_id)

        assert (collected.accepted, messages.accepted, imported.accepted) == (0, 0, 0)
        assert {refusal.code for refusal in collected.refused} == {"erased_device"}
        assert imported.refused == {"erased_device": 1}
        assert broken.unreadable is not None
        assert len(operations.list_refused(runtime, RefusedFilter(), limit=100)) == refused
        with pytest.raises(UnknownDeviceError):
            operations.get_device(runtime, app_id, PHONE)


def test_what_came_in_before_the_erasure_was_known_there_is_left_out(
    tmp_path: Path, failing: _FailingParts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process hears of an erasure a little later."""
    late = {"type": "event", "timestamp": "2026-01-01T00:00:00Z", "name": "late"}
    with _open(tmp_path, failing) as runtime:
        app_id = _make_app(runtime)
        _fill(runtime, app_id)
        operations.erase_device(runtime, app_id, PHONE)
        monkeypatch.setattr(type(runtime.erased), "is_erased", lambda *_: False)

        collected = _collect(runtime, app_id, make_batch(late, device_id=PHONE))
        runtime.flush(app_id)

        assert collected.accepted == 1
        assert runtime.inbox.depth() == 0
        with pytest.raises(UnknownDeviceError):
            operations.get_device(runtime, app_id, PHONE)


def test_a_device_is_known_as_erased_to_a_process_beside(
    tmp_path: Path, failing: _FailingParts
) -> None:
    settings = Settings(home=tmp_path)
    with (
        _open(tmp_path, failing) as runtime,
        open_service(settings, run_tasks=False) as beside,
    ):
        app_id = _make_app(runtime)
        _fill(runtime, app_id)
        device_id = IDS["id of the phone"]
        assert not beside.erased.is_erased(app_id, device_id)

        operations.erase_device(runtime, app_id, PHONE)

        wait_for(lambda: beside.erased.is_erased(app_id, device_id), "the erasure to be known")


def test_a_mistyped_id_is_no_device(tmp_path: Path, failing: _FailingParts) -> None:
    with _open(tmp_path, failing) as runtime:
        app_id = _make_app(runtime)
        _fill(runtime, app_id)

        with pytest.raises(UnknownDeviceError):
            operations.erase_device(runtime, app_id, PHONE[:-1] + "2")
        with pytest.raises(UnknownDeviceError):
            operations.erase_user(runtime, app_id, "nobody")

        assert runtime.erased.find_last_at(app_id) is None
