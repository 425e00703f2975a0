"""Asks the state database about the keys that devices of apps write with."""

from collections.abc import Iterable
from datetime import datetime

import sqlalchemy as sa

from engagement.exceptions import UnknownAppKeyError
from engagement.model.apps import App, AppKey, app_key_id
from engagement.store.app_files import RegisteredKey
from engagement.store.tables import app_keys, apps


class AppKeyQueries:
    """The hashes of keys, and what is known of each."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._reading = engine.execution_options(read_only=True)

    def find_app(self, key_sha256: str, *, now: datetime) -> tuple[App, datetime | None] | None:
        """The app that a key writes to now, and when it was used last as far as is kept."""
        columns = [apps.c[name] for name in App.__dataclass_fields__]
        query = (
            sa.select(*columns, app_keys.c.last_used_at)
            .join(app_keys, app_keys.c.app_id == apps.c.app_id)
            .where(app_keys.c.key_sha256 == key_sha256, _is_live(now))
        )
        with self._reading.begin() as connection:
            row = connection.execute(query).mappings().first()
        if row is None:
            return None
        return App(**{name: row[name] for name in App.__dataclass_fields__}), row["last_used_at"]

    def record_use(self, key_sha256: str, *, used_at: datetime) -> None:
        """Keep that a key was used."""
        with self._engine.begin() as connection:
            connection.execute(
                app_keys.update()
                .where(app_keys.c.key_sha256 == key_sha256)
                .values(last_used_at=used_at)
            )

    def list_of(self, app_id: str) -> list[AppKey]:
        """The keys of an app, the oldest first, those that have ended too."""
        with self._reading.begin() as connection:
            return [_key(row) for row in connection.execute(_of(app_id))]

    def get(self, app_id: str, key_id: str) -> AppKey:
        """The key of an app with this id.

        Raises:
            UnknownAppKeyError: The app has none.
        """
        for key in self.list_of(app_id):
            if key.key_id == key_id:
                return key
        raise UnknownAppKeyError(
            f"The app has no key with the id {key_id[:60]!r}; "
            "`engagement apps keys list` shows all."
        )

    def list_registered(self, app_id: str) -> tuple[RegisteredKey, ...]:
        """The keys of an app that were not revoked, with their hashes, the oldest first."""
        query = _of(app_id).where(app_keys.c.revoked_at.is_(None))
        with self._reading.begin() as connection:
            return tuple(
                RegisteredKey(
                    name=row.name,
                    key_sha256=row.key_sha256,
                    created_at=row.created_at,
                    ends_at=row.ends_at,
                )
                for row in connection.execute(query)
            )

    def add(self, app_id: str, key: RegisteredKey) -> None:
        """Keep a new key of an app."""
        with self._engine.begin() as connection:
            insert_keys(connection, app_id, [key])

    def exchange(
        self, app_id: str, old_id: str, new: RegisteredKey, *, old_ends_at: datetime
    ) -> None:
        """Keep a new key of an app, and let an old one end, unless it ends sooner."""
        later = sa.or_(app_keys.c.ends_at.is_(None), app_keys.c.ends_at > old_ends_at)
        with self._engine.begin() as connection:
            insert_keys(connection, app_id, [new])
            connection.execute(
                app_keys.update().where(_is(app_id, old_id), later).values(ends_at=old_ends_at)
            )

    def revoke(self, app_id: str, key_id: str, *, now: datetime) -> None:
        """End a key for good."""
        with self._engine.begin() as connection:
            connection.execute(
                app_keys.update()
                .where(_is(app_id, key_id), app_keys.c.revoked_at.is_(None))
                .values(revoked_at=now)
            )


def insert_keys(connection: sa.Connection, app_id: str, keys: Iterable[RegisteredKey]) -> None:
    """Keep keys of an app, in the transaction that needs them."""
    for key in keys:
        connection.execute(
            app_keys.insert().values(
                app_id=app_id,
                key_sha256=key.key_sha256,
                name=key.name,
                created_at=key.created_at,
                ends_at=key.ends_at,
            )
        )


def _of(app_id: str) -> sa.Select[tuple[object, ...]]:
    query = sa.select(app_keys).where(app_keys.c.app_id == app_id)
    return query.order_by(app_keys.c.created_at, app_keys.c.key_sha256)


def _is(app_id: str, key_id: str) -> sa.ColumnElement[bool]:
    return sa.and_(
        app_keys.c.app_id == app_id, app_keys.c.key_sha256.startswith(key_id, autoescape=True)
    )


def _is_live(now: datetime) -> sa.ColumnElement[bool]:
    return sa.and_(
        app_keys.c.revoked_at.is_(None),
        sa.or_(app_keys.c.ends_at.is_(None), app_keys.c.ends_at > now),
    )


def _key(row: sa.Row[tuple[object, ...]]) -> AppKey:
    return AppKey(
        key_id=app_key_id(row.key_sha256),
        name=row.name,
        created_at=row.created_at,
        ends_at=row.ends_at,
        revoked_at=row.revoked_at,
        last_used_at=row.last_used_at,
    )
