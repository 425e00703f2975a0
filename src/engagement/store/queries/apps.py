"""Asks the state database about apps."""

from dataclasses import asdict
from datetime import datetime

import sqlalchemy as sa

from engagement.exceptions import BadInputError, UnknownAppError
from engagement.model.apps import App
from engagement.store.app_files import RegisteredApp
from engagement.store.tables import apps


class AppQueries:
    """Apps and the hashes of their keys."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._reading = engine.execution_options(read_only=True)

    def add(self, app: App, *, key_sha256: str, created_at: datetime) -> None:
        """Keep a new app.

        Raises:
            BadInputError: An app with this name exists in the collection.
        """
        row = asdict(app) | {"key_sha256": key_sha256, "created_at": created_at}
        try:
            with self._engine.begin() as connection:
                connection.execute(apps.insert().values(row))
        except sa.exc.IntegrityError as error:
            raise BadInputError(
                f"The app name must be new in its collection, got {app.name!r}, "
                f"which exists in {app.collection!r}."
            ) from error

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

    def of_key(self, key_sha256: str) -> App | None:
        """The app whose key has this hash; None if there is none."""
        found = self._select(apps.c.key_sha256 == key_sha256)
        return found[0] if found else None

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

    def list_registered(self) -> list[RegisteredApp]:
        """Every app with what is known of its key, oldest first."""
        query = sa.select(apps).order_by(apps.c.created_at, apps.c.app_id)
        with self._reading.begin() as connection:
            return [
                RegisteredApp(
                    app=App(**{name: row[name] for name in App.__dataclass_fields__}),
                    key_sha256=row["key_sha256"],
                    created_at=row["created_at"],
                )
                for row in connection.execute(query).mappings()
            ]

    def _select(self, condition: sa.ColumnElement[bool]) -> list[App]:
        columns = [apps.c[name] for name in App.__dataclass_fields__]
        query = sa.select(*columns).where(condition).order_by(apps.c.created_at, apps.c.app_id)
        with self._reading.begin() as connection:
            return [App(**row) for row in connection.execute(query).mappings()]
