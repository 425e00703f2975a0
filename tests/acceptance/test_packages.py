"""Tests that what is built from a checkout can be installed alone, whole or as the client only."""

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import engagement
from support.checkout import ROOT
from support.packages import build_packages, install
from support.server_process import running_server
from support.waiting import WAIT_SECONDS_MAX

HEAVY = ("polars", "fastapi", "sqlalchemy", "deltalake", "obstore", "pyarrow", "typer")
USE_OF_CLIENT = f"""
import importlib.util, sys
import engagement

for name in {HEAVY}:
    assert importlib.util.find_spec(name) is None, name
address, tenant_id, client_id, secret = sys.argv[1:]
with engagement.Client(
    address, tenant_id=tenant_id, client_id=client_id, client_secret=secret
) as client:
    (app,) = client.apps()
    print(engagement.__version__)
    try:
        client.read(None, "")
    except engagement.exceptions.BadInputError as error:
        print(error)
engagement.DeviceAgent
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that is built from the source package."""
    return build_packages(tmp_path_factory.mktemp("release"))


def _run(*words: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.defpath, "HOME": str(folder), "LANG": "C.UTF-8"}
    return subprocess.run(
        list(words),
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS_MAX,
        check=False,
    )


def test_the_wheel_holds_every_file_of_the_package(wheel: Path) -> None:
    package = ROOT / "src" / "engagement"
    expected = {
        str(path.relative_to(package.parent))
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }

    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}

    assert held == expected


def test_the_parts_of_a_release_are_the_pinned_ones(wheel: Path) -> None:
    parts = json.loads((wheel.parent / "engagement-export.cdx.json").read_text())
    listed = {f"{part['name']}=={part['version']}" for part in parts["components"]}
    requirements = (ROOT / "requirements" / "run.txt").read_text()

    assert parts["metadata"]["component"]["version"] == engagement.__version__
    assert listed == set(re.findall(r"^\S+==\S+", requirements, re.MULTILINE))


def test_the_service_does_its_main_job_where_nothing_but_its_wheel_is(
    wheel: Path, tmp_path: Path
) -> None:
    commands = install(wheel, tmp_path / "whole", extras=("server",))

    version = _run(commands / "engagement", "--version", folder=tmp_path)
    assert version.stdout.strip() == f"engagement-export {engagement.__version__}", version.stderr
    demo = _run(commands / "engagement", "demo", "--devices", "20", folder=tmp_path)
    assert demo.returncode == 0, demo.stderr


def test_the_client_needs_nothing_of_the_service(wheel: Path, tmp_path: Path) -> None:
    commands = install(wheel, tmp_path / "light", extras=("client", "agent"))

    with running_server(tmp_path / "home") as server:
        who = server.client("reader")
        secrets = (who.tenant_id, who.client_id, who.client_secret)
        used = _run(
            commands / "python", "-c", USE_OF_CLIENT, server.address, *secrets, folder=tmp_path
        )
    assert used.returncode == 0, used.stderr
    assert used.stdout.splitlines() == [
        engagement.__version__,
        "Frames need pyarrow: pip install 'engagement-export[frames]'",
    ]

    refused = _run(commands / "engagement", "serve", folder=tmp_path)
    assert refused.returncode == 2
    assert "pip install 'engagement-export[server]'" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_the_release_is_the_installed_one() -> None:
    words = (sys.executable, "-m", "engagement", "--version")
    assert engagement.__version__ in subprocess.check_output(words, text=True)
