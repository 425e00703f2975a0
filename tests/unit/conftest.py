"""Keeps the tests of single modules from sockets and processes, so that they stay quick."""

import os
import socket
import subprocess
from typing import Any, NoReturn

import dbos  # noqa: F401 - when it is imported, it starts a process that tells the platform
import pytest


@pytest.fixture(autouse=True)
def no_socket_and_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail a test of a single module that would connect, listen or start a process."""

    def refuse(*_: Any, **__: Any) -> NoReturn:
        pytest.fail("Tests that need a socket or a process belong in tests/integration.")

    for method in ("connect", "connect_ex", "bind", "listen"):
        monkeypatch.setattr(socket.socket, method, refuse)
    monkeypatch.setattr(subprocess, "Popen", refuse)
    for function in ("fork", "posix_spawn", "system"):
        monkeypatch.setattr(os, function, refuse)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a SQLite database, for tests of the state database."""
    return f"sqlite:///{tmp_path_factory.mktemp('state') / 'state.db'}"
