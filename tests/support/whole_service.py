"""Opens the whole service with a stopped clock, takes batches and compares all of its exports."""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path
from typing import Any

from engagement import operations
from engagement.collect.inbox import accept
from engagement.collect.payload import decode_batch
from engagement.model.apps import App
from engagement.model.export_request import ExportRequest
from engagement.model.exports import (
    CampaignType,
    Compression,
    ExportFormat,
    ExportState,
    ExportType,
    TimeRange,
)
from engagement.runtime.opening import Runtime
from engagement.testing import MemoryContainer, StoppedClock, open_test_runtime
from support.batches import DAY, DEVICES, NOW, batch, everything, log
from support.waiting import WAIT_SECONDS_MAX

RECEIVED = NOW
LATER = NOW + timedelta(days=1)
SPANNING = batch(
    log("job", 1, jobId="long"), log("activity", 2), device=DEVICES[5], batch_id="spanning"
)
BATCHES = [everything(number, device=DEVICES[number % 3]) for number in range(9)] + [SPANNING]
WAITING = [everything(number, device=DEVICES[number % 3]) for number in range(20, 23)]
"""Batches that are acknowledged, and wait in the inbox."""
COMPACTED_AFTER = 4
"""The batch after which the tables are compacted once."""


def running(home: Path, **settings: Any) -> AbstractContextManager[Runtime]:
    """The service on a home, a day after it received its batches."""
    return open_test_runtime(home, clock=StoppedClock(LATER), **settings)


def register_app(runtime: Runtime, name: str = "shop") -> App:
    """A new app."""
    return operations.create_app(
        runtime, name=name, collection="c", resource_group="g", subscription="s"
    ).app


def accept_batches(runtime: Runtime, app_id: str, *bodies: bytes) -> list[bool]:
    """Which batches are new; they wait in the inbox afterwards."""
    batches = [decode_batch(body, received_at=RECEIVED, live=False) for body in bodies]
    return accept(runtime.inbox, app_id, batches, received_at=RECEIVED)


def take(runtime: Runtime, app_id: str, *bodies: bytes) -> list[bool]:
    """Which batches are new; they are in the lake afterwards."""
    new = accept_batches(runtime, app_id, *bodies)
    runtime.flush(app_id)
    return new


def fill_service(runtime: Runtime) -> str:
    """An app with records of every kind, of several flushes, some compacted; its id."""
    app_id = register_app(runtime).app_id
    for number, body in enumerate(BATCHES):
        take(runtime, app_id, body)
        if number == COMPACTED_AFTER:
            operations.compact(runtime, app_id)
    return app_id


def app_id_of(runtime: Runtime) -> str:
    """The id of the only app."""
    (app,) = operations.list_apps(runtime)
    return app.app_id


def export_all(
    runtime: Runtime, app_id: str, types: Iterable[ExportType] = ExportType
) -> dict[ExportType, list[bytes]]:
    """The parts of an export of each type, with the ids of records."""
    container = MemoryContainer()
    files = {}
    for export_type in types:
        span = TimeRange.of_days(DAY - timedelta(days=9), DAY + timedelta(days=9))
        is_push = export_type is ExportType.PUSH
        request = ExportRequest(
            app_id=app_id,
            export_type=export_type,
            export_format=ExportFormat.NDJSON,
            compression=Compression.NONE,
            container_url=container.url,
            time_range=span if export_type.is_historical or is_push else None,
            campaign_type=CampaignType.POLL if is_push else None,
        )
        created = operations.create_export(runtime, request)
        task = operations.wait_export(runtime, created.task_id, timeout_seconds=WAIT_SECONDS_MAX)
        assert task.state is ExportState.SUCCEEDED, task.error_details
        files[export_type] = container.read_parts(task)
    return files
