"""Starts the worker, asks it for work, and starts it anew when it ends or falls silent."""

import itertools
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from multiprocessing import Pipe
from multiprocessing.connection import Connection

import structlog

from engagement.exceptions import EngagementError, WorkerLostError
from engagement.model.tag_imports import ImportTask
from engagement.runtime.home import RunnerHealth, lock_home, make_home
from engagement.settings import Settings
from engagement.worker.messages import (
    BEAT,
    BEAT_SECONDS,
    STOP,
    Reply,
    Request,
    decode_reply,
    encode_request,
)

FLUSH_SECONDS_MAX = 120
UPKEEP_SECONDS_MAX = 3_600
RESTART_SECONDS = 1.0
RESTART_SECONDS_MAX = 30.0
"""Between attempts to start it: what was lacking may be lacking for a while."""
FIRST_BEAT_SECONDS_MAX = 300.0
"""A busy machine may take long to load a program."""
STOP_SECONDS_MAX = 20
_log = structlog.get_logger()


@contextmanager
def running_worker(settings: Settings) -> Iterator["WorkerProcess"]:
    """Run a worker on the environment's home folder, which both processes own.

    Raises:
        HomeBusyError: Another process runs on the home folder.
        LakeDamagedError: A table's newest commit is not what was recorded; names the file.
    """
    make_home(settings.home)
    with lock_home(settings.home) as lock:
        worker = WorkerProcess(lock, silence_seconds_max=settings.worker_silence_seconds)
        worker.start()
        try:
            yield worker
        finally:
            worker.stop()


