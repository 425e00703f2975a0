"""Asks the state database who changed what."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from engagement.model.audit import Action, Change, RecordedChange
from engagement.store.tables import audit_log


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilter:
    """Which changes are meant."""

    app_ids: frozenset[str] | None = None
    """Of these apps alone; None means all changes, those of no app too."""
    action: Action | None = None
    """Of this kind alone."""
    since: datetime | None = None
    """Not before this instant."""


class AuditQueries:
    """The changes that somebody asked for, in the order in which they came."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._reading = engine.execution_options(read_only=True)

    def add(self, change: Change) -> None:
        """Return only when it is durable that a change was asked for."""
        with self._engine.begin() as connection:
            connection.execute(
                audit_log.insert().values(
                    changed_at=change.changed_at,
                    actor=change.actor,
                    action=change.action.value,
                    on_app=change.app_id,
                    subject=change.subject,
                )
            )

    def list_page(
        self, chosen: AuditFilter, *, limit: int, before: int | None = None
    ) -> list[RecordedChange]:
        """Some changes, the newest first, from before a position on."""
        query = sa.select(audit_log).order_by(audit_log.c.position.desc()).limit(limit)
        if chosen.app_ids is not None:
            query = query.where(audit_log.c.on_app.in_(sorted(chosen.app_ids)))
        if chosen.action is not None:
            query = query.where(audit_log.c.action == chosen.action.value)
        if chosen.since is not None:
            query = query.where(audit_log.c.changed_at >= chosen.since)
        if before is not None:
            query = query.where(audit_log.c.position < before)
        with self._reading.begin() as connection:
            return [
                RecordedChange(
                    position=row.position,
                    change=Change(
                        changed_at=row.changed_at,
                        actor=row.actor,
                        action=Action(row.action),
                        app_id=row.on_app,
                        subject=row.subject,
                    ),
                )
                for row in connection.execute(query)
            ]

    def forget(self, before: datetime) -> None:
        """Drop what was changed before an instant."""
        with self._engine.begin() as connection:
            connection.execute(audit_log.delete().where(audit_log.c.changed_at < before))
