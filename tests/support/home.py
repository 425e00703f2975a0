"""Opens a state database, a lake and a flush in a folder, for tests to work with."""

import hashlib
import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from engagement.collect.flush import FILES_PER_ROUND_MAX, Flush, FlushLimits
from engagement.collect.inbox import accept
from engagement.collect.payload import decode_batch
from engagement.export.freeze import make_plan
from engagement.export.part_writer import compress, encode_part, part_receipt
from engagement.export.requests import selection_of
from engagement.export.rows import part_rows
from engagement.failpoints import Failpoint, FailpointHook, no_failpoint
from engagement.model.codec import decode, encode
from engagement.model.export_request import ExportRequest
from engagement.model.export_tasks import ExportTask
from engagement.model.exports import (
    CampaignType,
    Compression,
    ExportFormat,
    ExportState,
    ExportType,
    Progress,
    TimeRange,
)
from engagement.model.plan import Plan
from engagement.model.records import Kind
from engagement.store.lake import Lake
from engagement.store.queries.erased import ErasedQueries
from engagement.store.queries.inbox import InboxQueries
from engagement.store.queries.sightings import SightingQueries
from engagement.store.queries.staging import StagingQueries
from engagement.store.queries.tasks import TaskQueries
from engagement.store.recovery import LakeRecovery
from engagement.store.schemas import file_schema, sort_columns
from engagement.store.state import open_state
from engagement.store.upkeep import Upkeep
from support.batches import NOW

APP_ID = "a" * 32
CONTAINER = "memory://container"


class StoppedError(Exception):
    """The process is taken to have died here."""


class Home:
    """The state database and the lake of one folder, and a flush between them."""

    def __init__(
        self,
        folder: Path,
        *,
        records_max: int = 500_000,
        timeout_seconds: int = 180,
        files_max: int = FILES_PER_ROUND_MAX,
        state_url: str = "",
    ) -> None:
        self.folder = folder
        self.engine = open_state(state_url or f"sqlite:///{folder / 'state.db'}")
        self.inbox = InboxQueries(self.engine)
        self.staging = StagingQueries(self.engine)
        self.seen = SightingQueries(self.engine)
        self.erased = ErasedQueries(self.engine)
        self.tasks = TaskQueries(self.engine)
        self.on_failpoint: FailpointHook = no_failpoint
        self.app_id = f"{0:032x}"
        self._limits = FlushLimits(
            records_max=records_max,
            session_timeout=timedelta(seconds=timeout_seconds),
            files_max=files_max,
        )
        self._apps = itertools.count(1)
        self.restart()

    def restart(self) -> None:
        """Begin as a new process does: nothing is known but what is on disk."""
        self.lake = Lake(str(self.folder / "lake"))
        self._flush = Flush(
            self.inbox,
            self.staging,
            self.seen,
            self.erased,
            self.lake,
            limits=self._limits,
            clock=lambda: NOW,
            on_failpoint=self._reached,
        )

    def _reached(self, point: Failpoint) -> None:
        """Tests set the hook at any time, so it is looked up when a failpoint is reached."""
        self.on_failpoint(point)

    def next_app(self) -> None:
        """Go on with an app that has no records yet."""
        self.app_id = f"{next(self._apps):032x}"

    def accept(self, *bodies: bytes, received_at: datetime = NOW, live: bool = False) -> list[bool]:
        """Accept batches, as a door does; a log that is refused fails the test."""
        batches = [decode_batch(body, received_at=received_at, live=live) for body in bodies]
        assert [batch.refused for batch in batches] == [()] * len(batches)
        return accept(self.inbox, self.app_id, batches, received_at=received_at)

    def flush(self) -> int:
        return self._flush.flush(self.app_id)

    def upkeep(self, *, now: datetime = NOW) -> Upkeep:
        """Upkeep of the lake, by a clock that stands still."""
        return Upkeep(self.inbox, self.staging, self.seen, self.tasks, self.lake, clock=lambda: now)

    def recover(self) -> list[str]:
        """Do what a start does before anything else."""
        return LakeRecovery(self.inbox, self.staging, self.lake).recover(self.app_id)

    def take(self, *bodies: bytes, received_at: datetime = NOW) -> None:
        """Accept and flush."""
        self.accept(*bodies, received_at=received_at)
        self.flush()

    def rows(self, kind: Kind) -> pl.DataFrame:
        """Every row of a table at its newest recorded version, in a fixed order."""
        commit = self.inbox.last_commits(self.app_id).get(kind)
        if commit is None:
            return pl.DataFrame(schema=file_schema(kind))
        paths = [file.path for file in self.lake.files(self.app_id, kind, commit.version)]
        if not paths:
            return pl.DataFrame(schema=file_schema(kind))
        found = self.lake.scan(self.app_id, kind, paths).collect()
        assert found.height == commit.rows_total
        return found.sort(sort_columns(kind))

    def all_rows(self) -> dict[Kind, list[dict[str, Any]]]:
        """Every row of every table."""
        return {kind: self.rows(kind).to_dicts() for kind in Kind}

    def plan(self, request: ExportRequest, *, part_rows_target: int = 500_000) -> Plan:
        """The plan as an export keeps it and reads it again."""
        commits = self.inbox.last_commits(self.app_id)
        made = make_plan(self.lake, request, commits, part_rows_target=part_rows_target)
        return decode(encode(made), Plan)

    def exported(
        self, request: ExportRequest, *, part_rows_target: int = 500_000
    ) -> list[dict[str, Any]]:
        """The rows that an export delivers, part after part, each part's count as planned."""
        plan = self.plan(request, part_rows_target=part_rows_target)
        delivered = []
        for part in plan.parts:
            rows = part_rows(
                self.lake, selection_of(request, plan.head.campaign_ids), part
            ).collect()
            assert rows.height == part.rows
            delivered += rows.to_dicts()
        return delivered

    def request(
        self,
        export_type: ExportType,
        *,
        export_format: ExportFormat = ExportFormat.NDJSON,
        compression: Compression = Compression.NONE,
        days: tuple[date, date] = (date(1970, 1, 1), date(9999, 12, 30)),
        **options: Any,
    ) -> ExportRequest:
        """A request for everything of a type, unless days or campaigns say otherwise."""
        if export_type.is_historical:
            options.setdefault("time_range", TimeRange.of_days(*days))
        if export_type is ExportType.PUSH:
            options.setdefault("campaign_type", CampaignType.POLL)
            if "time_range" not in options:
                options.setdefault("campaign_ids", (1, 2, 3))
        return ExportRequest(
            app_id=self.app_id,
            export_type=export_type,
            export_format=export_format,
            compression=compression,
            container_url=CONTAINER,
            **options,
        )


