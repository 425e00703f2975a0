"""Tests that a process ends with its parent."""

import os
import subprocess
import sys

from support.waiting import WAIT_SECONDS_MAX


def test_a_process_whose_parent_is_another_by_now_ends() -> None:
    code = "from engagement.runtime.processes import end_with_parent; end_with_parent({}); exit(7)"

    def status(parent_pid: int) -> int:
        command = [sys.executable, "-c", code.format(parent_pid)]
        return subprocess.run(command, check=False, timeout=WAIT_SECONDS_MAX).returncode

    assert (status(os.getpid()), status(1)) == (7, 1)
