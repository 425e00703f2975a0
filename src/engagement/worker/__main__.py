"""The worker, which owns the home folder together with the process that started it.

python -m engagement.worker DESCRIPTOR PARENT_PID
"""

from engagement.runtime.tuning import relax_garbage_collector, tune_garbage_collector

relax_garbage_collector()  # before everything else is loaded

import os
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from multiprocessing.connection import Connection

import structlog

from engagement import operations
from engagement.exceptions import EngagementError
from engagement.model.executors import WORKER_ROLES
from engagement.runtime.engine import Engine
from engagement.runtime.logging import start_logging
from engagement.runtime.open_telemetry import running_telemetry
from engagement.runtime.opening import Runtime, open_service
from engagement.runtime.processes import end_with_parent
from engagement.runtime.routines import running_routine
from engagement.settings import Settings
from engagement.storage_failures import find_failure, unknown_failure
from engagement.worker.control import serve_requests
from engagement.worker.messages import (
    BEAT,
    BEAT_SECONDS,
    STOP,
    Reply,
    Request,
    decode_request,
    encode_reply,
)
from engagement.worker.periodic_work import list_routines

REQUESTS_CONCURRENT_MAX = 16
EXIT_ORPHANED = 1
_log = structlog.get_logger()


def main() -> None:
    """Work until told to stop; end at once, as by a crash, when the other process is gone."""
    for number in (signal.SIGINT, signal.SIGTERM):  # the other process says when to stop
        signal.signal(number, signal.SIG_IGN)
    end_with_parent(int(sys.argv[2]))
    settings = Settings.from_environment()
    start_logging(settings.log_level or "info")
    requests = _Requests(Connection(int(sys.argv[1])))
    threading.Thread(target=requests.beat, name="beat", daemon=True).start()
    try:
        with running_telemetry("worker"), open_service(settings, is_locked=True) as runtime:
            engine = runtime.runner
            if not isinstance(engine, Engine):
                raise TypeError(f"The worker must run tasks itself, got {engine}.")
            with ExitStack() as routines:
                for name, seconds, effect in list_routines(runtime, WORKER_ROLES):
                    routines.enter_context(running_routine(name, seconds, effect))
                home = runtime.settings.home
                answer = partial(_reply_to, runtime=runtime, engine=engine)
                routines.enter_context(serve_requests(home, answer))
                tune_garbage_collector()
                requests.reply(Reply(number=None))
                requests.serve(runtime, engine)
    except EngagementError as error:
        requests.reply(Reply(number=None, error=error))


class _Requests:
    """The requests of the process that started this one."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._sending = threading.Lock()

    def beat(self) -> None:
        """Say for ever that this process lives; end it at once when nobody hears that any more.

        Whoever answered requests is dead then. Its successor waits for the lock that this process
        shares, and every effect may be cut off anywhere.
        """
        never = threading.Event()
        while not never.wait(BEAT_SECONDS):
            try:
                self._send(BEAT)
            except OSError:
                os._exit(EXIT_ORPHANED)

    def reply(self, reply: Reply) -> None:
        """Send one message."""
        self._send(encode_reply(reply))

    def serve(self, runtime: Runtime, engine: Engine) -> None:
        """Carry requests out, each in a thread, until one asks to stop."""
        with ThreadPoolExecutor(REQUESTS_CONCURRENT_MAX, thread_name_prefix="request") as threads:
            while (request := self._next()).do != STOP:
                threads.submit(self._answer, request, runtime, engine)

    def _send(self, message: bytes) -> None:
        with self._sending:
            self._connection.send_bytes(message)

    def _next(self) -> Request:
        try:
            message = self._connection.recv_bytes()
        except (EOFError, OSError):
            os._exit(EXIT_ORPHANED)  # sooner than the next beat
        return decode_request(message)

    def _answer(self, request: Request, runtime: Runtime, engine: Engine) -> None:
        self.reply(_reply_to(request, runtime, engine))


def _reply_to(request: Request, runtime: Runtime, engine: Engine) -> Reply:
    try:
        return _carry_out(request, runtime, engine)
    except BaseException as error:  # noqa: BLE001 - whoever asked gets an answer, of panics too
        named = find_failure(error)
        if not isinstance(error, EngagementError):
            _log.exception("asked_work_failed", do=request.do)
        if named is None:
            named = unknown_failure(error, stopped="the worker's task")
        return Reply(number=request.number, error=named)


def _carry_out(request: Request, runtime: Runtime, engine: Engine) -> Reply:
    number, arguments = request.number, dict(request.arguments)
    match request.do:
        case "flush":
            return Reply(number=number, result=engine.flush(arguments["app_id"]))
        case "upkeep":
            name = arguments.pop("operation")
            return Reply(number=number, report=operations.do_upkeep(runtime, name, arguments))
        case "check":
            pass
        case "submit":
            engine.submit(arguments["task_id"])
        case "start_import":
            engine.start_import(runtime.imports.get(arguments["app_id"], arguments["task_id"]))
        case other:
            raise ValueError(f"The worker has no such work as it was asked for: {other}.")
    return Reply(number=number)


if __name__ == "__main__":
    main()
