"""Repeats what a service does by itself, each routine in a thread of its own."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

from engagement.exceptions import ErrorCode
from engagement.storage_failures import find_failure

FAILED_SECONDS = 5.0
"""A full disk is not empty at once, and each failure is a page of the log."""
_log = structlog.get_logger()


@contextmanager
def running_routine(
    name: str,
    seconds: float,
    effect: Callable[[], object],
    *,
    failed_seconds: float | None = None,
) -> Iterator[None]:
    """Repeat an effect in a thread; a failure is logged and does not end it.

    Args:
        name: What the thread and the log call it.
        seconds: From its end to the next time.
        effect: What to do.
        failed_seconds: The same after a failure, where that must be soon.
    """
    stopping = threading.Event()

    def repeat() -> None:
        wait = seconds
        while not stopping.wait(wait):
            wait = seconds
            try:
                effect()
            except BaseException as error:  # noqa: BLE001 - panics too: the next time may be better
                named = find_failure(error)
                code = (ErrorCode.INTERNAL if named is None else named.code).value
                _log.exception("repeated_work_failed", name=name, code=code)
                wait = max(seconds, FAILED_SECONDS) if failed_seconds is None else failed_seconds

    thread = threading.Thread(target=repeat, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()
