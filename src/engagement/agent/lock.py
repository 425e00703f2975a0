"""Makes one process the only user of a folder."""

import fcntl
import os
import weakref
from pathlib import Path

from engagement.exceptions import BadInputError, HomeBusyError


class FolderLock:
    """Holds a folder until it is released or the process ends, however it ends."""

    def __init__(self, folder: Path) -> None:
        """Take the folder, which is made if it does not exist.

        Raises:
            BadInputError: There cannot be such a folder.
            HomeBusyError: Another agent has it.
        """
        self._descriptor: int | None = None
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self.release()
            raise HomeBusyError(
                f"An agent must have a folder for itself, but another one uses {folder}."
            ) from error
        except OSError as error:
            raise BadInputError(
                f"An agent's folder must be one that can be written, got {folder}: {error}."
            ) from error
        _held.add(self)

    def release(self) -> None:
        """Let the folder go."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


_held: weakref.WeakSet[FolderLock] = weakref.WeakSet()


def _release_in_child() -> None:
    """A forked process shares the lock and would hold it for as long as it lives itself."""
    for lock in list(_held):
        lock.release()


os.register_at_fork(after_in_child=_release_in_child)
