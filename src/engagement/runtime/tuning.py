"""Tuning of a process that serves for long: its garbage collector and its C library's memory."""

import contextlib
import ctypes
import gc

GC_THRESHOLD = 50_000
"""Objects from one garbage collection to the next. Python's own 700 are made by seven messages, so
that a quarter of decoding was collecting."""
ARENAS_MAX = 2
"""Pools to take memory from. One for each thread would keep the largest body that each has read."""
MAPPED_BYTES_MIN = 256 * 1024
"""What is larger has a mapping of its own, and is the system's again once it is let go."""
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8


def tune_garbage_collector() -> None:
    """Collect less often, and never again look through what the process has made so far."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)


def limit_malloc_arenas() -> None:
    """Let a process's memory follow what it holds, where the C library is glibc's."""
    with contextlib.suppress(OSError, AttributeError):  # other libraries have no such switch
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_ARENA_MAX, ARENAS_MAX)
        mallopt(_M_MMAP_THRESHOLD, MAPPED_BYTES_MIN)
