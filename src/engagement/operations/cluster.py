"""The operations on the processes of a cluster."""

from collections import Counter
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from engagement.exceptions import BadInputError
from engagement.model.executors import Executor
from engagement.runtime.opening import Runtime


@runtime_checkable
class WorkflowCounts(Protocol):
    """Knows what a cluster's processes have begun."""

    def count_running(self) -> Counter[str]:
        """How many workflows each process has begun and not ended, by their executors' ids."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutorStatus:
    """How a process is."""

    executor: Executor
    """The process."""
    state: str
    """`live`, `draining` or `silent`."""
    workflows_running: int
    """Exports, parts and imports that it has begun and not ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AppLag:
    """How far an app's batches are behind."""

    app_id: str
    """The app."""
    logs: int
    """Logs that wait in the inbox."""
    oldest_seconds: float
    """How long the oldest of them has waited."""
    groups_staged: int
    """Groups of files that are written and not committed yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterStatus:
    """How a cluster is."""

    executors: tuple[ExecutorStatus, ...]
    """Its processes, the oldest first."""
    lags: tuple[AppLag, ...]
    """The apps that are behind."""


def read_cluster_status(runtime: Runtime) -> ClusterStatus:
    """Who lives, what each has begun, and which apps are behind."""
    _require_cluster(runtime)
    runner: object = runtime.runner
    running = runner.count_running() if isinstance(runner, WorkflowCounts) else Counter[str]()
    now = runtime.clock()
    staged = runtime.staging.count_groups()
    waiting = runtime.inbox.measure_waiting()
    return ClusterStatus(
        executors=tuple(
            ExecutorStatus(
                executor=each,
                state=_state(each, runtime.settings.lease_seconds),
                workflows_running=running[each.executor_id],
            )
            for each in runtime.deployment.executors.list_all()
        ),
        lags=tuple(
            AppLag(
                app_id=app_id,
                logs=waiting[app_id].records if app_id in waiting else 0,
                oldest_seconds=(
                    (now - waiting[app_id].oldest_at).total_seconds() if app_id in waiting else 0.0
                ),
                groups_staged=staged.get(app_id, 0),
            )
            for app_id in sorted({*waiting, *staged})
        ),
    )


def drain_executor(runtime: Runtime, executor_id: str) -> None:
    """Ask a process to end when its work is done.

    Raises:
        BadInputError: No process has this id.
    """
    _require_cluster(runtime)
    if not runtime.deployment.executors.ask_to_drain(executor_id):
        raise BadInputError(
            f"No process has the id {executor_id[:64]!r}; `engagement cluster status` lists them."
        )


def _require_cluster(runtime: Runtime) -> None:
    if not runtime.settings.is_cluster:
        raise BadInputError(
            "This needs a cluster: ENGAGEMENT_STATE_URL must be postgresql+psycopg://…."
        )


def _state(executor: Executor, lease_seconds: int) -> str:
    if executor.silent_seconds >= lease_seconds:
        return "silent"
    return "draining" if executor.is_draining else "live"
