"""The operations that keep an app's tables in shape."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from datetime import timedelta

import structlog

from engagement.exceptions import WANTED_ENDS
from engagement.model.apps import check_retention
from engagement.operations.audit import forget_audit
from engagement.runtime.opening import Runtime
from engagement.store.lake import LOG_DAYS
from engagement.store.queries.sightings import SPAN_DAYS_MIN
from engagement.store.recovery import LakeRecovery
from engagement.store.upkeep import Upkeep
from engagement.store.upkeep_report import UpkeepReport
from engagement.telemetry import record_span

LOG_TOLERANCE = timedelta(days=1)
"""By how much the clock may have gone further than machines ran while logs are shortened still."""
_log = structlog.get_logger()
ERASED_DAYS = 90
"""Days for which late batches of an erased device are refused."""
CUT_OFF_AGAIN = timedelta(hours=1)
"""After what time upkeep is done again that a crash cut off: it may have been the reason."""
SMALL_COUNT = 64
"""Small files of a day that are gathered at a time between two tidyings."""


def compact(runtime: Runtime, app_id: str) -> UpkeepReport:
    """Gather the small files of each day of an app's history into sorted ones."""
    return open_upkeep(runtime, app_id).compact(app_id)


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
    apps -= runtime.app_removal.list_marked().keys()
    moved: list[int] = []
    flusher = runtime.flusher  # another machine that flushes an app just now is not waited for

    def flush(app_id: str) -> int:
        moved.append((runtime.flush if flusher is None else flusher.flush_if_free)(app_id))
        return moved[-1]

    for_each_app(sorted(apps), [flush])
    return sum(moved)


def commit_due(runtime: Runtime) -> None:
    """Commit what is staged of all apps, whoever staged it, in a process of a cluster."""
    flusher = runtime.flusher
    if flusher is None:
        return

    for_each_app(runtime.staging.list_apps(), [flusher.commit])


def keep_in_shape(runtime: Runtime) -> None:
    """Gather the small files that flushes leave, where they have become many.

    Damaged tables are looked at again first: they may have been mended.
    """
    recovery = LakeRecovery(runtime.inbox, runtime.staging, runtime.lake)
    deleted = runtime.app_removal.list_marked().keys()
    for table in runtime.staging.list_damaged():
        if table.app_id in deleted:
            continue
        recovery.mark(table.app_id, [table.kind], digests=True)
    for_each_app(
        _list_apps_with_tables(runtime),
        [lambda app_id: open_upkeep(runtime, app_id).compact(app_id, small_count=SMALL_COUNT)],
    )


def tidy_due(runtime: Runtime) -> None:
    """Tidy the apps up whose turn it is, however often the service was started meanwhile."""
    since = timedelta(hours=runtime.settings.tidy_hours)
    untidied = runtime.apps.list_untidied(now=runtime.clock(), since=since)
    with_tables = set(_list_apps_with_tables(runtime))
    due = [app_id for app_id in untidied if app_id in with_tables]
    if due:
        _tidy(runtime, due)


def measure_upkeep(runtime: Runtime) -> timedelta | None:
    """How long ago the app was tidied up that was so longest ago; None if none ever was."""
    tidied = [at for at in runtime.apps.list_tidied().values() if at is not None]
    return runtime.clock() - min(tidied) if tidied else None


def tidy_up(runtime: Runtime) -> None:
    """Take out, gather, fold and delete what is old, of every app."""
    _tidy(runtime, _list_apps_with_tables(runtime))


def _tidy(runtime: Runtime, app_ids: Sequence[str]) -> None:
    since = timedelta(hours=runtime.settings.tidy_hours)
    _forget(runtime)
    for_each_app(
        app_ids,
        [
            lambda app_id: runtime.apps.mark_tidied(
                app_id, runtime.clock() - since + CUT_OFF_AGAIN
            ),
            lambda app_id: _retain_as_set(runtime, app_id),
            lambda app_id: compact(runtime, app_id),
            lambda app_id: fold_snapshots(runtime, app_id),
            lambda app_id: _delete_files(runtime, app_id),
            # Failures come again in their turn, as what damages a table lasts.
            lambda app_id: runtime.apps.mark_tidied(app_id, runtime.clock()),
        ],
    )


def _list_apps_with_tables(runtime: Runtime) -> list[str]:
    """The apps with tables that are not about to be removed."""
    deleted = runtime.app_removal.list_marked().keys()
    return [app_id for app_id in runtime.inbox.apps_with_tables() if app_id not in deleted]


def _retain_as_set(runtime: Runtime, app_id: str) -> UpkeepReport:
    days = runtime.apps.get(app_id).retention_days
    return UpkeepReport() if days is None else retain(runtime, app_id, days)


