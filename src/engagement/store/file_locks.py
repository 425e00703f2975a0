"""Locks files that stand for what only one process may have."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engagement.exceptions import EngagementError

POLL_SECONDS = 0.01


@contextmanager
def lock_file(path: Path, *, seconds_max: float, busy: EngagementError) -> Iterator[int]:
    """Hold the lock of a file in the block.

    Args:
        path: The file; it is made if it is not there.
        seconds_max: How long to wait for another process to let go of it.
        busy: What is raised if that one does not.

    Returns:
        The descriptor that holds the lock; a process that inherits it holds it too.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        deadline = time.monotonic() + seconds_max
        while not _is_locked(descriptor):
            if time.monotonic() > deadline:
                raise busy
            time.sleep(POLL_SECONDS)
        yield descriptor
    finally:
        os.close(descriptor)


def _is_locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
