"""The effects of an export; each is safe to repeat after a crash anywhere."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from engagement.deliver.destination import Destination
from engagement.deliver.object_names import manifest_name, part_name
from engagement.exceptions import (
    CancelledError,
    ErrorCode,
    IncompleteExportError,
    LakeDamagedError,
    SourceUnavailableError,
)
from engagement.export.ended_log import log_ended
from engagement.export.freeze import check_source, make_plan, tables_read
from engagement.export.part_writer import PartWriter
from engagement.export.report import manifest_of
from engagement.export.retry_limit import RetryLimit
from engagement.failpoints import Failpoint, FailpointHook, no_failpoint
from engagement.model.export_request import ExportRequest
from engagement.model.exports import ExportState, Receipt
from engagement.model.plan import PlanHead
from engagement.step_watch import StepWatch
from engagement.store.lake import Lake
from engagement.store.queries.inbox import InboxQueries
from engagement.store.queries.plans import PlanQueries, StoredExport
from engagement.store.queries.staging import StagingQueries
from engagement.store.queries.tasks import TaskQueries
from engagement.store.recovery import LakeRecovery
from engagement.store.task_vault import TaskVault
from engagement.telemetry import span

CANCEL_CHECK_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportTools:
    """What the steps work with."""

    tasks: TaskQueries
    """Tasks and their states."""
    plans: PlanQueries
    """What was asked, plans and receipts."""
    inbox: InboxQueries
    """Which table versions are on disk for good."""
    staging: StagingQueries
    """Which tables are damaged."""
    lake: Lake
    """The tables."""
    recovery: LakeRecovery
    """Looks at tables that turn out to be damaged."""
    vault: TaskVault
    """Opens sealed container URLs."""
    flush: Callable[[str], int]
    """Brings an app's accepted batches into the lake."""
    open_destination: Callable[[str], Destination]
    """The destination of a container URL."""
    part_rows_target: int
    """Rows that a part aims at."""
    count_slots: Callable[[], int] = lambda: 1
    """How many parts are written at a time, by all processes together."""
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    """Now, in UTC."""
    on_failpoint: FailpointHook = no_failpoint
    """Called at each failpoint."""
    step_watch: StepWatch = field(default_factory=StepWatch)
    """Knows which steps run."""
    retry_limit: RetryLimit = field(default_factory=RetryLimit)
    """Knows which tasks have failed for too long."""
    stopping: threading.Event = field(default_factory=threading.Event)
    """Set when the process is about to end."""


class StoppedError(BaseException):
    """The process is ending: the export stays where it is and goes on at the next start.

    Not an `Exception`, so that nobody takes it for the outcome of a step and records it.
    """


