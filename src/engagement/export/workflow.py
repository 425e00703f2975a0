"""Tells the durable story of an export in order; only it says `@DBOS.workflow`.

Arguments and results are ids of tasks and apps, part numbers and error codes: nothing secret
reaches DBOS's own database. Bodies are deterministic; all effects are in the steps.
"""

import math
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import NotRequired, TypedDict, TypeVar

import structlog
from dbos import (
    DBOS,
    DBOSConfiguredInstance,
    SetEnqueueOptions,
    SetWorkflowID,
    WorkflowHandle,
    WorkflowStatus,
)

from engagement.error_codes import code_of_failure
from engagement.exceptions import (
    Retryable,
    StorageFullError,
)
from engagement.export.steps import ExportSteps, StoppedError
from engagement.storage_failures import find_failure, unknown_failure

EXPORTS_QUEUE = "exports"
PARTS_QUEUE = "parts"
EXPORT_WORKFLOW = "export"
INSTANCE = "export"
PARTS_AHEAD_MIN = 3
"""Parts of one task that wait in the queue at a time, so that other tasks' parts come between."""
PARTS_AHEAD_PER_SLOT = 1.5
"""So many for each part that can be written at a time: else one task would leave slots empty."""
ATTEMPTS_MAX = 10
"""Of a step that does not write a part."""
RETRY_WAIT_SECONDS = 1.0
"""Before the second try; doubled before each that follows."""
PART_WAIT_SECONDS_MAX = 60.0
FIRST_TURN = 1
RESULT_POLL_SECONDS = 0.05
RESULT_POLL_SECONDS_MAX = 0.4
RESULT_POLL_GROWTH = 1.4
"""A part that waits long behind others is asked about less often: many tasks may wait at once."""


class Failure(TypedDict):
    """What an effect failed with for good; JSON, since DBOS keeps it."""

    code: str
    """The error code."""
    details: str
    """The reason in words, without secrets."""
    may_pass: bool
    """Whether the effect is to be tried again."""


class Frozen(TypedDict):
    """What freezing came to; JSON, since DBOS keeps it."""

    parts: int
    """Parts to write."""
    failure: Failure | None
    """Why there are none."""
    ahead: NotRequired[int]
    """Parts that wait in the queue at a time; kept, since a repeat must queue them in one order."""


DBOS_WAITING = {"ENQUEUED", "DELAYED"}
DBOS_UNDER_WAY = DBOS_WAITING | {"PENDING"}

