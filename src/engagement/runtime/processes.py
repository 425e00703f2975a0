"""What a process of the service asks of the system: descriptors, and an end with its parent."""

import contextlib
import ctypes
import os
import resource
import signal

DESCRIPTORS_MAX = 1_048_576
"""Some systems name no limit, and refuse to be asked for all."""
_PR_SET_PDEATHSIG = 1


def raise_descriptor_limit() -> int:
    """Allow this process, and those that it starts, as many files as may be; how many.

    Systems allow few by default, for the sake of programs that scan a table of all.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS_MAX if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS_MAX)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(ValueError, OSError):  # some allow less than they say
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return DESCRIPTORS_MAX if allowed == resource.RLIM_INFINITY else allowed


def end_with_parent(parent_pid: int) -> None:
    """Let the kernel kill this process when its parent dies, even one that is stopped.

    Where the kernel knows no such wish, the process must notice by itself.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:  # it died before the wish was made
        os._exit(1)
