"""Tries the crash hook in programs that really die."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from engagement import DeviceAgent
from support.device_server import APP_KEY, DeviceClock, device_server
from support.waiting import WAIT_SECONDS_MAX

PROGRAM = f"""
import os, sys, threading
from engagement import DeviceAgent
agent = DeviceAgent("http://127.0.0.1:9", {APP_KEY!r}, folder=sys.argv[1], flush_seconds=60)
"""


def _crashes(folder: Path, code: str, *, status: int) -> tuple[list[dict[str, Any]], str]:
    """What arrives of the crashes of a program without a network, and what it said."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM + code, str(folder)],
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS_MAX,
        check=False,
    )
    assert done.returncode == status, done.stderr
    with (
        device_server() as server,
        DeviceAgent(server.address, APP_KEY, folder=folder, clock=DeviceClock()) as agent,
    ):
        assert agent.flush(WAIT_SECONDS_MAX)
    return [log for log in server.logs if log["type"] == "crash"], done.stderr


def test_a_crash_is_on_disk_before_the_program_dies_of_it(tmp_path: Path) -> None:
    code = """
agent.install_crash_hook()
agent.start_activity("home")
{}["shoes"]
"""
    (crash,), errors = _crashes(tmp_path, code, status=1)

    assert crash["name"] == "KeyError"
    assert crash["stack"].startswith("Traceback (most recent call last):\n")
    assert crash["stack"].endswith("KeyError: 'shoes'\n")
    assert crash["sessionId"]
    assert "KeyError: 'shoes'" in errors  # the hook that was there has had its turn


def test_a_stack_that_is_too_long_keeps_its_end(tmp_path: Path) -> None:
    code = """
agent.install_crash_hook()
raise type("n" * 70 + "\\n", (Exception,), {})("\\udc80" + "x" * 300_000 + " the end")
"""
    (crash,), _ = _crashes(tmp_path, code, status=1)

    assert crash["name"] == "n" * 64
    assert len(crash["stack"]) == 262_144
    assert crash["stack"].endswith("x the end\n")


@pytest.mark.parametrize(
    ("code", "status", "names"),
    [
        pytest.param(
            """
with agent:
    agent.install_crash_hook()
    raise ValueError
""",
            1,
            ["ValueError"],
            id="leaves the block of its agent",
        ),
        pytest.param(
            """
agent.install_crash_hook()
agent.install_crash_hook()
thread = threading.Thread(target=lambda: 1 / 0)
thread.start()
thread.join()
""",
            0,
            ["ZeroDivisionError"],
            id="ends a thread",
        ),
        pytest.param(
            """
sys.excepthook = lambda *_: agent.send_error("seen")
agent.install_crash_hook()
hook = sys.excepthook
sys.excepthook = lambda *seen: hook(*seen)
raise ValueError
""",
            1,
            ["ValueError"],
            id="passes other hooks",
        ),
        pytest.param(
            """
agent.install_crash_hook()
raise KeyboardInterrupt
""",
            -2,
            [],
            id="is an interrupt",
        ),
        pytest.param(
            """
agent.install_crash_hook()
sys.exit(3)
""",
            3,
            [],
            id="is an exit",
        ),
        pytest.param(
            """
agent.install_crash_hook()
agent.close(0)
assert sys.excepthook is sys.__excepthook__
raise ValueError
""",
            1,
            [],
            id="comes after close",
        ),
        pytest.param(
            """
agent.install_crash_hook()
if os.fork() == 0:
    raise ValueError
os.wait()
""",
            0,
            [],
            id="is of a forked process",
        ),
    ],
)
def test_what_the_hook_records_when_an_exception(
    tmp_path: Path, code: str, status: int, names: list[str]
) -> None:
    crashes, _ = _crashes(tmp_path, code, status=status)

    assert [crash["name"] for crash in crashes] == names
