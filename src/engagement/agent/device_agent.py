"""The device agent: what an app calls to say what its users do."""

import logging
import sqlite3
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self, TypedDict, Unpack

import httpx

from engagement.agent.clock import Clock, SystemClock
from engagement.agent.crashes import CrashHook
from engagement.agent.device import device_head, machine_info
from engagement.agent.jobs import Job
from engagement.agent.queue import Loss, Queue
from engagement.agent.records import (
    Extras,
    crash_record,
    feedback_record,
    record_with_name,
    tags_record,
    token_record,
)
from engagement.agent.reporter import Reporter, Running
from engagement.agent.sending import TIMEOUT_SECONDS, BatchSender
from engagement.agent.sessions import Sessions
from engagement.exceptions import BadInputError
from engagement.model.http import server_address
from engagement.model.limits import RECORDS_PER_BATCH_MAX
from engagement.model.records import Kind, new_guid

FLUSH_SECONDS = 10.0
"""How long `flush` tries if the caller sets no time."""
CLOSE_SECONDS = 5.0
"""How long `close` tries if the caller sets no time."""
STOP_SECONDS = 1.0
"""How long a request that is on the way may keep the app from ending."""
DAY_SECONDS = 86_400.0
QUEUE_BYTES_CEILING = 1024 * 1024 * 1024
_SENT_HEADERS = {"User-Agent": "engagement-agent", "Accept-Encoding": "identity"}
_LOGGER = logging.getLogger("engagement.agent")


class AgentOptions(TypedDict, total=False):
    """The options of an agent, besides where it reports."""

    device_id: str | None
    """The device; the id that the folder keeps if absent, made on the first use."""
    info: Mapping[str, str | int] | None
    """Technical information as a batch has it, over what the machine says of itself."""
    flush_seconds: float
    """How long records are gathered before they are sent; 10 if absent."""
    batch_logs_max: int
    """How many records go into a batch; 100 if absent. So many are sent without waiting."""
    session_timeout_seconds: float
    """How long a session lasts after its last activity; 10 if absent."""
    queue_bytes_max: int
    """How large the records that wait may be together; 16 MiB if absent."""
    allow_http: bool
    """Let the app key go over http to other hosts than this one."""
    clock: Clock
    """The device's clock; this machine's if absent."""


_DEFAULTS: AgentOptions = {
    "flush_seconds": 10.0,
    "batch_logs_max": 100,
    "session_timeout_seconds": 10.0,
    "queue_bytes_max": 16 * 1024 * 1024,
}


