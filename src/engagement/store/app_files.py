"""Keeps what is needed to register an app again beside its tables, in case the state is lost."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from engagement.exceptions import BadInputError, LakeDamagedError
from engagement.model.apps import FIRST_KEY_NAME, App
from engagement.model.codec import decode, encode
from engagement.store.durable import sync_path, write_synced

APP_FILE = "app.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredKey:
    """A key of an app as the service knows it."""

    name: str
    """The operator's own words."""
    key_sha256: str
    """Hash of the key; the key itself is nowhere."""
    created_at: datetime
    """When it was made."""
    ends_at: datetime | None = None
    """When it ends by itself; None if it does not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredApp:
    """An app with the keys that its devices write with."""

    app: App
    """The app."""
    keys: tuple[RegisteredKey, ...]
    """Its keys that were not revoked, the oldest first."""
    created_at: datetime
    """When it was registered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _OneKeyApp:
    """An app as earlier releases kept it, which had one key each."""

    app: App
    key_sha256: str
    created_at: datetime


def write_app_file(lake: Path, registered: RegisteredApp) -> None:
    """Return only when what is known of an app is on disk beside its tables, whole."""
    folder = lake / registered.app.app_id
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / APP_FILE
    text = encode(registered)
    if file.is_file() and file.read_text(encoding="utf-8") == text:
        return
    new = folder / f"_{APP_FILE}.new"
    write_synced(new, text.encode())
    new.replace(file)
    for each in (folder, lake, lake.parent):
        sync_path(each)


def read_app_file(lake: Path, app_id: str) -> RegisteredApp | None:
    """What is known of an app by its file; None if there is none.

    Raises:
        LakeDamagedError: The file cannot be read as what it should be.
    """
    file = lake / app_id / APP_FILE
    if not file.is_file():
        return None
    try:
        return _read(file.read_text(encoding="utf-8"))
    except (ValueError, BadInputError) as error:
        raise LakeDamagedError(f"The app's file {file} cannot be read: {error}.") from error


def register_first_key(app: App, key_sha256: str, created_at: datetime) -> RegisteredApp:
    """An app as it is registered, with one key."""
    key = RegisteredKey(name=FIRST_KEY_NAME, key_sha256=key_sha256, created_at=created_at)
    return RegisteredApp(app=app, keys=(key,), created_at=created_at)


def _read(text: str) -> RegisteredApp:
    try:
        return decode(text, RegisteredApp)
    except ValueError:
        old = decode(text, _OneKeyApp)
        return register_first_key(old.app, old.key_sha256, old.created_at)
