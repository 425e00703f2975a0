"""This module keeps the C library from holding on to memory that large bodies took."""

import contextlib
import ctypes

ARENAS_MAX = 2
"""Pools to take memory from. One for each thread would keep the largest body that each has read."""
MAPPED_BYTES_MIN = 256 * 1024
"""What is larger has a mapping of its own, and is the system's again once it is let go."""
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8


def keep_little() -> None:
    """Let a process's memory follow what it holds, where the C library is glibc's."""
    with contextlib.suppress(OSError, AttributeError):  # other libraries have no such switch
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_ARENA_MAX, ARENAS_MAX)
        mallopt(_M_MMAP_THRESHOLD, MAPPED_BYTES_MIN)
