"""Drives the product in this process: real operations, lake, delivery and manifests.

Exports run at once where they are created, without the durable queue, so that thousands of
histories can be tried; with workers they run as they do in a service.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from oracle_reading import read_records
from oracle_records import Record, Request
from oracle_shapes import fields_of

from engagement import operations
from engagement.exceptions import EngagementError, UnknownDeviceError
from engagement.export import freeze
from engagement.export.part_writer import compress, encode_part
from engagement.export.requests import shape_of_request
from engagement.export.steps import ExportSteps, ExportTools
from engagement.failpoints import no_failpoint
from engagement.model.codec import decode, encode
from engagement.model.export_request import ExportRequest
from engagement.model.exports import (
    CampaignType,
    Compression,
    ExportFormat,
    ExportState,
    ExportType,
    TimeAxis,
    TimeRange,
)
from engagement.model.plan import Plan
from engagement.model.tag_imports import ImportTask
from engagement.operations.collecting import ERASED_CODE
from engagement.runtime.opening import Runtime, open_service
from engagement.runtime.task_tools import make_flush, make_tools
from engagement.settings import Settings
from engagement.testing import StoppedClock

PART_ROWS = 2
"""So few that most exports have several parts."""
DEADLINE_SECONDS = 60
IN_MEMORY = Path("/dev/shm")  # noqa: S108 - where it may be written; a folder of its own is made
_OPTIONS = {
    "user": "include_user_id",
    "record_id": "include_record_id",
    "info": "include_info",
    "device_timestamp": "include_device_timestamp",
    "guard": "csv_formula_guard",
    "published": "published_contract",
}


class AtOnce:
    """Runs tasks where it is asked to."""

    def __init__(self, tools: ExportTools) -> None:
        self._tools = tools
        self._steps = ExportSteps(tools)

    def flush(self, app_id: str) -> int:
        """Move an app's inbox to the lake."""
        return self._tools.flush(app_id)

    def submit(self, task_id: str) -> None:
        """Run an export to its end."""
        try:
            for index in range(self._steps.freeze(task_id, 1)):
                self._steps.write_part(task_id, index)
            self._steps.finish(task_id, 1)
        except EngagementError as error:
            self._steps.fail(task_id, 1, error.code, str(error))

    def start_import(self, task: ImportTask) -> None:
        """Refuse: histories import no tags from blobs."""
        raise NotImplementedError(task.task_id)


