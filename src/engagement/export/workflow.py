"""Tells the durable story of an export in order; only it says `@DBOS.workflow`.

Arguments and results are task ids, part numbers and error codes: nothing secret reaches DBOS's
own database. Bodies are deterministic; all effects are in the steps.
"""

import logging
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypedDict

from dbos import DBOS, DBOSConfiguredInstance, SetWorkflowID, WorkflowHandle

from engagement.exceptions import EngagementError, ErrorCode, Retryable, code_of_name
from engagement.export.steps import ExportSteps, StoppedError
from engagement.storage_failures import storage_failure

EXPORTS_QUEUE = "exports"
PARTS_QUEUE = "parts"
PARTS_AHEAD = 3
"""Parts of one task that wait in the queue at a time, so that other tasks' parts come between."""
ATTEMPTS_MAX = 10
RETRY_WAIT_SECONDS = 1.0
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


class Frozen(TypedDict):
    """What freezing came to; JSON, since DBOS keeps it."""

    parts: int
    """Parts to write."""
    failure: Failure | None
    """Why there are none."""


DBOS_UNDER_WAY = {"ENQUEUED", "DELAYED", "PENDING"}

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _NothingAttached:
    """Stands in for the steps while no runtime is open."""


def _is_retryable(error: BaseException) -> bool:
    return isinstance(error, Retryable)


@DBOS.dbos_class("ExportWorkflow")
class ExportWorkflow(DBOSConfiguredInstance):
    """Freeze, write every part, finish; and one end for whatever happens.

    DBOS has one registry a process, so there is one instance, attached to the open runtime.
    """

    def __init__(self) -> None:
        super().__init__("export")
        self._steps: ExportSteps | _NothingAttached = _NothingAttached()
        self._lock = threading.Lock()
        self._running: Counter[str] = Counter()

    def is_running(self, workflow_id: str) -> bool:
        """Whether a thread of this process is in the body of a workflow."""
        with self._lock:
            return self._running[workflow_id] > 0

    def attach(self, steps: ExportSteps) -> None:
        """Use these steps from now on."""
        self._steps = steps

    @DBOS.workflow(name="export")
    def run(self, task_id: str, attempt: int) -> str:
        """The whole export; the code it ended with, empty if it succeeded."""
        with self._counted():
            frozen = self.freeze(task_id, attempt)
            failure = frozen["failure"] or self._write_parts(task_id, frozen["parts"])
            failure = failure or self.finish(task_id, attempt)
            if failure:
                self.fail(task_id, attempt, failure)
        return failure["code"] if failure else ""

    @DBOS.workflow(name="part")
    def part(self, task_id: str, index: int) -> Failure | None:
        """One part of an export."""
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
        finally:
            with self._lock:
                self._running[workflow_id] -= 1
                if not self._running[workflow_id]:
                    del self._running[workflow_id]

    def _write_parts(self, task_id: str, count: int) -> Failure | None:
        """Every part through the queue, a few ahead; none is begun after one has failed."""
        waiting: deque[WorkflowHandle[Failure | None]] = deque()
        failure: Failure | None = None
        for index in range(count):
            if len(waiting) == PARTS_AHEAD:
                failure = self._result(waiting.popleft())
            if failure:
                break
            with SetWorkflowID(f"{DBOS.workflow_id}-part-{index}"):
                waiting.append(DBOS.enqueue_workflow(PARTS_QUEUE, self.part, task_id, index))
        for handle in waiting:
            failure = self._result(handle) or failure
        return failure

    @DBOS.step(
        retries_allowed=True,
        max_attempts=ATTEMPTS_MAX,
        interval_seconds=RETRY_WAIT_SECONDS,
        should_retry=_is_retryable,
    )
    def freeze(self, task_id: str, attempt: int) -> Frozen:
        """Pin and plan."""
        parts: list[int] = []
        failure = _failure_of(lambda: parts.append(self._attached.freeze(task_id, attempt)))
        return {"parts": sum(parts), "failure": failure}

    @DBOS.step(
        retries_allowed=True,
        max_attempts=ATTEMPTS_MAX,
        interval_seconds=RETRY_WAIT_SECONDS,
        should_retry=_is_retryable,
    )
    def write_part(self, task_id: str, index: int) -> Failure | None:
        """Write one part."""
        return _failure_of(lambda: self._attached.write_part(task_id, index))

    @DBOS.step(
        retries_allowed=True,
        max_attempts=ATTEMPTS_MAX,
        interval_seconds=RETRY_WAIT_SECONDS,
        should_retry=_is_retryable,
    )
    def finish(self, task_id: str, attempt: int) -> Failure | None:
        """Check the counts, write the manifest, succeed."""
        return _failure_of(lambda: self._attached.finish(task_id, attempt))

    @DBOS.step()
    def fail(self, task_id: str, attempt: int, failure: Failure) -> None:
        """End the task as Failed or Cancelled."""
        code = code_of_name(failure["code"]) or ErrorCode.INTERNAL
        details = failure["details"]
        self._attached.fail(task_id, attempt, code, details)

    def _result(self, handle: WorkflowHandle[Failure | None]) -> Failure | None:
        """What a part came to, unless the process stops first.

        DBOS's own wait cannot be interrupted and would keep a stopping process alive for ever.
        The watching thread is outside the workflow's context, so DBOS records none of it.
        """
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="watch") as thread:
            if not thread.submit(self._has_ended, handle.workflow_id).result():
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


def _failure_of(effect: Callable[[], None]) -> Failure | None:
    """What an effect failed with, for good; the one place where an error becomes an outcome.

    A retryable error goes on to DBOS, which repeats the step, until the last attempt.
    """
    try:
        effect()
    except EngagementError as error:
        return _failure(error)
    except StoppedError:
        raise
    except BaseException as error:  # noqa: BLE001 - any end of a step ends the task, panics too
        if (named := storage_failure(error)) is not None:
            return _failure(named)
        _log.exception("export_step_failed")
        # The message of an unknown error may hold anything, so only its type is shown.
        return {
            "code": ErrorCode.INTERNAL.value,
            "details": f"An unexpected {type(error).__name__} stopped the export; see the log.",
        }
    return None


def _failure(error: EngagementError) -> Failure:
    if isinstance(error, Retryable) and not _is_last_attempt():
        raise error
    return {"code": error.code.value, "details": str(error)}


def _is_last_attempt() -> bool:
    status = DBOS.step_status
    if status is None or status.current_attempt is None or status.max_attempts is None:
        return True
    return status.current_attempt + 1 >= status.max_attempts
