"""Starts the worker, asks it for work, and starts it anew when it ends unasked."""

import itertools
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any

import structlog

from engagement.exceptions import EngagementError, ErrorCode, WorkerLostError, error_of_code
from engagement.model.tag_imports import ImportTask
from engagement.runtime.home import locked
from engagement.settings import Settings

FLUSH_SECONDS_MAX = 120
RESTART_SECONDS = 1.0
STOP_SECONDS_MAX = 20
_log = structlog.get_logger()


@contextmanager
def running_worker(settings: Settings) -> Iterator["WorkerProcess"]:
    """A worker on the environment's home folder, which both processes own.

    Raises:
        HomeBusyError: Another process runs on the home folder.
        LakeDamagedError: A table's newest commit is not what was recorded; names the file.
    """
    settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    with locked(settings.home) as lock:
        worker = WorkerProcess(lock)
        worker.start()
        try:
            yield worker
        finally:
            worker.stop()


class WorkerProcess:
    """The owner's work, done in another process."""

    def __init__(self, lock: int) -> None:
        self._lock = lock
        self._stopping = threading.Event()
        self._numbers = itertools.count()
        self._asking = threading.Lock()
        self._asked: dict[int, Future[int]] = {}
        self._connection: Connection | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._watcher = threading.Thread(target=self._watch, name="worker", daemon=True)

    def flush(self, app_id: str) -> int:
        """Return only when what was accepted before is in the lake; how many logs were moved.

        Raises:
            WorkerLostError: The worker ended in the midst of it, or does not answer.
        """
        try:
            return self._ask("flush", app_id=app_id).result(FLUSH_SECONDS_MAX)
        except TimeoutError as error:
            raise WorkerLostError("The worker does not answer; try again.") from error

    def submit(self, task_id: str) -> None:
        """Tell the worker of a queued export, which it would find by itself a little later."""
        self._ask("submit", task_id=task_id)

    def start_import(self, task: ImportTask) -> None:
        """Tell the worker of a queued import, which it would find when it is started anew."""
        self._ask("start_import", app_id=task.app_id, task_id=task.task_id)

    @property
    def pid(self) -> int | None:
        """The worker's process id; None before it was started."""
        return None if self._process is None else self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether there is a worker now."""
        return self._connection is not None

    def kill(self) -> None:
        """End the worker as a crash does; another is started."""
        if self._process is not None:
            self._process.kill()

    def start(self) -> None:
        """Return only when the worker works.

        Raises:
            EngagementError: It cannot, with its code and reason.
        """
        self._connection = self._started()
        self._watcher.start()

    def stop(self) -> None:
        """Return only when the worker has ended; exports stay where they are."""
        self._stopping.set()
        self._tell({"do": "stop"})
        self._watcher.join(STOP_SECONDS_MAX)
        self._end()

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _started(self) -> Connection:
        self._end()
        ours, its = Pipe()
        self._process = subprocess.Popen(  # noqa: S603 - this very program
            [sys.executable, "-m", "engagement.worker", str(its.fileno())],
            pass_fds=(its.fileno(), self._lock),
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr,
        )
        its.close()
        try:
            said = json.loads(ours.recv_bytes())
        except EOFError:
            said = {"code": ErrorCode.INTERNAL, "message": "The worker could not start."}
        if "ready" not in said:
            ours.close()
            raise error_of_code(ErrorCode(said["code"]), said["message"])
        return ours

    def _ask(self, do: str, **what: str) -> Future[int]:
        number, answer = next(self._numbers), Future[int]()
        self._asked[number] = answer
        if not self._tell({"id": number, "do": do, **what}):
            self._lose()
        return answer

    def _tell(self, message: dict[str, Any]) -> bool:
        """Whether there was a worker to hear it."""
        with self._asking:
            connection = self._connection
            if connection is None:
                return False
            try:
                connection.send_bytes(json.dumps(message).encode())
            except OSError:
                return False
        return True

    def _watch(self) -> None:
        """Hear the worker's answers; start it anew whenever it ends unasked."""
        while True:
            while self._connection is not None:
                self._hear(self._connection)
            if self._stopping.is_set():
                return
            _log.error("worker_ended")
            if self._stopping.wait(RESTART_SECONDS):
                return
            try:
                self._connection = self._started()
            except EngagementError as error:
                _log.error("worker_did_not_start", code=error.code, message=str(error))

    def _hear(self, connection: Connection) -> None:
        try:
            said = json.loads(connection.recv_bytes())
        except (EOFError, OSError):
            with self._asking:
                self._connection = None
            connection.close()
            self._lose()
            return
        answer = self._asked.pop(said["id"], None)
        if answer is None:
            return
        if "result" in said:
            answer.set_result(said["result"])
        else:
            answer.set_exception(error_of_code(ErrorCode(said["code"]), said["message"]))

    def _lose(self) -> None:
        """Nothing that was asked will be answered."""
        while self._asked:
            try:
                _, answer = self._asked.popitem()
            except KeyError:
                return
            answer.set_exception(WorkerLostError("The worker has ended; try again in a moment."))
