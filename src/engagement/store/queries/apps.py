"""Asks the state database about apps."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime, timedelta

import sqlalchemy as sa

from engagement.exceptions import BadInputError, UnknownAppError
from engagement.model.access import Scope
from engagement.model.apps import App
from engagement.store.app_files import RegisteredApp
from engagement.store.queries.app_keys import insert_keys
from engagement.store.tables import InstantColumn, app_keys, apps, clients, deleted_apps


class AppQueries:
    """Registered apps."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._reading = engine.execution_options(read_only=True)

    def add(self, registered: RegisteredApp) -> None:
        """Keep a new app with its keys.

        Raises:
            BadInputError: An app with this name exists in the collection.
        """
        app = registered.app
        row = asdict(app) | {"created_at": registered.created_at}
        try:
            with self._engine.begin() as connection:
                connection.execute(apps.insert().values(row))
                insert_keys(connection, app.app_id, registered.keys)
        except sa.exc.IntegrityError as error:
            raise BadInputError(
                f"The app name must be new in its collection, got {app.name!r}, "
                f"which exists in {app.collection!r}."
            ) from error

    def rename(self, app_id: str, name: str, *, scopes: Mapping[str, Scope]) -> None:
        """Give an app another name, and clients, by their ids, the scopes that name it.

        Raises:
            BadInputError: An app with this name exists in the collection.
        """
        try:
            with self._engine.begin() as connection:
                connection.execute(apps.update().where(apps.c.app_id == app_id).values(name=name))
                for client_id, scope in scopes.items():
                    own = clients.c.client_id == client_id
                    connection.execute(clients.update().where(own).values(scope=scope.path))
        except sa.exc.IntegrityError as error:
            raise BadInputError(
                f"The app name must be new in its collection, got {name!r}, which exists."
            ) from error

    def delete(self, app_id: str, *, deleted_at: datetime) -> None:
        """Mark an app as deleted: it and its keys are unknown from now on."""
        with self._engine.begin() as connection:
            connection.execute(deleted_apps.delete().where(deleted_apps.c.app_id == app_id))
            connection.execute(deleted_apps.insert().values(app_id=app_id, deleted_at=deleted_at))
            connection.execute(app_keys.delete().where(app_keys.c.app_id == app_id))
            connection.execute(apps.delete().where(apps.c.app_id == app_id))

    def get(self, app_id: str) -> App:
        """The app with this id.

        Raises:
            UnknownAppError: There is none.
        """
        found = self._select(apps.c.app_id == app_id)
        if not found:
            raise UnknownAppError(
                f"No app has the id {app_id!r}; `engagement apps list` shows all."
            )
        return found[0]

    def find(
        self, *, subscription: str, resource_group: str, collection: str, name: str
    ) -> App | None:
        """The app at a resource path, whatever its upper and lower case; None if there is none."""
        names = {
            apps.c.subscription: subscription,
            apps.c.resource_group: resource_group,
            apps.c.collection: collection,
            apps.c.name: name,
        }
        found = self._select(
            sa.and_(*(sa.func.lower(column) == value.lower() for column, value in names.items()))
        )
        return found[0] if found else None

    def list_all(self) -> list[App]:
        """Every app, oldest first."""
        return self._select(sa.true())

    def read_created_at(self, app_id: str) -> datetime | None:
        """When an app was registered; None if there is none."""
        query = sa.select(apps.c.created_at).where(apps.c.app_id == app_id)
        with self._reading.begin() as connection:
            found: datetime | None = connection.scalar(query)
        return found

    def set_retention(self, app_id: str, days: int | None) -> None:
        """Keep so many days of an app's history from now on; None keeps all."""
        changed = apps.update().where(apps.c.app_id == app_id).values(retention_days=days)
        with self._engine.begin() as connection:
            connection.execute(changed)

    def list_untidied(self, *, now: datetime, since: timedelta) -> list[str]:
        """The ids of the apps that were tidied last, or registered, so long ago or longer.

        What seems to lie ahead, since the clock was set back, is taken for long ago.
        """
        last = sa.func.coalesce(apps.c.tidied_at, apps.c.created_at, type_=InstantColumn)
        query = sa.select(apps.c.app_id).where(sa.not_(last.between(now - since, now)))
        with self._reading.begin() as connection:
            return list(connection.scalars(query.order_by(last, apps.c.app_id)))

    def list_tidied(self) -> dict[str, datetime | None]:
        """When all upkeep of each app was done last, by its id; None if it never was."""
        query = sa.select(apps.c.app_id, apps.c.tidied_at).order_by(apps.c.created_at)
        with self._reading.begin() as connection:
            return {row.app_id: row.tidied_at for row in connection.execute(query)}

    def mark_tidied(self, app_id: str, at: datetime) -> None:
        """Remember when all upkeep of an app was done."""
        with self._engine.begin() as connection:
            connection.execute(apps.update().where(apps.c.app_id == app_id).values(tidied_at=at))

    def _select(self, condition: sa.ColumnElement[bool]) -> list[App]:
        columns = [apps.c[name] for name in App.__dataclass_fields__]
        query = sa.select(*columns).where(condition).order_by(apps.c.created_at, apps.c.app_id)
        with self._reading.begin() as connection:
            return [App(**row) for row in connection.execute(query).mappings()]
