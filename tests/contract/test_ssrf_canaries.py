"""Tests in a network namespace that no container URL leads to an inner address."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from support.waiting import WAIT_SECONDS_MAX

PROGRAM = Path(__file__).with_name("canaries.py")


def run(*words: str) -> dict[str, Any]:
    """What the program saw."""
    if shutil.which("unshare") is None or shutil.which("ip") is None:
        pytest.skip("needs the programs unshare and ip")
    can = subprocess.run(["unshare", "--net", "true"], check=False, capture_output=True)
    if can.returncode != 0:
        pytest.skip("needs the right to make a network namespace")
    done = subprocess.run(
        ["unshare", "--net", sys.executable, PROGRAM, *words],
        check=False,
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS_MAX,
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def test_no_generated_url_reaches_a_canary() -> None:
    report = run()

    assert report["heard"] == []
    assert report["tried"] == 10_000
    assert 0 < report["refused"] < report["tried"]  # some got as far as to a name that led inside
    assert report["legal"] == 500


def test_the_canaries_notice_a_connection() -> None:
    assert run("control")["heard"] == ["('169.254.169.254', 80)"]
