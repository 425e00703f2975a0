"""The operations on the audit log: who changed what, and when."""

from datetime import timedelta

from engagement.exceptions import BadInputError
from engagement.model.audit import Action, Change, RecordedChange
from engagement.runtime.opening import Runtime
from engagement.store.queries.audit import AuditFilter

CHANGES_PER_PAGE_MAX = 1_000
SUBJECT_CHARACTERS_MAX = 500


def record_change(
    runtime: Runtime, action: Action, *, subject: str, app_id: str | None = None
) -> None:
    """Return only when it is durable who asked for a change.

    It is called before the change, so that none is without its entry; of an entry whose change
    then failed, what is there tells.

    Args:
        runtime: The service, which knows for whom it acts.
        action: What is about to be done.
        subject: On what, in names and ids; never a secret.
        app_id: The app that it is done to, if it is one.
    """
    runtime.audit.add(
        Change(
            changed_at=runtime.clock(),
            actor=runtime.actor,
            action=action,
            app_id=app_id,
            subject=subject[:SUBJECT_CHARACTERS_MAX],
        )
    )


def list_audit(
    runtime: Runtime, chosen: AuditFilter, *, limit: int = 100, before: int | None = None
) -> list[RecordedChange]:
    """Some changes, the newest first, from before a position on.

    Raises:
        BadInputError: More were asked for than one answer has, or none.
    """
    if not 1 <= limit <= CHANGES_PER_PAGE_MAX:
        raise BadInputError(f"1 to {CHANGES_PER_PAGE_MAX} changes may be listed, got {limit}.")
    return runtime.audit.list_page(chosen, limit=limit, before=before)


def forget_audit(runtime: Runtime) -> None:
    """Drop what is older, by running time, than the setting has the audit log kept."""
    old = runtime.running_time.old_before(timedelta(days=runtime.settings.audit_days))
    if old is not None:
        runtime.audit.forget(old)