class WorkerProcess:
    """Runs tasks in another process."""

    def __init__(self, lock: int, *, silence_seconds_max: float) -> None:
        self._lock = lock
        self._silence_seconds_max = silence_seconds_max
        self._restarts = 0
        self._heard_at = time.monotonic()
        self._stopping = threading.Event()
        self._numbers = itertools.count()
        self._sending = threading.Lock()
        self._pending: dict[int, Future[Reply]] = {}
        self._connection: Connection | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._watcher = threading.Thread(target=self._watch, name="worker", daemon=True)

    def flush(self, app_id: str) -> int:
        """Return only when what was accepted before is in the lake; how many logs were moved.

        Raises:
            WorkerLostError: The worker ended in the midst of it, or does not answer.
        """
        try:
            return self._request("flush", app_id=app_id).result(FLUSH_SECONDS_MAX).result
        except TimeoutError as error:
            raise WorkerLostError("The worker does not answer; try again.") from error

    def do_upkeep(self, name: str, arguments: Mapping[str, str]) -> Mapping[str, int]:
        """Return only when an operation of upkeep is done; what it did.

        Raises:
            WorkerLostError: The worker ended in the midst of it, or goes on for very long.
        """
        try:
            reply = self._request("upkeep", **arguments, operation=name).result(UPKEEP_SECONDS_MAX)
        except TimeoutError as error:
            raise WorkerLostError("The worker goes on with it; ask again later.") from error
        return reply.report

    def submit(self, task_id: str) -> None:
        """Tell the worker of a queued export, which it would find by itself a little later."""
        self._request("submit", task_id=task_id)

    def start_import(self, task: ImportTask) -> None:
        """Tell the worker of a queued import, which it would find when it is started anew."""
        self._request("start_import", app_id=task.app_id, task_id=task.task_id)

    @property
    def pid(self) -> int | None:
        """The worker's process id; None before it was started."""
        return None if self._process is None else self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether there is a worker now."""
        return self._connection is not None

    def health(self) -> RunnerHealth:
        """Whether there is a worker, and when it was last heard of."""
        return RunnerHealth(
            is_alive=self.is_alive,
            restarts=self._restarts,
            silent_seconds=time.monotonic() - self._heard_at,
        )

    def kill(self) -> None:
        """End the worker as a crash does; another is started."""
        if self._process is not None:
            self._process.kill()

    def start(self) -> None:
        """Return only when the worker works.

        Raises:
            EngagementError: It cannot, with its code and reason.
        """
        try:
            self._connection = self._start_process()
        except OSError as error:
            raise EngagementError(f"The worker could not be started: {error}.") from error
        self._watcher.start()

    def stop(self) -> None:
        """Return only when the worker has ended; exports stay where they are."""
        self._stopping.set()
        self._send(Request(number=next(self._numbers), do=STOP))
        self._watcher.join(STOP_SECONDS_MAX)
        self._end()

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _start_process(self) -> Connection:
        """Return the connection to a worker that works.

        Raises:
            EngagementError: It cannot, with its code and reason.
            OSError: The system has no descriptors, memory or processes left.
        """
        self._end()
        ours, theirs = Pipe()
        with theirs:
            try:
                descriptor = theirs.fileno()
                self._process = subprocess.Popen(  # noqa: S603 - this very program
                    [sys.executable, "-m", "engagement.worker", str(descriptor), str(os.getpid())],
                    pass_fds=(descriptor, self._lock),
                    stdin=subprocess.DEVNULL,
                    stdout=sys.stderr,
                )
            except BaseException:
                ours.close()
                raise
        try:
            self._await_start(ours)
        except BaseException:
            ours.close()
            raise
        self._heard_at = time.monotonic()
        return ours

    def _await_start(self, connection: Connection) -> None:
        try:
            message = self._next_message(connection, FIRST_BEAT_SECONDS_MAX)
            while message == BEAT:
                message = self._next_message(connection, self._silence_seconds_max)
        except (EOFError, OSError) as error:
            raise EngagementError("The worker could not start.") from error
        if (refusal := decode_reply(message).error) is not None:
            raise refusal

    def _next_message(self, connection: Connection, seconds_max: float) -> bytes:
        """Return what the worker says next; a beat too is something.

        Seconds are counted one by one, so that a server that was itself stopped for a while, or a
        machine that slept, does not take its worker for silent.

        Raises:
            EOFError: It has ended.
            TimeoutError: It was silent for too long, and was killed.
        """
        silent_seconds = 0.0
        while not connection.poll(BEAT_SECONDS):
            silent_seconds += BEAT_SECONDS
            if silent_seconds >= seconds_max:
                _log.error("worker_silent", seconds=silent_seconds)
                self.kill()
                raise TimeoutError(f"The worker said nothing for {silent_seconds:g} s.")
        return connection.recv_bytes()

    def _request(self, do: str, **arguments: str) -> Future[Reply]:
        number, answer = next(self._numbers), Future[Reply]()
        self._pending[number] = answer
        if not self._send(Request(number=number, do=do, arguments=arguments)):
            self._fail_pending()
        return answer

    def _send(self, request: Request) -> bool:
        """Whether there was a worker to receive it."""
        with self._sending:
            connection = self._connection
            if connection is None:
                return False
            try:
                connection.send_bytes(encode_request(request))
            except OSError:
                return False
        return True

    def _watch(self) -> None:
        """Receive the worker's replies; start it anew whenever it ends unasked."""
        wait = RESTART_SECONDS
        while True:
            while self._connection is not None:
                self._receive(self._connection)
            if self._stopping.is_set():
                return
            _log.error("worker_ended")
            if self._stopping.wait(wait):
                return
            wait = RESTART_SECONDS if self._has_restarted() else min(2 * wait, RESTART_SECONDS_MAX)

    def _has_restarted(self) -> bool:
        """Whether a new worker works now; whatever prevents it may pass."""
        try:
            self._connection = self._start_process()
        except EngagementError as error:
            _log.error("worker_did_not_start", code=error.code, message=str(error))
        except BaseException:  # noqa: BLE001 - without this thread no worker would ever come back
            _log.exception("worker_did_not_start")
        else:
            self._restarts += 1
            return True
        return False

    def _receive(self, connection: Connection) -> None:
        try:
            message = self._next_message(connection, self._silence_seconds_max)
            self._heard_at = time.monotonic()
            if message != BEAT:
                self._settle(decode_reply(message))
        except BaseException as error:  # noqa: BLE001 - without this thread no worker would come back
            if not isinstance(error, (EOFError, OSError)):
                _log.exception("worker_not_understood")
                self.kill()
            with self._sending:
                self._connection = None
            connection.close()
            self._fail_pending()

    def _settle(self, reply: Reply) -> None:
        answer = None if reply.number is None else self._pending.pop(reply.number, None)
        if answer is None:
            return
        if reply.error is None:
            answer.set_result(reply)
        else:
            answer.set_exception(reply.error)

    def _fail_pending(self) -> None:
        """Nothing that was asked will be answered."""
        while self._pending:
            try:
                _, answer = self._pending.popitem()
            except KeyError:
                return
            answer.set_exception(WorkerLostError("The worker has ended; try again in a moment."))