class ExportSteps:
    """Freeze, write parts, finish: every one may run again and changes nothing then."""

    def __init__(self, tools: ExportTools) -> None:
        self._tools = tools
        self._tasks = tools.tasks
        self._plans = tools.plans

    @property
    def stopping(self) -> threading.Event:
        """Set when the process is about to end."""
        return self._tools.stopping

    @property
    def retry_limit(self) -> RetryLimit:
        """Knows which tasks have failed for too long."""
        return self._tools.retry_limit

    def count_slots(self) -> int:
        """How many parts are written at a time, by all processes together."""
        return self._tools.count_slots()

    def freeze(self, task_id: str, attempt: int) -> int:
        """Return only when the plan is kept; how many parts it has.

        What was acknowledged before is flushed first, so that the export holds it.

        Raises:
            CancelledError: The task has ended, or is another attempt's by now: it was cancelled
                while it waited, and retried before this attempt's turn came.
            SourceUnavailableError: What an earlier attempt planned is not to be read any more.
        """
        watch = self._tools.step_watch.watch(task_id)
        with span("export freeze", task=task_id), watch as note_progress:
            return self._freeze(task_id, attempt, note_progress)

    def _freeze(self, task_id: str, attempt: int, note_progress: Callable[[], None]) -> int:
        if not self._tasks.start(task_id, attempt, now=self._tools.clock()):
            raise CancelledError("The attempt has ended before its turn came.")
        self._tools.on_failpoint(Failpoint.EXPORT_STARTED)
        export = self._plans.read_export(task_id)
        request = self._request(export)
        if export.plan_head is not None:
            if not self._plans.has_all_parts(task_id, export.parts_total):
                raise SourceUnavailableError(
                    "A device was erased after the export was planned; create the export anew."
                )
            check_source(self._tools.lake, request, export.plan_head)
            return export.parts_total
        self._tools.flush(request.app_id)
        with self._marking_damage(request):
            self._tools.staging.require_sound(request.app_id, tables_read(request))
            commits = self._tools.inbox.last_commits(request.app_id)
            plan = make_plan(
                self._tools.lake,
                request,
                commits,
                part_rows_target=self._tools.part_rows_target,
                on_counted=note_progress,
            )
        self._tools.on_failpoint(Failpoint.EXPORT_PLANNED)
        parts = self._plans.keep_plan(task_id, plan)
        self._tools.on_failpoint(Failpoint.EXPORT_PLAN_KEPT)
        return parts

    def write_part(self, task_id: str, index: int) -> None:
        """Return only when the part is in the container and its receipt is kept.

        A part whose receipt is kept is not written again. One that was interrupted is written
        anew under the same name with the same bytes.
        """
        watch = self._tools.step_watch.watch(task_id)
        with span("export write part", task=task_id, part=index), watch as note_progress:
            self._write_part(task_id, index, note_progress)

    def _write_part(self, task_id: str, index: int, note_progress: Callable[[], None]) -> None:
        stored = self._plans.read_part(task_id, index)
        if stored.is_delivered:
            return
        request, head = self._request(stored.export), _head(stored.export)
        self._tools.on_failpoint(Failpoint.PART_STARTED)
        name = part_name(stored.export.folder, index, request.export_format, request.compression)
        writer = PartWriter(self._tools.lake, request, head, stored.part)
        destination = self._tools.open_destination(request.container_url)
        with self._marking_damage(request):
            destination.put(name, self._watched(task_id, writer.data(), note_progress))
        self._tools.on_failpoint(Failpoint.PART_DELIVERED)
        self._plans.keep_receipt(task_id, index, writer.receipt(name))
        self._tools.on_failpoint(Failpoint.PART_RECORDED)

    def finish(self, task_id: str, attempt: int) -> None:
        """Return only when the manifest is delivered and the task has Succeeded.

        Raises:
            IncompleteExportError: Rows planned, read and written disagree somewhere.
            CancelledError: Somebody cancelled before the manifest.
        """
        with span("export finish", task=task_id), self._tools.step_watch.watch(task_id):
            self._finish(task_id, attempt)

    def _finish(self, task_id: str, attempt: int) -> None:
        receipts = self._plans.receipts(task_id)
        planned_rows = self._plans.count_planned_rows(task_id)
        export = self._plans.read_export(task_id)
        check_counts(planned_rows, receipts, parts_total=export.parts_total)
        request, head = self._request(export), _head(export)
        self._tools.on_failpoint(Failpoint.MANIFEST_STARTED)
        destination = self._tools.open_destination(request.container_url)
        manifest = manifest_of(task_id, request, head, receipts)
        destination.put(manifest_name(export.folder), [manifest])
        self._tools.on_failpoint(Failpoint.MANIFEST_DELIVERED)
        self._end(task_id, attempt, ExportState.SUCCEEDED)
        self._tools.on_failpoint(Failpoint.EXPORT_FINISHED)

    def fail(self, task_id: str, attempt: int, code: ErrorCode, details: str) -> None:
        """Return only when the attempt has ended, and its credential is erased."""
        state = ExportState.CANCELLED if code is ErrorCode.CANCELLED else ExportState.FAILED
        self._end(task_id, attempt, state, (code, details))
        self._tools.retry_limit.forget(task_id)

    def _end(
        self,
        task_id: str,
        attempt: int,
        state: ExportState,
        error: tuple[ErrorCode, str] | None = None,
    ) -> None:
        now = self._tools.clock()
        if self._tasks.finish(task_id, attempt, state, now=now, error=error):
            log_ended(self._tasks.get(task_id, now=now))

    @contextmanager
    def _marking_damage(self, request: ExportRequest) -> Iterator[None]:
        """If damage is met, those who operate the service find its tables marked."""
        try:
            yield
        except LakeDamagedError:
            self._tools.recovery.mark(request.app_id, tables_read(request), digests=True)
            raise

    def _watched(
        self,
        task_id: str,
        data: Iterable[bytes | memoryview],
        note_progress: Callable[[], None],
    ) -> Iterator[bytes | memoryview]:
        """The data, stopping soon after somebody cancels; progress is noted for each chunk."""
        checked = time.monotonic()
        for chunk in data:
            note_progress()
            self._tools.on_failpoint(Failpoint.PART_CHUNK)
            if self._tools.stopping.is_set():
                raise StoppedError
            if time.monotonic() - checked > CANCEL_CHECK_SECONDS:
                if self._tasks.is_cancel_requested(task_id):
                    raise _cancelled()
                checked = time.monotonic()
            yield chunk

    def _request(self, export: StoredExport) -> ExportRequest:
        """What was asked, with the container URL, if the task still is to be worked on.

        Raises:
            CancelledError: Somebody asked to cancel it, or it has ended.
        """
        if export.cancel_requested:
            raise _cancelled()
        if export.sealed_container_url is None:
            raise CancelledError("The task has ended: its container URL is erased.")
        url = self._tools.vault.open(export.sealed_container_url, context=export.task_id)
        return replace(export.request, container_url=url)


def _cancelled() -> CancelledError:
    return CancelledError("The task was cancelled.")


def _head(export: StoredExport) -> PlanHead:
    if export.plan_head is None:
        raise IncompleteExportError("The task must have a plan by now, got none.")
    return export.plan_head


def check_counts(
    planned_rows: Mapping[int, int | None], receipts: Mapping[int, Receipt], *, parts_total: int
) -> None:
    """Return only if every part is there with exactly the rows that were planned and read.

    Args:
        planned_rows: Of each part of the plan, by part index.
        receipts: Of each part that was delivered, by part index.
        parts_total: How many parts the plan was made with.

    Raises:
        IncompleteExportError: Not so; says where.
    """
    missing = [index for index in range(parts_total) if index not in receipts]
    if missing or not len(receipts) == len(planned_rows) == parts_total:
        raise IncompleteExportError(
            f"{parts_total} parts were planned, got {len(planned_rows)} in the plan and "
            f"{len(receipts)} delivered; missing: {missing[:5]}."
        )
    for index, rows in planned_rows.items():
        receipt = receipts[index]
        if not rows == receipt.rows_read == receipt.rows:
            raise IncompleteExportError(
                f"Part {index} must have {rows} rows as planned, "
                f"got {receipt.rows_read} read and {receipt.rows} written."
            )