class Product:
    """One app of an opened service."""

    def __init__(
        self, runtime: Runtime, clock: StoppedClock, folder: Path, tools: ExportTools | None
    ) -> None:
        self._runtime = runtime
        self._tools = tools
        self._clock = clock
        self._folder = folder
        self._app_id = ""
        self._apps = 0

    def begin(self) -> None:
        """Go on with an app that was told nothing."""
        self._apps += 1
        made = operations.create_app(
            self._runtime,
            name=f"app {self._apps}",
            collection="collection",
            resource_group="group",
            subscription="subscription",
        )
        self._app_id = made.app.app_id

    def set_clock(self, now: datetime) -> None:
        """Let time pass, or set the clock back to where a history begins."""
        if now >= self._clock.now:
            self._clock.advance(now - self._clock.now)
        else:
            self._clock.now = now

    def post(self, body: Record) -> None:
        """Take in a batch that a device has just sent."""
        collected = operations.collect_batch(
            self._runtime, self._app_id, json.dumps(body).encode(), content_encoding=None
        )
        assert collected.unreadable is None, collected.unreadable
        collected.durable.result(DEADLINE_SECONDS)

    def track(self, body: Record) -> None:
        """Take in a body of tracking messages; only those of erased devices may be refused."""
        posted = operations.read_posted(
            self._runtime, json.dumps(body).encode(), content_encoding=None, message_type=None
        )
        collected = operations.collect_messages(self._runtime, self._app_id, posted)
        assert collected.unreadable is None, collected.unreadable
        codes = {refusal.code for refusal in collected.refused}
        assert codes <= {ERASED_CODE}, collected.refused
        collected.durable.result(DEADLINE_SECONDS)

    def take_in_lines(self, bodies: list[Record]) -> None:
        """Import a file of batches."""
        lines = [json.dumps(body).encode() for body in bodies]
        operations.import_batches(self._runtime, app_id=self._app_id, lines=lines)

    def flush(self) -> None:
        """Move the inbox to the lake."""
        self._runtime.flush(self._app_id)

    def fold(self) -> None:
        """Fold old changes."""
        operations.fold_snapshots(self._runtime, self._app_id)

    def compact(self) -> None:
        """Gather the files of each day."""
        operations.compact(self._runtime, self._app_id)

    def vacuum(self) -> None:
        """Forget what is too old, and delete files that nothing refers to."""
        operations.vacuum(self._runtime, self._app_id)

    def retain(self, first_kept: date) -> None:
        """Take out history from before a day."""
        days = (self._clock.now.date() - first_kept) // timedelta(days=1)
        operations.retain(self._runtime, self._app_id, days)

    def erase(self, device: str) -> None:
        """Take out a device; one that told nothing is not there."""
        with suppress(UnknownDeviceError):
            operations.erase_device(self._runtime, self._app_id, device)

    def exported(self, request: Request) -> list[Record]:
        """The records of an export, delivered by a task where the request says so.

        Most are only planned and encoded as a task's steps do it, which takes a third of the time.
        """
        if request.get("deliver") or self._tools is None:
            return self._delivered(request)
        wanted = self._request(request)
        shape_of_request(wanted)
        self.flush()
        tools = self._tools
        commits = tools.inbox.last_commits(self._app_id)
        plan = freeze.make_plan(tools.lake, wanted, commits, part_rows_target=PART_ROWS)
        plan = decode(encode(plan), Plan)
        fields = fields_of(request)
        is_outside = wanted.export_format is not ExportFormat.PARQUET
        outer = wanted.compression if is_outside else Compression.NONE
        records = []
        for part in plan.parts:
            chunks = list(encode_part(tools.lake, wanted, plan.head, part))
            data = b"".join(compress((chunk.data for chunk in chunks), outer))
            held = read_records(data, request, fields)
            counts = {part.rows, sum(chunk.rows for chunk in chunks), len(held)}
            assert len(counts) == 1, f"rows planned, written and read must be alike, got {counts}"
            records += held
        _check_parts(request, records, [f"part-{part.index:05d}" for part in plan.parts])
        return records

    def _delivered(self, request: Request) -> list[Record]:
        """The records that a task delivers, held to its manifest."""
        task = operations.create_export(self._runtime, self._request(request))
        task = operations.wait_export(self._runtime, task.task_id, timeout_seconds=DEADLINE_SECONDS)
        assert task.state is ExportState.SUCCEEDED, f"{task.error_code} {task.error_details}"
        folder = self._folder / task.folder
        manifest = json.loads((folder / "manifest.json").read_bytes())
        names = [part["name"] for part in manifest["parts"]]
        assert sorted(path.name for path in folder.glob("part-*")) == names
        fields = fields_of(request)
        assert tuple(field["name"] for field in manifest["fields"]) == fields, manifest["fields"]
        records = []
        for part in manifest["parts"]:
            held = read_records((folder / part["name"]).read_bytes(), request, fields)
            assert part["rows"] == len(held), f"{part['name']} must have the rows of its receipt"
            records += held
        assert manifest["totals"]["rows"] == len(records)
        _check_parts(request, records, [name.partition(".")[0] for name in names])
        operations.verify_export(
            self._runtime, container_url=f"file://{self._folder}", folder=task.folder
        )
        return records

    def _request(self, request: Request) -> ExportRequest:
        options: dict[str, Any] = {
            option: request.get(name, False) for name, option in _OPTIONS.items()
        }
        if request.get("range"):
            start, end = (datetime.fromisoformat(text) for text in request["range"])
            options["time_range"] = TimeRange(start=start, end=end)
        if request.get("as_of"):
            options["as_of"] = datetime.fromisoformat(request["as_of"])
        if request.get("campaign_type"):
            options["campaign_type"] = CampaignType(request["campaign_type"])
        return ExportRequest(
            app_id=self._app_id,
            export_type=ExportType(request["type"]),
            export_format=ExportFormat(request["format"]),
            compression=Compression(request.get("compression", "none")),
            container_url=f"file://{self._folder}",
            time_axis=TimeAxis(request.get("axis", "event")),
            event_names=tuple(request.get("names") or ()),
            columns=tuple(request.get("columns") or ()),
            campaign_ids=tuple(request.get("campaign_ids") or ()),
            empty_file=request.get("empty_file", True),
            **options,
        )


def _check_parts(request: Request, records: list[Record], names: list[str]) -> None:
    """Return only if there is one part where there are no rows, or none if none is wanted."""
    if not records:
        wanted = [] if request.get("empty_file") is False else ["part-00000"]
        assert names == wanted, f"without rows the parts must be {wanted}, got {names}"


@contextmanager
def open_product(home: Path, *, run_tasks: bool = False) -> Iterator[Product]:
    """A service on a folder.

    Args:
        home: The folder.
        run_tasks: Whether exports run in the durable queue.
    """
    folder = home / "delivered"
    folder.mkdir(parents=True)
    clock = StoppedClock(datetime(2025, 3, 1, tzinfo=UTC))
    settings = Settings(
        home=home,
        local_roots=(folder,),
        part_rows_target=PART_ROWS,
        record_age_days_max=36_500,  # histories are of any years
    )
    with open_service(
        settings, run_tasks=run_tasks, clock=clock, uptime=clock.read_uptime
    ) as runtime:
        runtime.running_time.look()
        clock.advance(timedelta(days=365))  # so that it is known how old things are
        if run_tasks:
            yield Product(runtime, clock, folder, None)
        else:
            tools, _ = make_tools(runtime, make_flush(runtime, no_failpoint), no_failpoint)
            yield Product(replace(runtime, runner=AtOnce(tools)), clock, folder, tools)


@contextmanager
def open_product_in(folder: Path, *, run_tasks: bool = False) -> Iterator[Product]:
    """A product in memory where that is possible: nothing here is about what a disk keeps."""
    where = IN_MEMORY if IN_MEMORY.is_dir() else folder
    with (
        TemporaryDirectory(dir=where) as home,
        open_product(Path(home) / "home", run_tasks=run_tasks) as product,
    ):
        yield product
