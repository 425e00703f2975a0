"""A job that an app reports: a timed piece of work, with what happens in it."""

from types import TracebackType
from typing import Self

from engagement.agent.crashes import class_name
from engagement.agent.records import Extras, record_with_name
from engagement.agent.reporter import Reporter
from engagement.exceptions import BadInputError
from engagement.model.records import Kind, new_guid


class Job:
    """A job from its start until its end. It belongs to no session and may outlast several.

    As a context manager it ends with the block, and an exception that leaves the block is
    reported as an error of the job, by the name of its class.
    """

    def __init__(self, reporter: Reporter, name: str, extras: Extras | None) -> None:
        self._reporter = reporter
        self.job_id = new_guid()
        """The job, as its events and errors name it."""
        with reporter.turn() as now:
            record = record_with_name(Kind.JOB, name, now, extras, jobId=self.job_id)
            self._running = reporter.begin(record, now)
        self._has_ended = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._reporter.queue.is_ours:
            # The agent was closed inside the block; what left the block must not be hidden.
            return
        if isinstance(error, Exception) and not self._has_ended:
            self.send_error(class_name(type(error)))
        self.end()

    def send_event(self, name: str, extras: Extras | None = None) -> None:
        """Return when an event of the job is on disk.

        Raises:
            BadInputError: The name or the extras cannot be kept as they are, or the job has ended.
        """
        self._report(Kind.EVENT, name, extras)

    def send_error(self, name: str, extras: Extras | None = None) -> None:
        """Return when an error of the job is on disk.

        Raises:
            BadInputError: As `send_event`.
        """
        self._report(Kind.ERROR, name, extras)

    def end(self) -> None:
        """Return when the end of the job is on disk; it ends once."""
        with self._reporter.turn() as now:
            if not self._has_ended:
                self._has_ended = True
                self._reporter.end(self._running, now)

    def _report(self, kind: Kind, name: str, extras: Extras | None) -> None:
        with self._reporter.turn() as now:
            if self._has_ended:
                raise BadInputError("A job must not have ended when something happens in it.")
            self._reporter.report(record_with_name(kind, name, now, extras, jobId=self.job_id))
