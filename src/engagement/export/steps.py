"""The effects of an export; each is safe to repeat after a crash anywhere."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from engagement.deliver.destination import Destination
from engagement.deliver.object_names import manifest_name, part_name
from engagement.exceptions import CancelledError, ErrorCode, IncompleteExportError
from engagement.export.freeze import check_source, make_plan
from engagement.export.part_writer import PartWriter
from engagement.export.plan import Plan, decode_plan, encode_plan
from engagement.export.report import manifest_of
from engagement.failpoints import Point, Reach, pass_by
from engagement.model.export_request import ExportRequest
from engagement.model.exports import ExportState, Receipt
from engagement.model.request_json import decode_request
from engagement.store.lake import Lake
from engagement.store.queries.inbox import InboxQueries
from engagement.store.queries.tasks import TaskQueries
from engagement.store.vault import Vault

CANCEL_CHECK_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportTools:
    """What the steps work with."""

    tasks: TaskQueries
    """Tasks, plans and receipts."""
    inbox: InboxQueries
    """Which table versions are on disk for good."""
    lake: Lake
    """The tables."""
    vault: Vault
    """Opens sealed container URLs."""
    flush: Callable[[str], int]
    """Brings an app's accepted batches into the lake."""
    open_destination: Callable[[str], Destination]
    """The destination of a container URL."""
    part_rows_target: int
    """Rows that a part aims at."""
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    """Now, in UTC."""
    reach: Reach = pass_by
    """Told each point."""
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

    @property
    def stopping(self) -> threading.Event:
        """Set when the process is about to end."""
        return self._tools.stopping

    def freeze(self, task_id: str, attempt: int) -> int:
        """Return only when the plan is kept; how many parts it has.

        What was acknowledged before is flushed first, so that the export holds it.

        Raises:
            CancelledError: The task has ended, or is another attempt's by now: it was cancelled
                while it waited, and retried before this attempt's turn came.
        """
        if not self._tasks.start(task_id, attempt, now=self._tools.clock()):
            raise CancelledError("The attempt has ended before its turn came.")
        self._tools.reach(Point.EXPORT_STARTED)
        self._stop_if_cancelled(task_id)
        kept = self._tasks.plan(task_id)
        request = self._request(task_id)
        if kept is not None:
            check_source(self._tools.lake, request, decode_plan(kept))
        else:
            self._tools.flush(request.app_id)
            commits = self._tools.inbox.last_commits(request.app_id)
            plan = make_plan(
                self._tools.lake, request, commits, part_rows_target=self._tools.part_rows_target
            )
            self._tools.reach(Point.EXPORT_PLANNED)
            kept = self._tasks.keep_plan(
                task_id, encode_plan(plan), parts=len(plan.parts), rows=plan.rows
            )
            self._tools.reach(Point.EXPORT_PLAN_KEPT)
        return len(decode_plan(kept).parts)

    def write_part(self, task_id: str, index: int) -> None:
        """Return only when the part is in the container and its receipt is kept.

        A part whose receipt is kept is not written again. One that was interrupted is written
        anew under the same name with the same bytes.
        """
        if index in self._tasks.receipts(task_id):
            return
        self._stop_if_cancelled(task_id)
        self._tools.reach(Point.PART_STARTED)
        request, plan = self._request(task_id), self._plan(task_id)
        folder = self._tasks.get(task_id, now=self._tools.clock()).folder
        name = part_name(folder, index, request.export_format, request.compression)
        writer = PartWriter(self._tools.lake, request, plan, plan.parts[index])
        destination = self._tools.open_destination(request.container_url)
        destination.put(name, self._watched(task_id, writer.data()))
        self._tools.reach(Point.PART_DELIVERED)
        self._tasks.keep_receipt(task_id, index, writer.receipt(name))
        self._tools.reach(Point.PART_RECORDED)

    def finish(self, task_id: str, attempt: int) -> None:
        """Return only when the manifest is delivered and the task has Succeeded.

        Raises:
            IncompleteExportError: Rows planned, read and written disagree somewhere.
            CancelledError: Somebody cancelled before the manifest.
        """
        request, plan = self._request(task_id), self._plan(task_id)
        receipts = self._tasks.receipts(task_id)
        check_counts(plan, receipts)
        self._stop_if_cancelled(task_id)
        task = self._tasks.get(task_id, now=self._tools.clock())
        self._tools.reach(Point.MANIFEST_STARTED)
        destination = self._tools.open_destination(request.container_url)
        manifest = manifest_of(task, request, plan, receipts)
        destination.put(manifest_name(task.folder), [manifest])
        self._tools.reach(Point.MANIFEST_DELIVERED)
        self._tasks.finish(task_id, attempt, ExportState.SUCCEEDED, now=self._tools.clock())
        self._tools.reach(Point.EXPORT_FINISHED)

    def fail(self, task_id: str, attempt: int, code: ErrorCode, details: str) -> None:
        """Return only when the attempt has ended, and its credential is erased."""
        state = ExportState.CANCELLED if code is ErrorCode.CANCELLED else ExportState.FAILED
        now = self._tools.clock()
        self._tasks.finish(task_id, attempt, state, now=now, error=(code, details))

    def _watched(
        self, task_id: str, data: Iterable[bytes | memoryview]
    ) -> Iterator[bytes | memoryview]:
        """The data, stopping soon after somebody cancels."""
        checked = time.monotonic()
        for one in data:
            self._tools.reach(Point.PART_CHUNK)
            if self._tools.stopping.is_set():
                raise StoppedError
            if time.monotonic() - checked > CANCEL_CHECK_SECONDS:
                self._stop_if_cancelled(task_id)
                checked = time.monotonic()
            yield one

    def _stop_if_cancelled(self, task_id: str) -> None:
        if self._tasks.is_cancel_requested(task_id):
            raise CancelledError("The task was cancelled.")

    def _request(self, task_id: str) -> ExportRequest:
        sealed = self._tasks.sealed_container_url(task_id)
        if sealed is None:
            raise CancelledError("The task has ended: its container URL is erased.")
        url = self._tools.vault.open(sealed, context=task_id)
        return decode_request(self._tasks.request(task_id), container_url=url)

    def _plan(self, task_id: str) -> Plan:
        kept = self._tasks.plan(task_id)
        if kept is None:
            raise IncompleteExportError("The task must have a plan by now, got none.")
        return decode_plan(kept)


def check_counts(plan: Plan, receipts: dict[int, Receipt]) -> None:
    """Return only if every part is there with exactly the rows that were planned and read.

    Raises:
        IncompleteExportError: Not so; says where.
    """
    missing = [part.index for part in plan.parts if part.index not in receipts]
    if missing or len(receipts) != len(plan.parts):
        raise IncompleteExportError(
            f"{len(plan.parts)} parts were planned, got {len(receipts)}; missing: {missing[:5]}."
        )
    for part in plan.parts:
        receipt = receipts[part.index]
        if not part.rows == receipt.rows_read == receipt.rows:
            raise IncompleteExportError(
                f"Part {part.index} must have {part.rows} rows as planned, "
                f"got {receipt.rows_read} read and {receipt.rows} written."
            )