def exported_files(
    home: Home, request: ExportRequest, *, part_rows_target: int = 500_000
) -> list[bytes]:
    """The files that an export delivers, each held to its plan and its receipt."""
    plan = home.plan(request, part_rows_target=part_rows_target)
    files = []
    for part in plan.parts:
        chunks = list(encode_part(home.lake, request, plan.head, part))
        assert sum(chunk.rows for chunk in chunks) == part.rows
        is_outside = request.export_format is not ExportFormat.PARQUET
        outer = request.compression if is_outside else Compression.NONE
        data = b"".join(compress((chunk.data for chunk in chunks), outer))
        receipt = part_receipt(home.lake, request, plan.head, part, name="part")
        assert (receipt.bytes, receipt.rows) == (len(data), part.rows)
        assert receipt.sha256 == hashlib.sha256(data).hexdigest()
        files.append(data)
    return files


@contextmanager
def open_home(folder: Path, **options: Any) -> Iterator[Home]:
    """A home in a folder of its own, closed at the end."""
    folder.mkdir(parents=True, exist_ok=True)
    home = Home(folder, **options)
    try:
        yield home
    finally:
        home.engine.dispose()


def stop_at(point: Failpoint, *, time: int = 1) -> Callable[[Failpoint], None]:
    """A hook that dies when a failpoint is reached for the nth time."""
    left = itertools.count(time - 1, -1)

    def on_failpoint(reached: Failpoint) -> None:
        if reached is point and next(left) == 0:
            raise StoppedError(point)

    return on_failpoint


def queued_task(task_id: str, *, created_at: timedelta = timedelta(0)) -> ExportTask:
    """A task as it is created."""
    return ExportTask(
        task_id=task_id,
        request=ExportRequest(
            app_id=APP_ID,
            export_type=ExportType.EVENT,
            export_format=ExportFormat.JSON,
            time_range=TimeRange(start=NOW, end=NOW + timedelta(days=1)),
            description="a description",
        ),
        state=ExportState.QUEUED,
        container="https://account.example/container",
        folder="Event/1",
        created_at=NOW + created_at,
        started_at=None,
        completed_at=None,
        error_code=None,
        error_details=None,
        progress=Progress(),
        attempt=1,
    )


def lose_state(home: Path) -> None:
    """Take the state and task databases of a home folder away."""
    for file in [*home.glob("state.db*"), *home.glob("tasks.db*")]:
        file.unlink()
