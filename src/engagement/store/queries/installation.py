"""Asks the state database about the installation's own values, and exchanges its keys."""

from collections import Counter
from collections.abc import Callable, Mapping

import sqlalchemy as sa

from engagement.exceptions import IllegalStateError
from engagement.store.queries.upserts import insert_into
from engagement.store.tables import export_tasks, import_tasks, installation
from engagement.store.vault import key_id_of

TENANT_ID = "tenant_id"
VAULT_KEY_ID = "vault_key_id"
"""The id of the key that everything is sealed with."""
SIGNING_KEY = "signing_key"
"""The private key of the access tokens, sealed; its context is its name."""
FORMER_SIGNING_KEYS = "former_signing_keys"
"""The public keys of tokens that may not have ended yet."""
_SEALED_URLS = (export_tasks.c.sealed_container_url, import_tasks.c.sealed_storage_url)
"""What else is sealed, each in the context of its task's id."""


class InstallationQueries:
    """The installation's own values, and all that is sealed with its key."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._reading = engine.execution_options(read_only=True)

    def value(self, name: str, first: bytes) -> bytes:
        """The installation's value of this name; of several first ones, one stays for ever."""
        with self._engine.begin() as connection:
            kept = _value(connection, name)
            if kept is None:
                add = insert_into(installation, connection.dialect.name)
                connection.execute(add.on_conflict_do_nothing(), {"name": name, "value": first})
                kept = _value(connection, name)  # another process may have been first
        return first if kept is None else kept

    def find_value(self, name: str) -> bytes | None:
        """The installation's value of this name; None if there is none yet."""
        with self._reading.begin() as connection:
            return _value(connection, name)

    def set_value(self, name: str, value: bytes) -> None:
        """Return only when the installation's value of this name is another one, for good."""
        with self._engine.begin() as connection:
            connection.execute(installation.delete().where(installation.c.name == name))
            connection.execute(installation.insert().values(name=name, value=value))

    def delete_value(self, name: str) -> None:
        """Return only when the installation has no value of this name."""
        with self._engine.begin() as connection:
            connection.execute(installation.delete().where(installation.c.name == name))

    def count_sealed(self) -> Counter[bytes]:
        """How many texts are sealed with each key, by the key's id."""
        with self._reading.begin() as connection:
            signing_key = _value(connection, SIGNING_KEY)
            sealed = [] if signing_key is None else [signing_key]
            for column in _SEALED_URLS:
                sealed += connection.scalars(sa.select(column).where(column.is_not(None)))
        return Counter(map(key_id_of, sealed))

    def exchange_keys(
        self,
        values: Mapping[str, bytes],
        *,
        reseal: Callable[[bytes, str], bytes],
        before_commit: Callable[[], None],
    ) -> None:
        """Set values and seal everything anew, all of it or nothing.

        Args:
            values: The id of the new key, and what else is the installation's, by name.
            reseal: Seals a text anew, given the text as it is sealed and its context.
            before_commit: Called when all is done and nothing is to be seen of it yet.
        """
        with self._engine.begin() as connection:
            _value(connection, VAULT_KEY_ID, lock=True)
            for column in _SEALED_URLS:
                task_id = column.table.c.task_id
                query = sa.select(task_id, column).where(column.is_not(None))
                for context, sealed in connection.execute(query).all():
                    update = sa.update(column.table).where(task_id == context)
                    connection.execute(update.values({column.name: reseal(sealed, context)}))
            connection.execute(installation.delete().where(installation.c.name.in_(values)))
            rows = [{"name": name, "value": value} for name, value in values.items()]
            connection.execute(installation.insert(), rows)
            before_commit()


def check_sealing_key(connection: sa.Connection, sealed: bytes) -> None:
    """Return only if the key that a text was sealed with is the installation's until the commit.

    Raises:
        IllegalStateError: The key was exchanged after this process had read it.
    """
    key_id = _value(connection, VAULT_KEY_ID, share=True)
    if key_id is not None and key_id != key_id_of(sealed):
        raise IllegalStateError(
            "The vault's key was exchanged since this process began; run the command again."
        )


def _value(
    connection: sa.Connection, name: str, *, lock: bool = False, share: bool = False
) -> bytes | None:
    query = sa.select(installation.c.value).where(installation.c.name == name)
    if lock or share:  # SQLite has one writer at a time, and leaves that aside
        query = query.with_for_update(read=share)
    kept = connection.scalar(query)
    return None if kept is None else bytes(kept)