def for_each_app(
    app_ids: Iterable[str], works: Sequence[Callable[[str], UpkeepReport | int | None]]
) -> None:
    """Do each work for each app; what fails for one does not keep it from the others."""
    failures: list[BaseException] = []
    for app_id in app_ids:
        for work in works:
            try:
                began = time.monotonic()
                report = work(app_id)
                if isinstance(report, UpkeepReport) and report != UpkeepReport():
                    seconds = round(time.monotonic() - began, 3)
                    _log.info("upkeep_done", app=app_id, seconds=seconds, **asdict(report))
                    record_span("upkeep", seconds=seconds, app=app_id)
            except WANTED_ENDS:
                raise
            except BaseException as error:  # noqa: BLE001 - panics too; raised below
                kind = type(error).__name__
                _log.warning("upkeep_failed", app=app_id, error=kind)
                seconds = time.monotonic() - began
                record_span("upkeep", seconds=seconds, failed=True, app=app_id, error_type=kind)
                failures.append(error)
    if failures:
        raise failures[0]


def fold_snapshots(runtime: Runtime, app_id: str) -> UpkeepReport:
    """Fold the changes of devices, tags, tokens and feedback that are older than some days."""
    upkeep = open_upkeep(runtime, app_id)
    before = runtime.running_time.old_before(timedelta(days=runtime.settings.fold_days_min))
    return UpkeepReport() if before is None else upkeep.fold_snapshots(app_id, before=before)


def vacuum(runtime: Runtime, app_id: str) -> UpkeepReport:
    """Delete files that no table refers to and no running export may read.

    What was accepted once, and opened sessions, of all apps, are forgotten where they are too old.
    """
    _forget(runtime)
    return _delete_files(runtime, app_id)


def retain(runtime: Runtime, app_id: str, days: int) -> UpkeepReport:
    """Take the days of an app's history out that are older than some days.

    Jumps of the clock that running has not confirmed make nothing older. Today and the day before
    are always kept, so no day is taken that is still written.

    Raises:
        UnknownAppError: No app has this id.
        BadInputError: History cannot be kept for so many days.
        LakeDamagedError: Tables are damaged; the others were seen to.
    """
    check_retention(days)
    first_kept = (runtime.running_time.estimate_now() - timedelta(days=days)).date()
    return open_upkeep(runtime, app_id).retain(app_id, first_kept=first_kept)


def read_unconfirmed_clock(runtime: Runtime) -> timedelta:
    """By how much the clock has moved on otherwise than by running, and not been confirmed yet.

    What is old is forgotten by the new time when machines have run by it for some days.
    """
    return runtime.running_time.measure_unconfirmed()


def _forget(runtime: Runtime) -> None:
    """Forget what is old by running time: what comes again afterwards would be taken as new."""
    forget_audit(runtime)
    old = runtime.running_time.old_before(timedelta(days=runtime.settings.batch_dedup_days))
    if old is not None:
        runtime.inbox.forget_keys(old)
        runtime.seen.forget_sessions(old)
    old = runtime.running_time.old_before(timedelta(days=ERASED_DAYS))
    if old is not None:
        runtime.erased.forget(old)
    old = runtime.running_time.old_before(timedelta(days=SPAN_DAYS_MIN + 1))
    if old is not None:
        runtime.seen.forget_spans(old.date())


def _delete_files(runtime: Runtime, app_id: str) -> UpkeepReport:
    upkeep = open_upkeep(runtime, app_id)
    before = runtime.running_time.old_before(timedelta(days=runtime.settings.vacuum_days_min))
    if before is None:
        return UpkeepReport()
    erased_at = runtime.erased.find_last_at(app_id)
    # Exports that ran during an erasure kept their plans, which name device ids.
    if erased_at is not None and runtime.plans.forget_parts(app_id, started_until=erased_at):
        runtime.erased.scrub()
    return upkeep.vacuum(
        app_id,
        before=before,
        shorten_log=_may_shorten_logs(runtime),
        drop_versions=erased_at is not None,
    )


def _may_shorten_logs(runtime: Runtime) -> bool:
    """Whether what is old by the system's clock, which Delta goes by, is old by running time."""
    log_age = timedelta(days=LOG_DAYS)
    old = runtime.running_time.old_before(log_age)
    return old is not None and runtime.clock() - log_age <= old + LOG_TOLERANCE


def open_upkeep(runtime: Runtime, app_id: str) -> Upkeep:
    """Upkeep of an app's tables.

    Raises:
        UnknownAppError: No app has this id.
    """
    runtime.apps.get(app_id)
    return Upkeep(
        runtime.inbox,
        runtime.staging,
        runtime.seen,
        runtime.tasks,
        runtime.lake,
        clock=runtime.clock,
    )
