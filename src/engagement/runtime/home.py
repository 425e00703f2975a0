"""Locks a home folder for the one process that runs its tasks, and says what others may ask."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from engagement.exceptions import BadInputError, HomeBusyError, StorageFullError
from engagement.model.tag_imports import ImportTask
from engagement.settings import Settings
from engagement.store.file_locks import lock_file

STATE_FILE = "state.db"
LAKE_FOLDER = "lake"
LOCK_SECONDS_MAX = 0.5
"""How long a home folder may stay locked after its process was killed: its worker must notice."""
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerHealth:
    """How what runs tasks is."""

    is_alive: bool
    """Whether it runs now."""
    restarts: int
    """How often it was started anew."""
    silent_seconds: float
    """How long ago it was last heard of."""
    storage_full: StorageFullError | None = None
    """Why tasks in this process do not go on for now; None if they do."""


class TaskRunner(Protocol):
    """Runs flushes, exports and tag imports, in this process or in one that it started."""

    def flush(self, app_id: str) -> int:
        """Return only when what was accepted before is in the lake; how many logs were moved."""

    def submit(self, task_id: str) -> None:
        """See to it that a queued export runs; a repeat changes nothing."""

    def start_import(self, task: ImportTask) -> None:
        """See to it that a queued import of tags runs."""

    def health(self) -> RunnerHealth:
        """How the runner is."""


@contextmanager
def lock_home(home: Path) -> Iterator[int]:
    """Lock a home folder: two processes would flush the same batches and run the same steps.

    Returns:
        The descriptor that holds the lock; a process that inherits it holds it too.

    Raises:
        HomeBusyError: Another process holds the lock.
    """
    busy = HomeBusyError(
        f"The home folder must be free, but another process runs on {home}: "
        "stop it, or wait for its end, and try again. A server can be asked, with "
        "--server or --profile where the command takes them."
    )
    with lock_file(home / "lock", seconds_max=LOCK_SECONDS_MAX, busy=busy) as descriptor:
        yield descriptor


def make_home(home: Path) -> None:
    """Make a home folder that nobody else can read; one that others could read is closed to them.

    A folder that belongs to another user, as a mounted volume may, is taken if only its group and
    its owner may enter it.

    Raises:
        BadInputError: It belongs to another user, and everybody may enter it.
    """
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    found = home.stat()
    if found.st_uid != os.geteuid():
        if found.st_mode & stat.S_IRWXO:
            raise BadInputError(
                f"The home folder must be closed to other users, but everybody may enter {home}."
            )
    elif found.st_mode & _OTHERS:
        _close(home)
        for folder, folders, files in os.walk(home):
            for name in (*folders, *files):
                _close(Path(folder, name))


def _close(path: Path) -> None:
    """Leave what its owner may do, unless it is a link or has just gone."""
    with suppress(FileNotFoundError):
        mode = path.lstat().st_mode
        if not stat.S_ISLNK(mode) and mode & _OTHERS:
            path.chmod(stat.S_IMODE(mode) & stat.S_IRWXU)


def private_file(path: Path) -> Path:
    """The file, readable by its owner alone from its first byte on."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    return path


def state_url(settings: Settings) -> str:
    """Return where the state database is; a file of a home folder is made, if it is not there."""
    if not settings.state_url:
        private_file(settings.home / STATE_FILE)
    return state_location(settings)


def state_location(settings: Settings) -> str:
    """Return where the state database is, whether there is one or not."""
    return settings.state_url or f"sqlite:///{settings.home / STATE_FILE}"


def lake_location(settings: Settings) -> str:
    """Return the folder or URL of the lake."""
    return settings.lake_url or str(settings.home / LAKE_FOLDER)
