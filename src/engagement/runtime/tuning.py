"""Tuning of a process: its garbage collector and its C library's memory."""

import contextlib
import ctypes
import gc

GC_THRESHOLD = 50_000
"""Objects from one garbage collection to the next. Python's own 700 are made by seven messages, so
that a quarter of decoding was collecting."""
COLLECTIONS_EACH = 10
"""Garbage collections of young objects to one of older ones; Python's own number."""
COLLECTIONS_EACH_LOADING = 100
"""The same while modules are loaded, which makes many objects and no garbage: with Python's own
numbers every command looked through all of them again and again, for a fifth of a second."""
ARENAS_MAX = 2
"""Pools to take memory from. One for each thread would keep the largest body that each has read."""
MAPPED_BYTES_MIN = 256 * 1024
"""What is larger has a mapping of its own, and is the system's again once it is let go."""
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8


def relax_garbage_collector() -> None:
    """Collect rarely while the process loads its modules."""
    gc.set_threshold(GC_THRESHOLD, COLLECTIONS_EACH_LOADING, COLLECTIONS_EACH_LOADING)


def tune_garbage_collector() -> None:
    """Collect less often, and never again look through what the process has made so far."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD, COLLECTIONS_EACH, COLLECTIONS_EACH)


def skip_last_collection() -> None:
    """Let the process end without looking through all that it holds, which ends with it anyway."""
    gc.freeze()


def limit_malloc_arenas() -> None:
    """Let a process's memory follow what it holds, where the C library is glibc's."""
    with contextlib.suppress(OSError, AttributeError):  # other libraries have no such switch
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_ARENA_MAX, ARENAS_MAX)
        mallopt(_M_MMAP_THRESHOLD, MAPPED_BYTES_MIN)
