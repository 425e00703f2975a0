"""Tests that a log which cannot be written is not missed by those who write it."""

import subprocess
import sys
from pathlib import Path

import pytest

FULL = Path("/dev/full")
LOGS = """
import logging
import structlog
from engagement.runtime.logging import start_logging
start_logging()
for _ in range(1_000):
    structlog.get_logger().error("lost", text="x" * 1_000)
    logging.getLogger("library").error("lost")
print("done")
"""


@pytest.mark.skipif(not FULL.exists(), reason="needs a file that is always full")
def test_a_log_that_cannot_be_written_stops_nobody() -> None:
    with FULL.open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", LOGS], stdout=subprocess.PIPE, stderr=full, check=False
        )

    assert done.stdout == b"done\n"


def test_a_level_leaves_out_what_is_below_it() -> None:
    logs = LOGS.replace("start_logging()", 'start_logging("error")').replace(
        "1_000):",
        '2):\n    structlog.get_logger().warning("below")\n    structlog.get_logger().info("x")',
    )

    done = subprocess.run([sys.executable, "-c", logs], capture_output=True, check=True)

    assert b"lost" in done.stderr
    assert b"below" not in done.stderr
