"""What every worker does by itself, again and again, whether it is the only one or one of many."""

import os
from collections.abc import Callable, Collection, Iterator
from functools import partial

import structlog

from engagement import operations
from engagement.model.executors import ProcessRole
from engagement.runtime.engine import Engine
from engagement.runtime.opening import Runtime

FLUSH_LOOK_SECONDS = 0.5
STALL_LOOK_SECONDS = 1.0
DELETION_SECONDS = 5.0
CLOCK_LOOK_SECONDS = 30.0
TIDY_LOOK_SECONDS = 60.0
SHAPE_SECONDS = 300.0
EXIT_STALLED = 2
_log = structlog.get_logger()

Routine = tuple[str, float, Callable[[], object]]
"""A name, the seconds between two times, and what is done."""


def list_routines(
    runtime: Runtime,
    roles: Collection[ProcessRole],
    *,
    is_first: Callable[[], bool] = lambda: True,
) -> Iterator[Routine]:
    """The routines of a process.

    Args:
        runtime: The service.
        roles: What the process does.
        is_first: Whether upkeep is for this process now; of several one is enough.
    """

    def do_upkeep(effect: Callable[[Runtime], object]) -> None:
        if is_first():
            effect(runtime)

    yield "clock", CLOCK_LOOK_SECONDS, runtime.running_time.look
    if ProcessRole.FLUSH in roles:
        yield "flush", FLUSH_LOOK_SECONDS, partial(operations.flush_due, runtime)
    if isinstance(runtime.runner, Engine):
        yield "stalls", STALL_LOOK_SECONDS, partial(_end_if_stalled, runtime.runner)
    if ProcessRole.UPKEEP in roles:
        yield "deletions", DELETION_SECONDS, partial(do_upkeep, operations.finish_deletions)
        yield "shape", SHAPE_SECONDS, partial(do_upkeep, operations.keep_in_shape)
        yield "tidy", TIDY_LOOK_SECONDS, partial(do_upkeep, operations.tidy_due)


def _end_if_stalled(engine: Engine) -> None:
    """Let a new process have the threads that steps without an end hold here."""
    if engine.has_stalled:
        _log.error("worker_stalled")
        os._exit(EXIT_STALLED)
