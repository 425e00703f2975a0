"""The operations that delete an app with all its data, and finish what an end cut off."""

import time
from dataclasses import dataclass
from datetime import timedelta

from engagement.exceptions import BadInputError, IllegalStateError
from engagement.failpoints import Failpoint, FailpointHook, no_failpoint
from engagement.model.audit import Action
from engagement.operations.audit import record_change
from engagement.operations.clients import revoke_client
from engagement.operations.upkeep import for_each_app
from engagement.runtime.opening import Runtime

MARKED_FOR = timedelta(hours=1)
"""How long after its deletion something of an app may come in, that was on its way."""
UNFINISHED_SECONDS_MAX = 20.0
"""How long a deletion waits for the end of tasks that it cancelled; then a routine goes on."""
POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class AppRemovalReport:
    """What a deletion took out."""

    rows: int
    """Rows of the state database."""
    unfinished: int
    """Tasks that have not ended yet; while there are some, the data stays."""


def mark_app_deleted(
    runtime: Runtime,
    app_id: str,
    *,
    confirm: str,
    on_failpoint: FailpointHook = no_failpoint,
) -> None:
    """Return only when an app and its keys are unknown, for good, and its tasks are cancelled.

    Clients whose scope is this very app are revoked, so that they do not see a later one of its
    name. What devices write with its keys is refused, everywhere within 2 seconds. Its data goes
    by `remove_deleted_app`.

    Args:
        runtime: The service.
        app_id: The app.
        confirm: The app's name, as a proof that it is the one that is meant.
        on_failpoint: Called at each failpoint, for tests.

    Raises:
        UnknownAppError: No app has this id.
        BadInputError: The name is another one.
    """
    app = runtime.apps.get(app_id)
    if confirm != app.name:
        raise BadInputError(
            f"The name of the app must confirm that it is meant, got {confirm[:80]!r}, "
            f"wanted {app.name!r}. Nothing was deleted."
        )
    record_change(runtime, Action.APP_DELETE, app_id=app_id, subject=f"app {app.resource_path}")
    for client in runtime.clients.list_all():
        if client.scope.app is not None and client.scope.covers(app) and not client.revoked_at:
            revoke_client(runtime, client.client_id)
    runtime.apps.delete(app_id, deleted_at=runtime.clock())
    on_failpoint(Failpoint.APP_MARKED)
    _cancel_tasks(runtime, app_id)


def remove_deleted_app(
    runtime: Runtime, app_id: str, *, seconds_max: float = UNFINISHED_SECONDS_MAX
) -> AppRemovalReport:
    """Remove all data of a deleted app when its tasks have ended; what that took out.

    It is done where tasks run. A repeat does what an interruption left.

    Raises:
        IllegalStateError: The app is not deleted.
    """
    if app_id not in runtime.app_removal.list_marked():
        raise IllegalStateError("Only what is left of a deleted app can be removed.")
    _cancel_tasks(runtime, app_id)
    deadline = time.monotonic() + seconds_max
    while (unfinished := runtime.app_removal.count_unfinished(app_id)) > 0:
        if time.monotonic() >= deadline:
            return AppRemovalReport(rows=0, unfinished=unfinished)
        time.sleep(POLL_SECONDS)
    # The key of a task that is not known any more would be left alone.
    runtime.task_vault.destroy_ended(runtime.tasks, runtime.imports)
    runtime.points.forget_app(app_id)
    return AppRemovalReport(rows=runtime.app_removal.remove(app_id), unfinished=0)


def finish_deletions(runtime: Runtime) -> None:
    """Remove what is left of each deleted app, or has come in since."""
    marked = runtime.app_removal.list_marked()

    def finish(app_id: str) -> None:
        report = remove_deleted_app(runtime, app_id, seconds_max=0)
        is_over = abs(runtime.clock() - marked[app_id]) > MARKED_FOR
        if is_over and report == AppRemovalReport(rows=0, unfinished=0):
            runtime.app_removal.forget(app_id)

    for_each_app(marked, [finish])


def _cancel_tasks(runtime: Runtime, app_id: str) -> None:
    now = runtime.clock()
    for task_id in runtime.tasks.list_unfinished(app_id):
        runtime.tasks.cancel(task_id, now=now)
