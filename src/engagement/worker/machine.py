"""A worker of a cluster, which runs by itself on any machine, beside any number of others."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

from engagement import operations
from engagement.model.executors import ProcessRole
from engagement.runtime.cluster import Member
from engagement.runtime.engine import Engine
from engagement.runtime.opening import Runtime, open_service
from engagement.runtime.reaper import REAP_SECONDS, Reaper
from engagement.runtime.routines import running_routine
from engagement.settings import Settings
from engagement.worker.periodic_work import Routine, list_routines

TAKE_OVER_SECONDS = 2.0


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
    reaper = Reaper(member, runtime.deployment.executors, runtime.deployment.locks)
    yield "reap", REAP_SECONDS, reaper.look
    if ProcessRole.COMMIT in member.roles:
        commit = partial(operations.commit_due, runtime)
        yield "commit", runtime.settings.commit_seconds, commit
    if isinstance(runtime.runner, Engine):
        reconcile = partial(runtime.runner.reconcile_cluster, _known_ids(runtime))
        yield "take-over", TAKE_OVER_SECONDS, partial(reaper.look, reconcile)
    is_first = partial(member.is_first, ProcessRole.UPKEEP)
    yield from list_routines(runtime, member.roles, is_first=is_first)


def _known_ids(runtime: Runtime) -> Callable[[], list[str]]:
    return lambda: [each.executor_id for each in runtime.deployment.executors.list_all()]
