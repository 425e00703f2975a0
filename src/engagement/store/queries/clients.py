"""Asks the state database about the API's clients and their secrets."""

from datetime import datetime

import sqlalchemy as sa

from engagement.exceptions import BadInputError, UnknownClientError
from engagement.model.access import ApiClient, Role, Scope
from engagement.store.tables import client_secrets, clients


class ClientQueries:
    """Clients and the hashes of their secrets."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._reading = engine.execution_options(read_only=True)

    def add(self, client: ApiClient, *, secret_sha256: str, expires_at: datetime) -> None:
        """Keep a new client with its first secret.

        Raises:
            BadInputError: A client has this name.
        """
        try:
            with self._engine.begin() as connection:
                connection.execute(
                    clients.insert().values(
                        client_id=client.client_id,
                        name=client.name,
                        role=client.role,
                        scope=client.scope.path,
                        created_at=client.created_at,
                        tokens_from=client.tokens_from,
                    )
                )
                connection.execute(
                    client_secrets.insert().values(
                        client_id=client.client_id, sha256=secret_sha256, expires_at=expires_at
                    )
                )
        except sa.exc.IntegrityError as error:
            raise BadInputError(
                f"The client's name must be new, got {client.name!r}, which exists."
            ) from error

    def get(self, client_id: str) -> ApiClient:
        """The client with this id or name.

        Raises:
            UnknownClientError: There is none.
        """
        found = self._select(sa.or_(clients.c.client_id == client_id, clients.c.name == client_id))
        if not found:
            raise UnknownClientError(
                f"No client has the id or name {client_id[:80]!r}; "
                "`engagement clients list` shows all."
            )
        return found[0]

    def list_all(self) -> list[ApiClient]:
        """Every client, oldest first."""
        return self._select(sa.true())

    def secrets(self, client_id: str, *, now: datetime) -> dict[str, datetime]:
        """When each of the client's secrets ends that has not, by the secret's SHA-256."""
        query = sa.select(client_secrets.c.sha256, client_secrets.c.expires_at).where(
            client_secrets.c.client_id == client_id, client_secrets.c.expires_at > now
        )
        with self._reading.begin() as connection:
            return {row.sha256: row.expires_at for row in connection.execute(query)}

    def rotate(
        self, client_id: str, *, secret_sha256: str, expires_at: datetime, others_end_at: datetime
    ) -> None:
        """Add a secret; the others end soon."""
        old = client_secrets.c.client_id == client_id
        with self._engine.begin() as connection:
            connection.execute(
                client_secrets.update()
                .where(old, client_secrets.c.expires_at > others_end_at)
                .values(expires_at=others_end_at)
            )
            connection.execute(
                client_secrets.insert().values(
                    client_id=client_id, sha256=secret_sha256, expires_at=expires_at
                )
            )

    def revoke(self, client_id: str, *, now: datetime) -> None:
        """End a client: its secrets are forgotten and its tokens are refused."""
        with self._engine.begin() as connection:
            connection.execute(
                clients.update()
                .where(clients.c.client_id == client_id, clients.c.revoked_at.is_(None))
                .values(revoked_at=now, tokens_from=now)
            )
            connection.execute(
                client_secrets.delete().where(client_secrets.c.client_id == client_id)
            )

    def _select(self, condition: sa.ColumnElement[bool]) -> list[ApiClient]:
        newest = (
            sa.select(sa.func.max(client_secrets.c.expires_at))
            .where(client_secrets.c.client_id == clients.c.client_id)
            .scalar_subquery()
            .label("secret_expires_at")
        )
        query = sa.select(clients, newest).where(condition)
        with self._reading.begin() as connection:
            rows = connection.execute(query.order_by(clients.c.created_at, clients.c.client_id))
            return [
                ApiClient(
                    client_id=row.client_id,
                    name=row.name,
                    role=Role(row.role),
                    scope=Scope.parse(row.scope),
                    created_at=row.created_at,
                    secret_expires_at=row.secret_expires_at,
                    tokens_from=row.tokens_from,
                    revoked_at=row.revoked_at,
                )
                for row in rows
            ]
