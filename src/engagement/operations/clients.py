"""The operations on the API's clients: who may ask for tokens."""

import hashlib
import hmac
import secrets
import uuid
from datetime import timedelta

from engagement.exceptions import BadInputError, IllegalStateError, UnknownClientError
from engagement.model.access import ApiClient, NewClient, ProvenClient, Role, Scope
from engagement.model.audit import Action
from engagement.operations.audit import record_change
from engagement.runtime.opening import Runtime
from engagement.store.queries.installation import TENANT_ID

CLIENT_NAME_CHARACTERS_MAX = 64
SECRET_BYTES = 32
SECRET_DAYS_MAX = 3_650
SECRET_ID_CHARACTERS = 16
"""So much of a secret's hash names it: enough to tell a client's few secrets apart."""


def tenant_id(runtime: Runtime) -> str:
    """The id of the directory that issues this installation's tokens; it never changes."""
    return runtime.installation.value(TENANT_ID, str(uuid.uuid4()).encode()).decode()


def create_client(
    runtime: Runtime, *, name: str, role: Role, scope: Scope, secret_days: int | None = None
) -> NewClient:
    """A registered client, with the secret that is shown this once.

    Args:
        runtime: The service.
        name: 1 to 64 printable characters, new.
        role: What it may do.
        scope: Where it may do it.
        secret_days: Days until the secret ends; the setting's if absent.

    Raises:
        BadInputError: The name or the days cannot be used, or the name exists.
    """
    if not 0 < len(name) <= CLIENT_NAME_CHARACTERS_MAX or not name.isprintable():
        raise BadInputError(
            f"A client's name must have 1 to {CLIENT_NAME_CHARACTERS_MAX} printable characters, "
            f"got {name[:80]!r}."
        )
    now = runtime.clock()
    expires_at = now + timedelta(days=_checked_days(runtime, secret_days))
    client = ApiClient(
        client_id=str(uuid.uuid4()),
        name=name,
        role=role,
        scope=scope,
        created_at=now,
        secret_expires_at=expires_at,
        tokens_from=now,
        revoked_at=None,
    )
    secret = _new_secret()
    subject = f"client {client.client_id} {name!r}, {role.value} of {scope.path}"
    record_change(runtime, Action.CLIENT_CREATE, subject=subject)
    runtime.clients.add(client, secret_sha256=_digest(secret), expires_at=expires_at)
    return NewClient(tenant_id=tenant_id(runtime), client=client, client_secret=secret)


def rotate_client(
    runtime: Runtime, client_id: str, *, secret_days: int | None = None, keep_hours: int = 0
) -> NewClient:
    """The client with a new secret, shown this once; the old ones end after some hours.

    What ends with a secret are the tokens that it got, too.

    Raises:
        UnknownClientError: No client has this id or name.
        IllegalStateError: It was revoked.
    """
    client = runtime.clients.get(client_id)
    if client.revoked_at is not None:
        raise IllegalStateError("A revoked client gets no new secret; create another client.")
    now = runtime.clock()
    secret = _new_secret()
    subject = f"client {client.client_id} {client.name!r}"
    record_change(runtime, Action.CLIENT_ROTATE, subject=subject)
    runtime.clients.rotate(
        client.client_id,
        secret_sha256=_digest(secret),
        expires_at=now + timedelta(days=_checked_days(runtime, secret_days)),
        others_end_at=now + timedelta(hours=keep_hours),
    )
    return NewClient(
        tenant_id=tenant_id(runtime),
        client=runtime.clients.get(client.client_id),
        client_secret=secret,
    )


def revoke_client(runtime: Runtime, client_id: str) -> ApiClient:
    """The client after its end: it gets no tokens, and those it has are refused.

    Raises:
        UnknownClientError: No client has this id or name.
    """
    client = runtime.clients.get(client_id)
    subject = f"client {client.client_id} {client.name!r}"
    record_change(runtime, Action.CLIENT_REVOKE, subject=subject)
    runtime.clients.revoke(client.client_id, now=runtime.clock())
    return runtime.clients.get(client.client_id)


def list_clients(runtime: Runtime) -> list[ApiClient]:
    """Every client, oldest first, the revoked ones too."""
    return runtime.clients.list_all()


def get_client(runtime: Runtime, client_id: str) -> ApiClient:
    """The client with this id or name.

    Raises:
        UnknownClientError: There is none.
    """
    return runtime.clients.get(client_id)


def authenticate_client(
    runtime: Runtime, client_id: str, client_secret: str
) -> ProvenClient | None:
    """The client whose secret this is; None says nothing about why it is not.

    Secrets are random, so a plain hash of them is as hard to invert as they are to guess.
    """
    given = _digest(client_secret)
    try:
        client = runtime.clients.get(client_id)
    except UnknownClientError:
        return None
    if client.client_id != client_id or client.revoked_at is not None:
        return None
    kept = runtime.clients.secrets(client_id, now=runtime.clock())
    proven = [ends_at for known, ends_at in kept.items() if hmac.compare_digest(given, known)]
    if not proven:
        return None
    return ProvenClient(client=client, secret_id=_secret_id(given), secret_expires_at=proven[0])


def has_secret(runtime: Runtime, client_id: str, secret_id: str) -> bool:
    """Whether the client still has the secret that this names."""
    kept = runtime.clients.secrets(client_id, now=runtime.clock())
    return secret_id in map(_secret_id, kept)


def _checked_days(runtime: Runtime, days: int | None) -> int:
    chosen = runtime.settings.client_secret_days if days is None else days
    if not 0 < chosen <= SECRET_DAYS_MAX:
        raise BadInputError(
            f"A secret must last 1 to {SECRET_DAYS_MAX} days, got {chosen}; rotate it in time."
        )
    return chosen


def _new_secret() -> str:
    return secrets.token_urlsafe(SECRET_BYTES)


def _secret_id(digest: str) -> str:
    return digest[:SECRET_ID_CHARACTERS]


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
