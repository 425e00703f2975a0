"""Lets other processes of this machine ask whoever runs the tasks of a home folder.

The socket lies in the home folder, which only its owner may enter, and takes the worker's messages.
"""

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path

import structlog

from engagement.exceptions import HomeBusyError, WorkerLostError
from engagement.model.tag_imports import ImportTask
from engagement.runtime.home import RunnerHealth
from engagement.worker.messages import (
    CHECK,
    Reply,
    Request,
    decode_reply,
    decode_request,
    encode_reply,
    encode_request,
)

SOCKET = "control.sock"
REQUEST_BYTES_MAX = 64 * 1024
WAIT_SECONDS_MAX = 3_600.0
"""To rewrite all tables of a large app takes long."""
ACCEPT_FAILED_SECONDS = 1.0
"""Without descriptors nothing can be accepted for a while."""
_log = structlog.get_logger()


@contextmanager
def serve_requests(home: Path, answer: Callable[[Request], Reply]) -> Iterator[None]:
    """Answer what processes ask over the home folder's socket, each in a thread."""
    (home / SOCKET).unlink(missing_ok=True)  # of a process that was killed
    with _open_folder(home) as folder, Listener(f"{folder}/{SOCKET}", "AF_UNIX") as listener:
        (home / SOCKET).chmod(0o600)
        stopping = threading.Event()
        serving = threading.Thread(target=_serve, args=(listener, answer, stopping), daemon=True)
        serving.start()
        try:
            yield
        finally:
            stopping.set()


class HolderRunner:
    """Has tasks run by the process that holds a home folder, from another one."""

    def __init__(self, home: Path) -> None:
        """Ask the process.

        Raises:
            HomeBusyError: It answers no requests.
        """
        self._home = home
        self._ask(CHECK)

    def flush(self, app_id: str) -> int:
        """Return only when what was accepted before is in the lake; how many logs were moved."""
        return self._ask("flush", app_id=app_id).result

    def submit(self, task_id: str) -> None:
        """See to it that a queued export runs; a repeat changes nothing."""
        self._ask("submit", task_id=task_id)

    def start_import(self, task: ImportTask) -> None:
        """See to it that a queued import of tags runs."""
        self._ask("start_import", app_id=task.app_id, task_id=task.task_id)

    def do_upkeep(self, name: str, arguments: Mapping[str, str]) -> Mapping[str, int]:
        """Return only when an operation of upkeep is done; what it did."""
        return self._ask("upkeep", **arguments, operation=name).report

    def health(self) -> RunnerHealth:
        """How the runner is: it answers."""
        return RunnerHealth(is_alive=True, restarts=0, silent_seconds=0.0)

    def _ask(self, do: str, **arguments: str) -> Reply:
        try:
            with (
                _open_folder(self._home) as folder,
                Client(f"{folder}/{SOCKET}", "AF_UNIX") as connection,
            ):
                connection.send_bytes(encode_request(Request(number=0, do=do, arguments=arguments)))
                if not connection.poll(WAIT_SECONDS_MAX):
                    raise WorkerLostError("The process that runs tasks does not answer; try again.")
                reply = decode_reply(connection.recv_bytes())
        except (FileNotFoundError, ConnectionRefusedError) as error:
            raise HomeBusyError(
                f"Another process runs on {self._home} and takes no requests now. It is a command, "
                "whose end is to be waited for, or a server whose worker is being started: "
                "try again in a moment."
            ) from error
        except (EOFError, OSError) as error:
            raise WorkerLostError("The process that runs tasks has ended; try again.") from error
        if reply.error is not None:
            raise reply.error
        return reply


def _serve(
    listener: Listener, answer: Callable[[Request], Reply], stopping: threading.Event
) -> None:
    while not stopping.is_set():
        try:
            connection = listener.accept()
        except OSError as error:  # who asked has gone, no descriptors are left, or it was closed
            if not stopping.is_set():
                _log.warning("request_not_accepted", error=str(error))
                stopping.wait(ACCEPT_FAILED_SECONDS)
        else:
            threading.Thread(target=_answer_one, args=(connection, answer), daemon=True).start()


def _answer_one(connection: Connection, answer: Callable[[Request], Reply]) -> None:
    with connection, suppress(EOFError, OSError, ValueError, KeyError):
        request = decode_request(connection.recv_bytes(REQUEST_BYTES_MAX))
        connection.send_bytes(encode_reply(answer(request)))


@contextmanager
def _open_folder(home: Path) -> Iterator[str]:
    """A short path of a home folder, since that of a socket has at most a hundred characters."""
    descriptor = os.open(home, os.O_RDONLY | os.O_DIRECTORY)
    try:
        short = f"/proc/self/fd/{descriptor}"
        yield short if Path(short).exists() else str(home)
    finally:
        os.close(descriptor)
