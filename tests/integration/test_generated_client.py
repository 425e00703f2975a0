"""Compares the blocking client with what is generated from the asynchronous one."""

import shutil
import subprocess
import sys
from pathlib import Path

from support.checkout import ROOT

CLIENT = ROOT / "src" / "engagement" / "client"


def test_the_blocking_client_is_generated_from_the_asynchronous_one(tmp_path: Path) -> None:
    shutil.copytree(CLIENT / "asynchronous", tmp_path / "asynchronous")
    command = [sys.executable, ROOT / "tools" / "generate_sync_client.py", tmp_path]

    subprocess.run(command, check=True)

    generated, committed = (
        {path.name: path.read_text() for path in sorted((folder / "sync").glob("*.py"))}
        for folder in (tmp_path, CLIENT)
    )
    assert committed == generated, "make generate writes what is missing"
