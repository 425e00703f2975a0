"""The operations that keep an app's tables in shape."""

from datetime import timedelta

from engagement.collect.limits import guid
from engagement.runtime.opening import Runtime
from engagement.store.upkeep import Upkeep, UpkeepReport

SPAN_DAYS_MIN = 90
"""Days of silence after which a session or a job is still known, so that it stays one row."""
SMALL_COUNT = 64
"""Small files of a day that are gathered at a time between two tidyings."""


def compact(runtime: Runtime, app_id: str) -> UpkeepReport:
    """Gather the small files of each day of an app's history into sorted ones."""
    return _upkeep(runtime, app_id).compact(app_id)


def flush_due(runtime: Runtime) -> int:
    """Bring what devices posted into the lake if it is much or has waited long.

    So an export, which flushes first, never has to wait for many rounds of it. What a flush that
    failed has staged is committed as soon as that works again.

    Returns:
        How many records were moved.
    """
    apps = set(runtime.staging.list_apps())
    oldest = runtime.inbox.oldest_at()
    if oldest is not None:
        waited = runtime.clock() - oldest
        is_late = waited >= timedelta(seconds=runtime.settings.flush_seconds)
        if is_late or runtime.inbox.depth() >= runtime.settings.flush_logs_max:
            apps.update(runtime.inbox.list_waiting())
    return sum(runtime.flush(app_id) for app_id in sorted(apps))


def keep_in_shape(runtime: Runtime) -> None:
    """Gather the small files that flushes leave, where they have become many."""
    for app_id in runtime.inbox.apps_with_tables():
        _upkeep(runtime, app_id).compact(app_id, small_count=SMALL_COUNT)


def tidy_up(runtime: Runtime) -> None:
    """Fold, gather and delete what is old, of every app."""
    for app_id in runtime.inbox.apps_with_tables():
        compact(runtime, app_id)
        fold_snapshots(runtime, app_id)
        _delete_files(runtime, app_id)
    _forget(runtime)


def fold_snapshots(runtime: Runtime, app_id: str) -> UpkeepReport:
    """Fold the changes of devices, tags, tokens and feedback that are older than some days."""
    keep_days = runtime.settings.fold_days_min
    return _upkeep(runtime, app_id).fold_snapshots(app_id, keep_days=keep_days)


def vacuum(runtime: Runtime, app_id: str) -> UpkeepReport:
    """Delete files that no table refers to and no running export may read.

    What was accepted once, and opened sessions, of all apps, are forgotten where they are too old.
    """
    _forget(runtime)
    return _delete_files(runtime, app_id)


def retain(runtime: Runtime, app_id: str, days: int) -> UpkeepReport:
    """Take the days of an app's history out that are older than some days."""
    return _upkeep(runtime, app_id).retain(app_id, days=days)


def erase_device(runtime: Runtime, app_id: str, device_id: str) -> UpkeepReport:
    """Take every row of a device out of an app's tables, and out of its inbox first."""
    upkeep = _upkeep(runtime, app_id)
    runtime.flush(app_id)
    return upkeep.erase(app_id, guid(device_id, "device"))


def _forget(runtime: Runtime) -> None:
    old = runtime.clock() - timedelta(days=runtime.settings.batch_dedup_days)
    runtime.inbox.forget_keys(old)
    runtime.seen.forget_sessions(old)
    runtime.seen.forget_spans((runtime.clock() - timedelta(days=SPAN_DAYS_MIN + 1)).date())


def _delete_files(runtime: Runtime, app_id: str) -> UpkeepReport:
    return _upkeep(runtime, app_id).vacuum(app_id, days_min=runtime.settings.vacuum_days_min)


def _upkeep(runtime: Runtime, app_id: str) -> Upkeep:
    runtime.apps.get(app_id)
    return Upkeep(
        runtime.inbox,
        runtime.staging,
        runtime.seen,
        runtime.tasks,
        runtime.lake,
        clock=runtime.clock,
    )