class DeviceAgent:
    """Reports what an app does to a server, each record exactly once. Threads may share one.

    What a method has returned from is on disk in the agent's folder: it outlives a kill of the
    process and a loss of power, and is delivered in this run or a later one. Trouble with the
    network is never raised; a record that the server would refuse is, at the call. An agent has its
    folder for itself, and a process that was forked off needs an agent of its own.
    """

    def __init__(
        self, server: str, app_key: str, *, folder: Path, **options: Unpack[AgentOptions]
    ) -> None:
        """Open the folder, and begin to deliver what an earlier run has left there.

        Args:
            server: Address of the server, like https://HOST.
            app_key: The write-only key of the app.
            folder: The agent's own folder; made if it does not exist.
            options: See `AgentOptions`.

        Raises:
            BadInputError: Something given cannot work, or the folder is damaged.
            HomeBusyError: Another agent uses the folder.
        """
        address = server_address(server, allow_http=options.get("allow_http", False))
        if not (app_key and app_key.isascii() and app_key.isprintable()):
            raise BadInputError("An app key must be printable ASCII characters, got another text.")
        limits = _check_limits({**_DEFAULTS, **options})
        self._clock = options.get("clock") or SystemClock()
        device_id = options.get("device_id")
        info = {**machine_info(self._clock.now()), **(options.get("info") or {})}
        device_head(device_id or new_guid(), None, info)  # refuses before the folder is taken
        queue = Queue(
            Path(folder),
            bytes_max=limits["queue_bytes_max"],
            batch_logs_max=limits["batch_logs_max"],
        )
        self._reporter = Reporter(queue, self._clock, device_id=device_id, info=info)
        self._sessions = Sessions(timedelta(seconds=limits["session_timeout_seconds"]))
        self._activity: Running | None = None
        self._crash_hook = CrashHook(self._record_crash)
        http = httpx.Client(
            base_url=address,
            headers={**_SENT_HEADERS, "Authorization": f"Bearer {app_key}"},
            timeout=TIMEOUT_SECONDS,
        )
        self._sender = BatchSender(queue, http, self._clock, flush_seconds=limits["flush_seconds"])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # The hook sees an exception only when it has left every block, this one too.
        if kind is None:
            self._crash_hook.remove()
        self._close(CLOSE_SECONDS)

    @property
    def device_id(self) -> str:
        """The device, as batches name it."""
        return self._reporter.device_id

    @property
    def waiting(self) -> int:
        """How many records are not delivered yet; what has not ended is not counted."""
        return self._reporter.queue.waiting

    @property
    def refused(self) -> tuple[Loss, ...]:
        """The records that will never arrive, by reason, since the folder was made.

        A code is one of the server's for a record; `batch_refused_` and the status for a whole
        batch; `queue_full`; or `disk_failed`, which counts since the agent was opened.
        """
        return self._reporter.queue.losses

    def start_activity(self, name: str, extras: Extras | None = None) -> None:
        """Return when it is on disk that the user sees this activity, and no other any more.

        The first activity starts a session. If the process dies before the activity ends, it is
        reported without an end.

        Raises:
            BadInputError: The name or the extras cannot be kept as they are.
        """
        with self._reporter.turn() as now:
            session_id = self._sessions.current(now) or new_guid()
            record = record_with_name(Kind.ACTIVITY, name, now, extras, sessionId=session_id)
            self._end_activity(now)
            self._activity = self._reporter.begin(record, now)
            self._sessions.begin_activity(session_id)

    def end_activity(self) -> None:
        """Return when it is on disk that the activity that runs, if any, has ended.

        The session ends if no other activity starts within the time-out.
        """
        with self._reporter.turn() as now:
            self._end_activity(now)

    def send_session_event(self, name: str, extras: Extras | None = None) -> None:
        """Return when an event of the session is on disk; without a session it is standalone.

        Raises:
            BadInputError: The name or the extras cannot be kept as they are.
        """
        self._report(Kind.EVENT, name, extras, is_in_session=True)

    def send_session_error(self, name: str, extras: Extras | None = None) -> None:
        """Return when an error of the session is on disk; without a session it is standalone.

        Raises:
            BadInputError: The name or the extras cannot be kept as they are.
        """
        self._report(Kind.ERROR, name, extras, is_in_session=True)

    def send_event(self, name: str, extras: Extras | None = None) -> None:
        """Return when a standalone event is on disk.

        Raises:
            BadInputError: The name or the extras cannot be kept as they are.
        """
        self._report(Kind.EVENT, name, extras)

    def send_error(self, name: str, extras: Extras | None = None) -> None:
        """Return when a standalone error is on disk.

        Raises:
            BadInputError: The name or the extras cannot be kept as they are.
        """
        self._report(Kind.ERROR, name, extras)

    def start_job(self, name: str, extras: Extras | None = None) -> Job:
        """A job that is on disk; if the process dies before it ends, it is reported without an end.

        Raises:
            BadInputError: The name or the extras cannot be kept as they are.
        """
        return Job(self._reporter, name, extras)

    def send_crash(self, name: str, stack: str) -> None:
        """Return when a crash is on disk; it belongs to the session, if there is one.

        Raises:
            BadInputError: The name or the stack cannot be kept as they are.
        """
        with self._reporter.turn() as now:
            record = crash_record(name, stack, now, session_id=self._sessions.current(now))
            self._reporter.report(record, is_crash=True)

    def install_crash_hook(self) -> None:
        """Record every exception that nobody catches on disk, before it takes its course.

        Those of threads count too; the hooks that were there are called afterwards. `close` takes
        the hook away, and so does the end of a `with` block, unless an exception ends it.

        Raises:
            BadInputError: The agent is closed, or belongs to another process.
        """
        with self._reporter.turn():
            self._crash_hook.install()

    def send_app_info(self, **tags: object) -> None:
        """Return when tags of the device are on disk.

        Args:
            tags: Texts, integers, booleans or days (`date`); None takes a tag away.

        Raises:
            BadInputError: A key or a value cannot be kept as it is.
        """
        with self._reporter.turn() as now:
            self._reporter.report(tags_record(tags, now))

    def set_user_id(self, user_id: str | None) -> None:
        """Return when all records that end from now on, in later runs too, will name this user.

        Raises:
            BadInputError: It is no text of 1 to 256 characters.
        """
        with self._reporter.turn():
            self._reporter.set_user_id(user_id)

    def register_token(self, token: str, token_type: str) -> None:
        """Return when it is on disk that a push service gave the device this token.

        Raises:
            BadInputError: The token or its type cannot be kept as it is.
        """
        with self._reporter.turn() as now:
            self._reporter.report(token_record(token, token_type, now, is_valid=True))

    def invalidate_token(self, token: str, token_type: str) -> None:
        """Return when it is on disk that a token must not be used any more.

        Raises:
            BadInputError: The token or its type cannot be kept as it is.
        """
        with self._reporter.turn() as now:
            self._reporter.report(token_record(token, token_type, now, is_valid=False))

    def send_feedback(self, campaign_type: str, campaign_id: int, status: str) -> None:
        """Return when it is on disk what became of a push campaign on the device.

        Raises:
            BadInputError: The type, the id or the status is none that exists.
        """
        with self._reporter.turn() as now:
            self._reporter.report(feedback_record(campaign_type, campaign_id, status, now))

    def flush(self, timeout_seconds: float = FLUSH_SECONDS) -> bool:
        """Return whether everything reported until now is answered for within the time.

        It does not shorten a pause that the server asked for. What has not ended is not waited for.

        Raises:
            BadInputError: The agent is closed, or belongs to another process.
        """
        return self._sender.flush(timeout_seconds)

    def close(self, timeout_seconds: float = CLOSE_SECONDS) -> None:
        """End the activity, try for some time to deliver everything, and let the folder go.

        What is not delivered is, by the next agent of the folder. Jobs that run are reported
        without an end. Closing twice does no harm; in a forked process it does nothing.
        """
        self._crash_hook.remove()
        self._close(timeout_seconds)

    def _close(self, timeout_seconds: float) -> None:
        queue = self._reporter.queue
        if not queue.is_ours:
            return
        # A disk that fails must not keep the app from ending.
        with suppress(sqlite3.Error), self._reporter.turn() as now:
            self._end_activity(now)
            queue.release_open()
        self._sender.flush(timeout_seconds)
        self._sender.stop(STOP_SECONDS)
        queue.close()

    def _report(
        self, kind: Kind, name: str, extras: Extras | None, *, is_in_session: bool = False
    ) -> None:
        with self._reporter.turn() as now:
            session_id = self._sessions.current(now) if is_in_session else None
            self._reporter.report(record_with_name(kind, name, now, extras, sessionId=session_id))

    def _end_activity(self, now: datetime) -> None:
        if self._activity is not None:
            self._sessions.end_activity(self._reporter.end(self._activity, now))
            self._activity = None

    def _record_crash(self, name: str, stack: str) -> None:
        try:
            now = self._clock.now()
            record = crash_record(name, stack, now, session_id=self._sessions.current(now))
            self._reporter.report_last(record)
        except Exception:
            # The hook must go on to the one before it, whatever keeps the crash from the disk.
            _LOGGER.exception("A crash could not be recorded.")


def _check_limits(options: AgentOptions) -> AgentOptions:
    ranges: tuple[tuple[str, float, float, int | float], ...] = (
        ("flush_seconds", options["flush_seconds"], 0.01, DAY_SECONDS),
        ("batch_logs_max", options["batch_logs_max"], 1, RECORDS_PER_BATCH_MAX),
        ("session_timeout_seconds", options["session_timeout_seconds"], 0, DAY_SECONDS),
        ("queue_bytes_max", options["queue_bytes_max"], 1, QUEUE_BYTES_CEILING),
    )
    for name, value, least, most in ranges:
        is_kind = isinstance(value, int) or (isinstance(value, float) and isinstance(most, float))
        if not is_kind or not least <= value <= most:
            raise BadInputError(f"{name} must be from {least} to {most}, got {value!r}.")
    return options