T = TypeVar("T")
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _NothingAttached:
    """Stands in for the steps while no runtime is open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _PartTry:
    """A try to write a part, which waits in the queue or runs."""

    index: int
    number: int
    """From 1."""
    handle: WorkflowHandle[Failure | None]


def choose_turn(app_id: str, waiting: Sequence[WorkflowStatus]) -> int:
    """Return which turn the next part of an app gets, where the smallest comes first.

    Each app has one part in each turn, however many tasks it has: an app that comes gets the turn
    that is next, and what another has waiting beyond its own part of that turn comes later.

    Args:
        app_id: The app.
        waiting: The parts of all apps that have not begun.
    """
    turns = [part.priority or FIRST_TURN for part in waiting]
    own = sum(part.queue_partition_key == app_id for part in waiting)
    return min(turns, default=FIRST_TURN) + own


def choose_ahead(slots: int) -> int:
    """Return how many parts of a task wait in the queue at a time, given the slots for parts."""
    return max(PARTS_AHEAD_MIN, math.ceil(PARTS_AHEAD_PER_SLOT * slots))


def _is_retryable(error: BaseException) -> bool:
    return isinstance(error, Retryable)


@DBOS.dbos_class("ExportWorkflow")
class ExportWorkflow(DBOSConfiguredInstance):
    """Freeze, write every part, finish; and one end for whatever happens.

    DBOS has one registry a process, so there is one instance, attached to the open runtime.
    """

    def __init__(self) -> None:
        super().__init__(INSTANCE)
        self._steps: ExportSteps | _NothingAttached = _NothingAttached()
        self._lock = threading.Lock()
        self._turns_lock = threading.Lock()
        self._running: Counter[str] = Counter()
        self.storage_full: StorageFullError | None = None
        """Why the last workflow ended before its end; None if it did not, or not for that."""

    def is_running(self, workflow_id: str) -> bool:
        """Whether a thread of this process is in the body of a workflow."""
        with self._lock:
            return self._running[workflow_id] > 0

    def attach(self, steps: ExportSteps) -> None:
        """Use these steps from now on."""
        self._steps = steps
        self.storage_full = None

    @DBOS.workflow(name=EXPORT_WORKFLOW)
    def run(self, task_id: str, attempt: int, app_id: str) -> str:
        """The whole export; the code it ended with, empty if it succeeded."""
        with self._counted():
            frozen = self.freeze(task_id, attempt)
            failure = frozen["failure"] or self._write_parts(task_id, app_id, frozen)
            failure = failure or self.finish(task_id, attempt)
            if failure:
                self.fail(task_id, attempt, failure)
        return failure["code"] if failure else ""

    @DBOS.workflow(name="part")
    def part(self, task_id: str, index: int) -> Failure | None:
        """One try to write a part of an export."""
        with self._counted():
            return self.write_part(task_id, index)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        """Count this thread among those that run the workflow; DBOS tells nobody which do."""
        workflow_id = str(DBOS.workflow_id)
        with self._lock:
            self._running[workflow_id] += 1
        try:
            yield
            self.storage_full = None
        except Exception as error:
            # DBOS could not keep a step: the thread ends here, and nobody else hears why.
            named = find_failure(error)
            self.storage_full = named if isinstance(named, StorageFullError) else None
            raise
        finally:
            with self._lock:
                self._running[workflow_id] -= 1
                if not self._running[workflow_id]:
                    del self._running[workflow_id]

    def _write_parts(self, task_id: str, app_id: str, frozen: Frozen) -> Failure | None:
        """Every part through the queue, a few ahead; none is begun after one has failed.

        A part that may succeed later waits for that outside of the slots in which parts are
        written, so that a container which does not answer holds up no other task.
        """
        waiting: deque[_PartTry] = deque()
        indexes = iter(range(frozen["parts"]))
        ahead = frozen.get("ahead", PARTS_AHEAD_MIN)  # earlier releases kept none
        failure: Failure | None = None
        while failure is None:
            for index in islice(indexes, ahead - len(waiting)):
                waiting.append(self._enqueue_part(task_id, app_id, index, 1))
            if not waiting:
                return None
            ended = waiting.popleft()
            failure = self._result(ended.handle)
            if failure and failure["may_pass"]:
                again = self._enqueue_part(task_id, app_id, ended.index, ended.number + 1)
                waiting.append(again)
                failure = None
        for other in waiting:
            self._result(other.handle)
        return failure

    def _enqueue_part(self, task_id: str, app_id: str, index: int, number: int) -> _PartTry:
        """Queue a try to write a part, at its app's turn."""
        name = f"{DBOS.workflow_id}-part-{index}"
        wait_seconds = RETRY_WAIT_SECONDS * 2.0 ** (number - 2)
        with (
            self._turns_lock,
            SetWorkflowID(name if number == 1 else f"{name}-try-{number}"),
            SetEnqueueOptions(
                priority=choose_turn(app_id, _call_outside(_list_waiting_parts)),
                queue_partition_key=app_id,
                delay_seconds=None if number == 1 else min(wait_seconds, PART_WAIT_SECONDS_MAX),
            ),
        ):
            handle = DBOS.enqueue_workflow(PARTS_QUEUE, self.part, task_id, index)
        return _PartTry(index=index, number=number, handle=handle)

    @DBOS.step(
        retries_allowed=True,
        max_attempts=ATTEMPTS_MAX,
        interval_seconds=RETRY_WAIT_SECONDS,
        should_retry=_is_retryable,
    )
    def freeze(self, task_id: str, attempt: int) -> Frozen:
        """Pin and plan."""
        parts: list[int] = []
        failure = self._failure_of(
            task_id, lambda: parts.append(self._attached.freeze(task_id, attempt))
        )
        return {
            "parts": sum(parts),
            "failure": _leave_to_dbos(failure),
            "ahead": choose_ahead(self._attached.count_slots()),
        }

    @DBOS.step()
    def write_part(self, task_id: str, index: int) -> Failure | None:
        """Write one part; a failure that may pass is the workflow's to repeat."""
        return self._failure_of(task_id, lambda: self._attached.write_part(task_id, index))

    @DBOS.step(
        retries_allowed=True,
        max_attempts=ATTEMPTS_MAX,
        interval_seconds=RETRY_WAIT_SECONDS,
        should_retry=_is_retryable,
    )
    def finish(self, task_id: str, attempt: int) -> Failure | None:
        """Check the counts, write the manifest, succeed."""
        return _leave_to_dbos(
            self._failure_of(task_id, lambda: self._attached.finish(task_id, attempt))
        )

    @DBOS.step()
    def fail(self, task_id: str, attempt: int, failure: Failure) -> None:
        """End the task as Failed or Cancelled."""
        code = code_of_failure(failure["code"])
        details = failure["details"]
        self._attached.fail(task_id, attempt, code, details)

    def _failure_of(self, task_id: str, effect: Callable[[], None]) -> Failure | None:
        """What an effect failed with; the one place where an error becomes an outcome."""
        limit = self._attached.retry_limit
        try:
            limit.check(task_id)
            effect()
        except StoppedError:
            raise
        except KeyboardInterrupt as error:  # Polars raises it in whichever thread has a query
            raise StoppedError from error
        except BaseException as error:  # noqa: BLE001 - any end of a step ends the task, panics too
            named = find_failure(error)
            if named is None:
                _log.exception("export_step_failed")
                named = unknown_failure(error, stopped="the export")
            may_pass = isinstance(named, Retryable) and limit.note_failure(task_id, named)
            return {"code": named.code.value, "details": str(named), "may_pass": may_pass}
        limit.forget(task_id)
        return None

    def _result(self, handle: WorkflowHandle[Failure | None]) -> Failure | None:
        """What a try came to, unless the process stops first.

        DBOS's own wait cannot be interrupted and would keep a stopping process alive for ever.
        """
        if not _call_outside(lambda: self._has_ended(handle.workflow_id)):
            raise StoppedError
        return handle.get_result(polling_interval_sec=RESULT_POLL_SECONDS)

    def _has_ended(self, workflow_id: str) -> bool:
        stopping = self._attached.stopping
        seconds = RESULT_POLL_SECONDS
        while not stopping.wait(seconds):
            status = DBOS.get_workflow_status(workflow_id)
            if status is not None and status.status not in DBOS_UNDER_WAY:
                return True
            seconds = min(seconds * RESULT_POLL_GROWTH, RESULT_POLL_SECONDS_MAX)
        return False

    @property
    def _attached(self) -> ExportSteps:
        if isinstance(self._steps, _NothingAttached):
            raise TypeError("An export workflow needs an open runtime, got none.")
        return self._steps


def _call_outside(function: Callable[[], T]) -> T:
    """Call a function outside of the workflow's context, so that DBOS records none of it."""
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="watch") as thread:
        return thread.submit(function).result()


def _list_waiting_parts() -> list[WorkflowStatus]:
    return DBOS.list_workflows(
        queue_name=PARTS_QUEUE, status=sorted(DBOS_WAITING), load_input=False, load_output=False
    )


class _RepeatStepError(Retryable):
    """Tells DBOS to repeat a step whose failure may pass."""


def _leave_to_dbos(failure: Failure | None) -> Failure | None:
    """Return a failure that is for good; DBOS repeats the step after another one."""
    if failure and failure["may_pass"] and not _is_last_attempt():
        raise _RepeatStepError(failure["details"])
    return failure


def _is_last_attempt() -> bool:
    status = DBOS.step_status
    if status is None or status.current_attempt is None or status.max_attempts is None:
        return True
    return status.current_attempt + 1 >= status.max_attempts
