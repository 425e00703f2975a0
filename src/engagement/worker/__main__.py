"""The worker, which owns the home folder together with the process that started it.

python -m engagement.worker DESCRIPTOR
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection

import structlog

from engagement import operations
from engagement.exceptions import EngagementError
from engagement.runtime.engine import Engine
from engagement.runtime.logging import start_logging
from engagement.runtime.opening import Runtime, open_service
from engagement.runtime.tuning import tune_garbage_collector
from engagement.settings import Settings
from engagement.worker.messages import STOP, Reply, Request, decode_request, encode_reply

REQUESTS_CONCURRENT_MAX = 16
RECONCILE_SECONDS = 5.0
FLUSH_LOOK_SECONDS = 0.5
SHAPE_SECONDS = 300.0
CLOCK_LOOK_SECONDS = 30.0
FAILED_SECONDS = 5.0
"""A full disk is not empty at once, and each failure is a page of the log."""
EXIT_ORPHANED = 1
_log = structlog.get_logger()


def main() -> None:
    """Work until told to stop; end at once, as by a crash, when the other process is gone."""
    for number in (signal.SIGINT, signal.SIGTERM):  # the other process says when to stop
        signal.signal(number, signal.SIG_IGN)
    start_logging()
    requests = _Requests(Connection(int(sys.argv[1])))
    try:
        with open_service(Settings.from_environment(), is_locked=True) as runtime:
            engine = runtime.runner
            if not isinstance(engine, Engine):
                raise TypeError(f"The worker must run tasks itself, got {engine}.")
            with ExitStack() as routines:
                for name, seconds, effect in _routines(runtime, engine):
                    routines.enter_context(_repeated(name, seconds, effect))
                tune_garbage_collector()
                requests.reply(Reply(number=None))
                requests.serve(runtime, engine)
    except EngagementError as error:
        requests.reply(Reply(number=None, error=error))


def _routines(runtime: Runtime, engine: Engine) -> list[tuple[str, float, Callable[[], object]]]:
    """What a server does by itself, and how many seconds apart."""
    settings = runtime.settings
    return [
        ("reconcile", RECONCILE_SECONDS, engine.reconcile),
        ("flush", FLUSH_LOOK_SECONDS, lambda: operations.flush_due(runtime)),
        ("clock", CLOCK_LOOK_SECONDS, runtime.running_time.look),
        ("shape", SHAPE_SECONDS, lambda: operations.keep_in_shape(runtime)),
        ("tidy", settings.tidy_hours * 3_600, lambda: operations.tidy_up(runtime)),
    ]


class _Requests:
    """The requests of the process that started this one."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._sending = threading.Lock()

    def reply(self, reply: Reply) -> None:
        """Send one message."""
        with self._sending:
            self._connection.send_bytes(encode_reply(reply))

    def serve(self, runtime: Runtime, engine: Engine) -> None:
        """Carry requests out, each in a thread, until one asks to stop."""
        with ThreadPoolExecutor(REQUESTS_CONCURRENT_MAX, thread_name_prefix="request") as threads:
            while (request := self._next()).do != STOP:
                threads.submit(self._answer, request, runtime, engine)

    def _next(self) -> Request:
        try:
            message = self._connection.recv_bytes()
        except (EOFError, OSError):
            # Whoever answered requests is dead. Its successor waits for the lock that this process
            # shares, and every effect may be cut off anywhere.
            os._exit(EXIT_ORPHANED)
        return decode_request(message)

    def _answer(self, request: Request, runtime: Runtime, engine: Engine) -> None:
        try:
            reply = Reply(number=request.number, result=_carry_out(request, runtime, engine))
        except EngagementError as error:
            reply = Reply(number=request.number, error=error)
        except Exception as error:  # noqa: BLE001 - whoever asked gets an answer
            _log.exception("asked_work_failed", do=request.do)
            named = EngagementError(
                f"An unexpected {type(error).__name__} stopped the worker's task; see the log."
            )
            reply = Reply(number=request.number, error=named)
        self.reply(reply)


def _carry_out(request: Request, runtime: Runtime, engine: Engine) -> int:
    arguments = request.arguments
    match request.do:
        case "flush":
            return engine.flush(arguments["app_id"])
        case "submit":
            engine.submit(arguments["task_id"])
        case "start_import":
            engine.start_import(runtime.imports.get(arguments["app_id"], arguments["task_id"]))
        case other:
            raise ValueError(f"The worker flushes, submits and imports, but was asked to {other}.")
    return 0


@contextmanager
def _repeated(name: str, seconds: float, effect: Callable[[], object]) -> Iterator[None]:
    """Repeat an effect in a thread; a failure is logged and does not end it."""
    stopping = threading.Event()

    def repeat() -> None:
        wait = seconds
        while not stopping.wait(wait):
            wait = seconds
            try:
                effect()
            except Exception:  # noqa: BLE001 - the next time may be better
                _log.exception("repeated_work_failed", name=name)
                wait = max(seconds, FAILED_SECONDS)

    thread = threading.Thread(target=repeat, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()


if __name__ == "__main__":
    main()
