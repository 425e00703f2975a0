"""Refuses databases and storages that do not keep what a cluster relies on."""

import secrets
from contextlib import suppress

import sqlalchemy as sa
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import from_url

from engagement.exceptions import StorageUnavailableError, UnsafeStorageError

PROBE_FOLDER = "_probe"
"""Beside the folders of apps, which are called by their ids."""


def check_database(engine: sa.Engine) -> None:
    """Return only if the database server answers when a commit is on disk, and not before.

    Raises:
        UnsafeStorageError: It does not; names the setting.
    """
    for setting in ("fsync", "synchronous_commit"):
        with engine.connect() as connection:
            value = connection.exec_driver_sql(f"SHOW {setting}").scalar()
        if value == "off":
            raise UnsafeStorageError(
                f"PostgreSQL must have {setting} on, got off: what was acknowledged would be lost "
                "with its power."
            )


def check_lake(lake_url: str) -> None:
    """Return only if the lake's storage refuses to write an object a second time.

    Commits are made so. Not tried by commits, since who commits looks first, and would find the
    other one's in nearly every case.

    Raises:
        UnsafeStorageError: It wrote it twice: commits would be lost without a word.
        StorageUnavailableError: It cannot be written to.
    """
    name = f"{PROBE_FOLDER}/{secrets.token_hex(8)}"
    try:
        storage = from_url(lake_url)
        storage.put(name, b"first", mode="create")
        try:
            storage.put(name, b"second", mode="create")
        except AlreadyExistsError:
            return
        finally:
            with suppress(BaseError):
                storage.delete(name)
    except (BaseError, OSError, ValueError) as error:
        raise StorageUnavailableError(
            f"The lake cannot be written to now ({type(error).__name__})."
        ) from error
    raise UnsafeStorageError(
        "The lake's storage must refuse to write an object twice where it is told to "
        f"(If-None-Match: *), but it wrote {name} again."
    )
