"""A worker of a cluster, which runs by itself on any machine, beside any number of others."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import structlog

from engagement import operations
from engagement.model.executors import ProcessRole
from engagement.runtime.cluster import Member
from engagement.runtime.engine import Engine
from engagement.runtime.opening import Runtime, open_service
from engagement.runtime.reaper import REAP_SECONDS, Reaper
from engagement.runtime.routines import running_routine
from engagement.settings import Settings

FLUSH_LOOK_SECONDS = 0.5
TAKE_OVER_SECONDS = 2.0
DELETION_SECONDS = 5.0
SHAPE_SECONDS = 300.0
TIDY_LOOK_SECONDS = 60.0
CLOCK_LOOK_SECONDS = 30.0
STALL_LOOK_SECONDS = 1.0
EXIT_STALLED = 2
_log = structlog.get_logger()

Routine = tuple[str, float, Callable[[], object]]


@contextmanager
def running_roles(
    settings: Settings, roles: tuple[ProcessRole, ...]
) -> Iterator[tuple[Runtime, Member]]:
    """The service as one of a cluster's workers; it works by itself in the block.

    Args:
        settings: Where and how.
        roles: What it does.

    Raises:
        EngagementError: It cannot, with its code and reason.
    """
    with open_service(settings, run_tasks=False, roles=roles) as runtime, ExitStack() as routines:
        member = runtime.member
        if member is None:
            raise TypeError("A worker must be a member of its cluster.")
        for name, seconds, effect in _routines(runtime, member):
            routines.enter_context(running_routine(name, seconds, effect))
        yield runtime, member


def wait_for_end(member: Member, stopping: threading.Event) -> None:
    """Return when the process is to end, or was asked to drain."""
    while not stopping.wait(REAP_SECONDS):
        if member.draining.is_set():
            return


def _routines(runtime: Runtime, member: Member) -> Iterator[Routine]:
    settings, seams = runtime.settings, runtime.seams
    reaper = Reaper(member, seams.executors, seams.locks)
    yield "reap", REAP_SECONDS, reaper.look
    yield "clock", CLOCK_LOOK_SECONDS, runtime.running_time.look
    if ProcessRole.FLUSH in member.roles:
        yield "flush", FLUSH_LOOK_SECONDS, lambda: operations.flush_due(runtime)
    if ProcessRole.COMMIT in member.roles:
        yield "commit", settings.commit_seconds, lambda: operations.commit_due(runtime)
    if isinstance(runtime.runner, Engine):
        engine = runtime.runner

        def take_over() -> None:
            reaper.look(lambda: engine.reconcile_cluster(_known_ids(runtime)))

        yield "take-over", TAKE_OVER_SECONDS, take_over
        yield "stalls", STALL_LOOK_SECONDS, lambda: end_if_stalled(engine)
    if ProcessRole.UPKEEP in member.roles:
        yield (
            "deletions",
            DELETION_SECONDS,
            _by_the_first(member, runtime, operations.finish_deletions),
        )
        yield "shape", SHAPE_SECONDS, _by_the_first(member, runtime, operations.keep_in_shape)
        yield "tidy", TIDY_LOOK_SECONDS, _by_the_first(member, runtime, operations.tidy_due)


def _known_ids(runtime: Runtime) -> Callable[[], list[str]]:
    return lambda: [each.executor_id for each in runtime.seams.executors.list_all()]


def _by_the_first(
    member: Member, runtime: Runtime, effect: Callable[[Runtime], object]
) -> Callable[[], None]:
    """An effect that one worker is enough for."""

    def have_effect() -> None:
        if member.is_first(ProcessRole.UPKEEP):
            effect(runtime)

    return have_effect


def end_if_stalled(engine: Engine) -> None:
    """Let a new process have the threads that steps without an end hold here."""
    if engine.has_stalled:
        _log.error("worker_stalled")
        os._exit(EXIT_STALLED)
