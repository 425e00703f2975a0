"""The operations on the keys that devices of an app write with."""

from contextlib import suppress
from datetime import datetime, timedelta

from engagement.exceptions import (
    BadInputError,
    IllegalStateError,
    NotAuthenticatedError,
    RequestTooLargeError,
    StorageFullError,
    StorageUnavailableError,
)
from engagement.model.apps import App, AppKey, NewAppKey, app_key_id, hash_app_key, new_app_key
from engagement.model.audit import Action
from engagement.operations.audit import record_change
from engagement.runtime.opening import Runtime, keep_app_file
from engagement.store.app_files import RegisteredKey

KEY_NAME_CHARACTERS_MAX = 64
KEYS_MAX = 50
"""Keys of one app that devices can write with at a time."""
KEY_DAYS_MAX = 36_500
KEEP_HOURS_DEFAULT = 24 * 90
"""How long a key that was exchanged goes on: apps that are installed learn of the new one late."""
KEEP_HOURS_MAX = 24 * 3_650
USE_STEP = timedelta(minutes=10)
"""How exactly it is kept when a key was used last, so that a use hardly ever costs a write."""


def app_of_key(runtime: Runtime, key: str) -> App:
    """The app whose devices write with this key.

    Raises:
        NotAuthenticatedError: There is none, or the key has ended.
    """
    now = runtime.clock()
    key_sha256 = hash_app_key(key)
    found = runtime.app_keys.find_app(key_sha256, now=now)
    if found is None:
        raise NotAuthenticatedError("The app key is not one of an app.")
    app, last_used_at = found
    if last_used_at is None or abs(now - last_used_at) >= USE_STEP:
        # What a device posts is kept, or refused, whether or not this can be.
        with suppress(StorageFullError, StorageUnavailableError):
            runtime.app_keys.record_use(key_sha256, used_at=now)
    return app


def list_keys(runtime: Runtime, app_id: str) -> list[AppKey]:
    """The keys of an app, the oldest first, those that have ended too.

    Raises:
        UnknownAppError: No app has this id.
    """
    runtime.apps.get(app_id)
    return runtime.app_keys.list_of(app_id)


def create_key(
    runtime: Runtime, app_id: str, *, name: str, ends_at: datetime | None = None
) -> NewAppKey:
    """A further key of an app, shown this once.

    Args:
        runtime: The service.
        app_id: The app.
        name: 1 to 64 printable characters; names need not be new.
        ends_at: When it ends by itself; None if it does not.

    Raises:
        UnknownAppError: No app has this id.
        BadInputError: The name or the end cannot be.
        RequestTooLargeError: The app has as many keys as it may.
    """
    now = runtime.clock()
    _require_room(runtime, app_id, now)
    key, registered = _new_key(name, ends_at, now)
    subject = f"key {app_key_id(registered.key_sha256)} {registered.name!r}"
    record_change(runtime, Action.KEY_CREATE, app_id=app_id, subject=subject)
    runtime.app_keys.add(app_id, registered)
    return _make_new_app_key(runtime, app_id, key, registered)


def rotate_key(
    runtime: Runtime,
    app_id: str,
    key_id: str,
    *,
    ends_at: datetime | None = None,
    keep_hours: int = KEEP_HOURS_DEFAULT,
) -> NewAppKey:
    """A new key with the name of an old one, shown this once; the old one goes on for some hours.

    Args:
        runtime: The service.
        app_id: The app.
        key_id: The old key's id, or its name if one living key alone has it.
        ends_at: When the new key ends by itself; None if it does not.
        keep_hours: Hours for which devices can go on to write with the old one.

    Raises:
        UnknownAppError: No app has this id.
        UnknownAppKeyError: The app has no such key.
        IllegalStateError: The old key has ended.
        BadInputError: The end or the hours cannot be.
    """
    now = runtime.clock()
    if not 0 <= keep_hours <= KEEP_HOURS_MAX:
        raise BadInputError(f"A key can go on for 0 to {KEEP_HOURS_MAX} hours, got {keep_hours}.")
    old = find_key(runtime, app_id, key_id)
    if not old.is_live(now):
        raise IllegalStateError("A key that has ended gets no successor; create another key.")
    _require_room(runtime, app_id, now)
    key, registered = _new_key(old.name, ends_at, now)
    subject = f"key {old.key_id} {old.name!r} by {app_key_id(registered.key_sha256)}"
    record_change(runtime, Action.KEY_ROTATE, app_id=app_id, subject=subject)
    old_ends_at = now + timedelta(hours=keep_hours)
    runtime.app_keys.exchange(app_id, old.key_id, registered, old_ends_at=old_ends_at)
    return _make_new_app_key(runtime, app_id, key, registered)


def revoke_key(runtime: Runtime, app_id: str, key_id: str) -> AppKey:
    """The key after its end: what devices send with it is refused, everywhere within 2 seconds.

    Args:
        runtime: The service.
        app_id: The app.
        key_id: The key's id, or its name if one living key alone has it.

    Raises:
        UnknownAppError: No app has this id.
        UnknownAppKeyError: The app has no such key.
    """
    key = find_key(runtime, app_id, key_id)
    if key.revoked_at is None:
        subject = f"key {key.key_id} {key.name!r}"
        record_change(runtime, Action.KEY_REVOKE, app_id=app_id, subject=subject)
        runtime.app_keys.revoke(app_id, key.key_id, now=runtime.clock())
    keep_app_file(runtime, app_id)
    return runtime.app_keys.get(app_id, key.key_id)


def find_key(runtime: Runtime, app_id: str, key_id: str) -> AppKey:
    """The key of an app with this id; or with this name, if one living key alone has it.

    Raises:
        UnknownAppError: No app has this id.
        UnknownAppKeyError: The app has no such key.
        BadInputError: Several living keys have the name.
    """
    now = runtime.clock()
    named = [key for key in list_keys(runtime, app_id) if key.name == key_id and key.is_live(now)]
    if len(named) > 1:
        ids = ", ".join(key.key_id for key in named)
        raise BadInputError(f"Several keys have the name {key_id[:80]!r}; give an id: {ids}.")
    return named[0] if named else runtime.app_keys.get(app_id, key_id)


def _require_room(runtime: Runtime, app_id: str, now: datetime) -> None:
    living = sum(key.is_live(now) for key in list_keys(runtime, app_id))
    if living >= KEYS_MAX:
        raise RequestTooLargeError(
            f"An app may have {KEYS_MAX} keys at a time, and has {living}; revoke one first."
        )


def _new_key(name: str, ends_at: datetime | None, now: datetime) -> tuple[str, RegisteredKey]:
    if not 0 < len(name) <= KEY_NAME_CHARACTERS_MAX or not name.isprintable():
        raise BadInputError(
            f"A key's name must have 1 to {KEY_NAME_CHARACTERS_MAX} printable characters, "
            f"got {name[:80]!r}."
        )
    if ends_at is not None and not now < ends_at <= now + timedelta(days=KEY_DAYS_MAX):
        raise BadInputError(
            f"A key must end after now and within {KEY_DAYS_MAX} days, got {ends_at.isoformat()}."
        )
    key = new_app_key()
    return key, RegisteredKey(
        name=name, key_sha256=hash_app_key(key), created_at=now, ends_at=ends_at
    )


def _make_new_app_key(
    runtime: Runtime, app_id: str, key: str, registered: RegisteredKey
) -> NewAppKey:
    keep_app_file(runtime, app_id)
    kept = runtime.app_keys.get(app_id, app_key_id(registered.key_sha256))
    return NewAppKey(key=kept, app_key=key)
