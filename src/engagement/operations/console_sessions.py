"""The operations on the console's sessions: who is signed in, and for how long."""

import hashlib
import secrets
from datetime import datetime, timedelta

from engagement.exceptions import ForbiddenError, NotAuthenticatedError, UnknownClientError
from engagement.model.access import Caller, Grant, ProvenClient, Role, Scope
from engagement.model.console import (
    ConsoleSession,
    NewConsoleSession,
    SignInCode,
    SignInMethod,
)
from engagement.operations.clients import has_secret
from engagement.runtime.opening import Runtime
from engagement.store.queries.console_sessions import SESSION_ID_CHARACTERS

TOKEN_BYTES = 32
CODE_LIFE = timedelta(minutes=5)
TOUCH_INTERVAL = timedelta(minutes=1)
"""Use is noted as often, so that looking at pages hardly writes."""
OPERATOR = "operator"
"""The subject of a session that a code opened: whoever has the home folder may do everything."""


def create_sign_in_code(runtime: Runtime) -> SignInCode:
    """A code that opens a session once, soon, for whoever has the home folder."""
    code = secrets.token_urlsafe(TOKEN_BYTES)
    ends_at = runtime.clock() + CODE_LIFE
    runtime.console_sessions.add_code(_digest(code), ends_at=ends_at)
    return SignInCode(code=code, ends_at=ends_at)


def open_session_by_code(runtime: Runtime, code: str) -> NewConsoleSession:
    """A new session that may do everything, for a code that is spent by it.

    Raises:
        NotAuthenticatedError: The code is not one, was used before, or has ended.
    """
    if not runtime.console_sessions.spend_code(_digest(code), now=runtime.clock()):
        raise NotAuthenticatedError(
            "The code must be a new one: it works once and for five minutes. "
            "Ask for another: engagement console"
        )
    return _open(
        runtime,
        method=SignInMethod.CODE,
        subject=OPERATOR,
        name="operator",
        grants=(Grant(role=Role.OWNER, scope=Scope()),),
    )


def open_session_of_client(runtime: Runtime, proven: ProvenClient) -> NewConsoleSession:
    """A new session of a client that has just proved its secret, which it does not outlast."""
    client = proven.client
    return _open(
        runtime,
        method=SignInMethod.CLIENT,
        subject=client.client_id,
        name=client.name,
        grants=(Grant(role=client.role, scope=client.scope),),
        secret_id=proven.secret_id,
        ends_at=proven.secret_expires_at,
    )


def open_session_of_user(
    runtime: Runtime, caller: Caller, *, name: str, rights_end_at: datetime
) -> NewConsoleSession:
    """A new session of somebody whom an issuer has just named.

    It ends with the issuer's word, and when the issuer is not trusted any more.

    Args:
        runtime: The service.
        caller: Who it is, by issuer and subject, with the roles that the issuer gives.
        name: Whom to greet.
        rights_end_at: Until when the issuer's word is believed.

    Raises:
        ForbiddenError: The issuer gives no role.
    """
    if not caller.grants:
        roles = ", ".join(Role)
        raise ForbiddenError(
            f"The issuer gives {name!r} no role here: the claim `roles` of its id token must hold "
            f"one of {roles}, alone or with a scope, as {Role.EXPORTER}:/subscriptions/NAME."
        )
    return _open(
        runtime,
        method=SignInMethod.ISSUER,
        subject=caller.client_id,
        name=name,
        grants=caller.grants,
        ends_at=rights_end_at,
    )


def find_console_session(runtime: Runtime, token: str) -> ConsoleSession | None:
    """The session of a cookie, if it still may be used; its client is looked at each time."""
    session = runtime.console_sessions.find(_digest(token))
    if session is None:
        return None
    now = runtime.clock()
    idle = timedelta(minutes=runtime.settings.console_idle_minutes)
    if now >= session.ends_at or now - session.last_used_at >= idle:
        runtime.console_sessions.delete(session.session_id)
        return None
    if session.method is SignInMethod.CLIENT and not _is_client_trusted(runtime, session):
        return None
    if session.method is SignInMethod.ISSUER and not _is_issuer_trusted(runtime, session):
        return None
    if now - session.last_used_at >= TOUCH_INTERVAL:
        runtime.console_sessions.touch(session.session_id, now=now)
    return session


def list_console_sessions(runtime: Runtime) -> list[ConsoleSession]:
    """Who is signed in, the session used last first."""
    return runtime.console_sessions.list_open(now=runtime.clock())


def end_console_session(runtime: Runtime, session_id: str) -> bool:
    """End a session, if there is one; whether there was."""
    return runtime.console_sessions.delete(session_id)


def _open(  # noqa: PLR0913 - all that a session is
    runtime: Runtime,
    *,
    method: SignInMethod,
    subject: str,
    name: str,
    grants: tuple[Grant, ...],
    secret_id: str | None = None,
    ends_at: datetime | None = None,
) -> NewConsoleSession:
    now = runtime.clock()
    token = secrets.token_urlsafe(TOKEN_BYTES)
    digest = _digest(token)
    longest = now + timedelta(hours=runtime.settings.console_session_hours)
    session = ConsoleSession(
        session_id=digest[:SESSION_ID_CHARACTERS],
        method=method,
        subject=subject,
        name=name,
        grants=grants,
        secret_id=secret_id,
        csrf_secret=secrets.token_hex(TOKEN_BYTES),
        created_at=now,
        last_used_at=now,
        ends_at=longest if ends_at is None else min(longest, ends_at),
    )
    runtime.console_sessions.add(session, token_sha256=digest)
    return NewConsoleSession(session=session, token=token)


def _is_client_trusted(runtime: Runtime, session: ConsoleSession) -> bool:
    """Whether the client is as it was: not revoked, with the secret that it proved."""
    try:
        client = runtime.clients.get(session.subject)
    except UnknownClientError:
        return False
    if client.revoked_at is not None or session.created_at < client.tokens_from:
        return False
    return has_secret(runtime, client.client_id, session.secret_id or "")


def _is_issuer_trusted(runtime: Runtime, session: ConsoleSession) -> bool:
    issuer, _, _ = session.subject.partition(" ")
    return issuer in runtime.settings.issuers


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
