"""Asks the state database about the console's sessions, and the codes that open some."""

from datetime import datetime

import sqlalchemy as sa

from engagement.model.access import Grant, Role, Scope
from engagement.model.codec import decode, encode
from engagement.model.console import ConsoleSession, SignInMethod
from engagement.store.tables import console_codes, console_sessions

SESSION_ID_CHARACTERS = 16
"""So much of a cookie's hash names a session in lists."""


class ConsoleSessionQueries:
    """Sessions and codes, by the hashes of what proves them."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._reading = engine.execution_options(read_only=True)

    def add(self, session: ConsoleSession, *, token_sha256: str) -> None:
        """Keep a new session, and forget those that have ended."""
        with self._engine.begin() as connection:
            connection.execute(
                console_sessions.delete().where(console_sessions.c.ends_at <= session.created_at)
            )
            connection.execute(
                console_sessions.insert().values(
                    token_sha256=token_sha256,
                    method=session.method,
                    subject=session.subject,
                    name=session.name,
                    grants=encode([(grant.role, grant.scope.path) for grant in session.grants]),
                    secret_id=session.secret_id,
                    csrf_secret=session.csrf_secret,
                    created_at=session.created_at,
                    last_used_at=session.last_used_at,
                    ends_at=session.ends_at,
                )
            )

    def find(self, token_sha256: str) -> ConsoleSession | None:
        """The session of a cookie; None if there is none."""
        found = self._select(console_sessions.c.token_sha256 == token_sha256)
        return found[0] if found else None

    def list_open(self, *, now: datetime) -> list[ConsoleSession]:
        """The sessions that have not ended, the one used last first."""
        return self._select(console_sessions.c.ends_at > now)

    def touch(self, session_id: str, *, now: datetime) -> None:
        """Note that a session is used."""
        with self._engine.begin() as connection:
            connection.execute(
                console_sessions.update().where(_named(session_id)).values(last_used_at=now)
            )

    def delete(self, session_id: str) -> bool:
        """Forget a session; whether there was one."""
        with self._engine.begin() as connection:
            return (
                connection.execute(console_sessions.delete().where(_named(session_id))).rowcount > 0
            )

    def add_code(self, code_sha256: str, *, ends_at: datetime) -> None:
        """Keep a code."""
        with self._engine.begin() as connection:
            connection.execute(
                console_codes.insert().values(code_sha256=code_sha256, ends_at=ends_at)
            )

    def spend_code(self, code_sha256: str, *, now: datetime) -> bool:
        """Forget a code; whether it was there and had not ended."""
        with self._engine.begin() as connection:
            connection.execute(console_codes.delete().where(console_codes.c.ends_at <= now))
            spent = console_codes.delete().where(console_codes.c.code_sha256 == code_sha256)
            return connection.execute(spent).rowcount == 1

    def _select(self, condition: sa.ColumnElement[bool]) -> list[ConsoleSession]:
        query = sa.select(console_sessions).where(condition)
        order = console_sessions.c.last_used_at.desc(), console_sessions.c.token_sha256
        with self._reading.begin() as connection:
            return [
                ConsoleSession(
                    session_id=row.token_sha256[:SESSION_ID_CHARACTERS],
                    method=SignInMethod(row.method),
                    subject=row.subject,
                    name=row.name,
                    grants=tuple(
                        Grant(role=Role(role), scope=Scope.parse(scope))
                        for role, scope in decode(row.grants, list[tuple[str, str]])
                    ),
                    secret_id=row.secret_id,
                    csrf_secret=row.csrf_secret,
                    created_at=row.created_at,
                    last_used_at=row.last_used_at,
                    ends_at=row.ends_at,
                )
                for row in connection.execute(query.order_by(*order))
            ]


def _named(session_id: str) -> sa.ColumnElement[bool]:
    """Few sessions are open at a time, so no index is needed for a part of the hash."""
    return sa.func.substr(console_sessions.c.token_sha256, 1, SESSION_ID_CHARACTERS) == session_id
