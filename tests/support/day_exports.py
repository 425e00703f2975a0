"""Runs a service whose exports have a part for each day."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from engagement import operations
from engagement.collect.inbox import accept
from engagement.collect.payload import decode_batch
from engagement.failpoints import FailpointHook, no_failpoint
from engagement.model.export_request import ExportRequest
from engagement.model.export_tasks import ExportTask
from engagement.model.exports import ExportFormat, ExportType, TimeRange
from engagement.runtime.opening import Runtime, open_service
from engagement.settings import Settings
from support.waiting import WAIT_SECONDS_MAX

NOW = datetime(2026, 3, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class DayExports:
    """A running service."""

    runtime: Runtime
    folder: Path
    """Where exports go to by default."""

    def create_app(self, name: str, *, days: int) -> str:
        """An app with an event on each of a few days; its id."""
        made = operations.create_app(
            self.runtime, name=name, collection="c", resource_group="g", subscription="s"
        )
        logs = [
            {"type": "event", "name": "tap", "timestamp": f"2026-02-{day:02}T00:00:00Z"}
            for day in range(1, days + 1)
        ]
        sent = {"batchId": "b", "sentAt": "2026-02-28T00:00:00Z", "deviceId": "d" * 32}
        body = json.dumps(sent | {"logs": logs}).encode()
        batch = decode_batch(body, received_at=NOW, live=False)
        accept(self.runtime.inbox, made.app.app_id, [batch], received_at=NOW)
        return made.app.app_id

    def create_export(self, app_id: str, container_url: str | None = None) -> ExportTask:
        """An export of all of an app's days."""
        request = ExportRequest(
            app_id=app_id,
            export_type=ExportType.EVENT,
            export_format=ExportFormat.NDJSON,
            container_url=container_url or f"file://{self.folder}",
            time_range=TimeRange.of_days(date(2026, 2, 1), date(2026, 2, 28)),
        )
        return operations.create_export(self.runtime, request)

    def end_of(self, task: ExportTask) -> ExportTask:
        """The task after its end."""
        return operations.wait_export(self.runtime, task.task_id, timeout_seconds=WAIT_SECONDS_MAX)


@contextmanager
def running_day_exports(
    folder: Path, *, on_failpoint: FailpointHook = no_failpoint, **variables: int
) -> Iterator[DayExports]:
    """A service on a folder, with further settings by the ends of their variables."""
    settings = Settings.from_environment(
        {
            "ENGAGEMENT_HOME": str(folder / "home"),
            "ENGAGEMENT_LOCAL_ROOTS": str(folder),
            "ENGAGEMENT_ALLOW_LOOPBACK_CONTAINERS": "1",
            "ENGAGEMENT_PART_ROWS": "1",
        }
        | {f"ENGAGEMENT_{name}": str(value) for name, value in variables.items()}
    )
    with open_service(settings, on_failpoint=on_failpoint) as runtime:
        yield DayExports(runtime, folder)
