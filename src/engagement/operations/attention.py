"""The operation that says what needs somebody: what failed, what ends soon, what is full."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from engagement.model.access import Caller
from engagement.model.export_lists import ExportFilter
from engagement.model.exports import ExportState
from engagement.model.points import ACCEPTED, EVERYWHERE, REFUSED
from engagement.operations.collecting import inbox_state
from engagement.operations.points import StorageState, recent_sum
from engagement.runtime.opening import Runtime

FAILED_DAYS = 7
FAILED_MAX = 5
ENDS_DAYS = 14
REFUSED_PERCENT_MAX = 1
DISK_PERCENT_MAX = 85
LAG_FLUSHES_MAX = 5


class NeedKind(StrEnum):
    """What is wrong, worst first."""

    TABLE_DAMAGED = "damaged"
    EXPORT_FAILED = "failed"
    CREDENTIAL_ENDS = "ends"
    MANY_REFUSED = "refused"
    DISK_FULL = "disk"
    LAG = "lag"
    WORKER_RESTARTED = "worker"


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """Something that needs somebody."""

    kind: NeedKind
    """What is wrong."""
    sentence: str
    """In words."""
    since: datetime | None = None
    """Since when, or until when of a credential."""
    app_id: str | None = None
    """The app that it is about, if it is one."""
    subject_id: str | None = None
    """The task that it is about, if it is one."""


def list_needs(
    runtime: Runtime, app_ids: Collection[str], caller: Caller | None, *, storage: StorageState
) -> list[Need]:
    """What needs somebody, worst first.

    Args:
        runtime: The service.
        app_ids: The apps that it may be about.
        caller: Whose credential may end; None for all, and for what is about the whole service.
        storage: How full the disk is.
    """
    needs = [*_failed_exports(runtime, app_ids), *_ending_keys(runtime, app_ids)]
    needs += _ending_clients(runtime, caller)
    needs += _many_refused(runtime, app_ids)
    if caller is None:
        needs += _of_the_service(runtime, storage)
    order = list(NeedKind)
    return sorted(needs, key=lambda need: order.index(need.kind))


def _failed_exports(runtime: Runtime, app_ids: Collection[str]) -> list[Need]:
    now = runtime.clock()
    recent = ExportFilter(
        app_ids=tuple(app_ids),
        states=(ExportState.FAILED,),
        ended_from=now - timedelta(days=FAILED_DAYS),
    )
    tasks = runtime.export_lists.list_page(
        recent, limit=FAILED_MAX, before=None, after=None, now=now
    )
    return [
        Need(
            kind=NeedKind.EXPORT_FAILED,
            sentence=f"The {task.export_type.value} export failed: {task.error_code or 'internal'}",
            since=task.completed_at,
            app_id=task.app_id,
            subject_id=task.task_id,
        )
        for task in tasks
    ]


def _ending_keys(runtime: Runtime, app_ids: Collection[str]) -> list[Need]:
    now = runtime.clock()
    return [
        Need(
            kind=NeedKind.CREDENTIAL_ENDS,
            sentence=f"The app key {key.name!r} ends",
            since=key.ends_at,
            app_id=app_id,
        )
        for app_id in app_ids
        for key in runtime.app_keys.list_of(app_id)
        if key.is_live(now)
        and key.ends_at is not None
        and key.ends_at < now + timedelta(days=ENDS_DAYS)
    ]


def _ending_clients(runtime: Runtime, caller: Caller | None) -> list[Need]:
    now = runtime.clock()
    return [
        Need(
            kind=NeedKind.CREDENTIAL_ENDS,
            sentence=f"The secret of the client {client.name!r} ends",
            since=client.secret_expires_at,
        )
        for client in runtime.clients.list_all()
        if client.revoked_at is None
        and client.secret_expires_at is not None
        and now < client.secret_expires_at < now + timedelta(days=ENDS_DAYS)
        and (caller is None or caller.client_id == client.client_id)
    ]


def _many_refused(runtime: Runtime, app_ids: Collection[str]) -> list[Need]:
    hour = timedelta(hours=1)
    needs = []
    for app_id in app_ids:
        refused = recent_sum(runtime, [app_id], REFUSED, hour)
        accepted = recent_sum(runtime, [app_id], ACCEPTED, hour) if refused else 0
        if 100 * refused > REFUSED_PERCENT_MAX * (accepted + refused):
            needs.append(
                Need(
                    kind=NeedKind.MANY_REFUSED,
                    sentence=f"{refused:,} records were refused in an hour, "
                    f"{accepted:,} were accepted",
                    app_id=app_id,
                )
            )
    return needs


def _of_the_service(runtime: Runtime, storage: StorageState) -> list[Need]:
    needs = [
        Need(
            kind=NeedKind.TABLE_DAMAGED,
            sentence=f"The table {table.kind.value} is damaged",
            app_id=table.app_id,
        )
        for table in runtime.staging.list_damaged()
    ]
    if storage.disk_percent > DISK_PERCENT_MAX:
        sentence = f"The disk is full to {storage.disk_percent} %"
        needs.append(Need(kind=NeedKind.DISK_FULL, sentence=sentence))
    lag = inbox_state(runtime).lag
    if lag > LAG_FLUSHES_MAX * timedelta(seconds=runtime.settings.flush_seconds):
        sentence = f"Records have waited for {lag.total_seconds():,.0f} s to become exportable"
        needs.append(Need(kind=NeedKind.LAG, sentence=sentence))
    health = None if runtime.runner is None else runtime.runner.health()
    if health is not None and health.restarts:
        sentence = f"The worker was started anew {health.restarts:,} times"
        needs.append(Need(kind=NeedKind.WORKER_RESTARTED, sentence=sentence))
    return needs


def scopes_of(app_ids: Collection[str], *, is_all: bool) -> list[str]:
    """Return the scopes whose points are about these apps."""
    return [EVERYWHERE] if is_all else sorted(app_ids)
