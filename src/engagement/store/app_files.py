"""Keeps what is needed to register an app again beside its tables, in case the state is lost."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from engagement.exceptions import LakeDamagedError
from engagement.model.apps import App
from engagement.model.codec import decode, encode
from engagement.store.durable import sync_path

APP_FILE = "app.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredApp:
    """An app with what the service knows of its key."""

    app: App
    """The app."""
    key_sha256: str
    """Hash of the key that its devices write with; the key itself is nowhere."""
    created_at: datetime
    """When it was registered."""


def write_app_file(lake: Path, registered: RegisteredApp) -> None:
    """Return only when what is known of an app is on disk beside its tables, whole."""
    folder = lake / registered.app.app_id
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / APP_FILE
    text = encode(registered)
    if file.is_file() and file.read_text(encoding="utf-8") == text:
        return
    new = folder / f"_{APP_FILE}.new"
    new.write_text(text, encoding="utf-8")
    sync_path(new)
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
        return decode(file.read_text(encoding="utf-8"), RegisteredApp)
    except ValueError as error:
        raise LakeDamagedError(f"The app's file {file} cannot be read: {error}.") from error
