"""Starts a PostgreSQL server of its own, for tests of the state database."""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from support.waiting import WAIT_SECONDS_MAX, wait_for


@contextmanager
def open_postgres() -> Iterator[str]:
    """The address of a PostgreSQL server of its own, reached by a socket in a private folder."""
    program = _postgres_programs()
    # PostgreSQL refuses to run as root, and pytest's own folders are closed to other users.
    user = "postgres" if os.getuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    if user is not None:
        shutil.chown(folder, user)
    data = folder / "data"
    subprocess.run(
        [program / "initdb", "-D", data, "-U", "engagement", "-A", "trust", "-E", "UTF8"],
        check=True,
        capture_output=True,
        cwd=folder,
        user=user,
    )
    options = ["-c", "listen_addresses=", "-c", "fsync=off", "-k", folder]
    with (folder / "log").open("wb") as out:
        server = subprocess.Popen(
            [program / "postgres", "-D", data, *options],
            stdout=out,
            stderr=out,
            cwd=folder,
            user=user,
        )
    try:
        _wait_for(server, folder)
        yield f"postgresql+psycopg://engagement@/postgres?host={folder}"
    finally:
        server.send_signal(signal.SIGINT)  # a fast shutdown, which ends open connections
        server.wait(WAIT_SECONDS_MAX)
        shutil.rmtree(folder)


def _postgres_programs() -> Path:
    """The folder of PostgreSQL's programs, installed first where they are missing and may be."""
    for attempt in range(4):
        if programs := sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb")):
            return programs[-1].parent
        if os.getuid() != 0 or shutil.which("apt-get") is None:
            break
        # Another test process may be installing too; apt waits for its lock.
        what = ["update"] if attempt == 1 else ["install", "--yes", "postgresql"]
        subprocess.run(
            [
                *("env", "DEBIAN_FRONTEND=noninteractive"),
                *("apt-get", "-q", "-o", "DPkg::Lock::Timeout=300", *what),
            ],
            check=False,
            capture_output=True,
        )
    pytest.skip("needs PostgreSQL's own programs (initdb and postgres)")


def _wait_for(server: subprocess.Popen[bytes], folder: Path) -> None:
    def accepts() -> bool:
        if server.poll() is not None:
            pytest.fail(f"PostgreSQL must start, got: {(folder / 'log').read_text()}")
        with contextlib.suppress(psycopg.OperationalError):
            psycopg.connect(host=str(folder), user="engagement", dbname="postgres").close()
            return True
        return False

    wait_for(accepts, "PostgreSQL")
