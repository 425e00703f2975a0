"""Refuses a task of an app that has too many unfinished ones."""

from dataclasses import dataclass

import sqlalchemy as sa

from engagement.exceptions import TooManyTasksError
from engagement.store.tables import apps

APP_TASKS_MAX = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskLimit:
    """How many tasks of one kind an app may have unfinished."""

    tasks: sa.Table
    """The tasks of the kind."""
    unfinished: tuple[str, ...]
    """The states that are not final."""
    app_tasks_max: int

    def check(self, connection: sa.Connection, app_id: str) -> None:
        """Return only if the app may have one more until the transaction ends.

        Raises:
            TooManyTasksError: It has as many as it may.
        """
        # Two that ask at the same time must not both get the last place: the app's row is locked.
        # SQLite needs no lock, since nobody else writes during a transaction that writes.
        row = sa.select(apps.c.app_id).where(apps.c.app_id == app_id)
        connection.execute(row.with_for_update(key_share=True))
        query = (
            sa.select(sa.func.count())
            .select_from(self.tasks)
            .where(self.tasks.c.app_id == app_id, self.tasks.c.state.in_(self.unfinished))
        )
        count = connection.scalar(query) or 0
        if count >= self.app_tasks_max:
            raise TooManyTasksError(
                f"An app may have {self.app_tasks_max} unfinished tasks of a kind, got {count} and "
                "one more; wait until some have ended, or cancel them."
            )
