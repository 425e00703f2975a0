"""Runs the command line in processes of its own, as a script would."""

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engagement import operations
from engagement.runtime.opening import open_service
from engagement.settings import Settings
from support.waiting import WAIT_SECONDS_MAX


@dataclass(frozen=True, slots=True, kw_only=True)
class Shell:
    """A shell whose environment names one home folder and one folder for exports."""

    folder: Path
    """Where commands run."""
    settings: tuple[tuple[str, str], ...] = ()
    """Further environment variables."""

    @property
    def container(self) -> Path:
        """The folder for exports."""
        return self.folder / "out"

    @property
    def environment(self) -> dict[str, str]:
        """What the commands see."""
        return {
            "PATH": os.defpath,
            "LANG": "C.UTF-8",
            "ENGAGEMENT_HOME": str(self.folder / "home"),
            "ENGAGEMENT_LOCAL_ROOTS": str(self.container),
            **dict(self.settings),
        }

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """A command that runs."""
        return subprocess.Popen(
            [sys.executable, "-m", "engagement", *words],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def run(
        self, *words: str, status: int = 0, given: bytes = b""
    ) -> subprocess.CompletedProcess[bytes]:
        """A command that has ended with the expected status."""
        done = subprocess.run(
            [sys.executable, "-m", "engagement", *words],
            cwd=self.folder,
            env=self.environment,
            input=given,
            capture_output=True,
            timeout=WAIT_SECONDS_MAX,
            check=False,
        )
        assert done.returncode == status, done.stderr.decode()
        assert b"Traceback" not in done.stderr
        return done

    def new_app(self, name: str = "shop") -> str:
        """The id of a new app, registered here: a process would cost a second."""
        settings = Settings.from_environment(self.environment)
        place = {"collection": "c", "resource_group": "g", "subscription": "s"}
        with open_service(settings, run_tasks=False) as runtime:
            return operations.create_app(runtime, name=name, **place).app.app_id

    def take(self, app_id: str, batches: bytes) -> None:
        """Import batches, one a line, here too."""
        with open_service(Settings.from_environment(self.environment)) as runtime:
            operations.import_batches(runtime, app_id=app_id, lines=batches.splitlines())

    def json(self, *words: str, status: int = 0, given: bytes = b"") -> Any:
        """What a command prints as JSON."""
        return json.loads(self.run(*words, "--json", status=status, given=given).stdout)

    def error(self, *words: str, status: int) -> tuple[str, str]:
        """Code and message of a command that fails."""
        lines = self.run(*words, "--json", status=status).stderr.decode().splitlines()
        found = json.loads(lines[-1])["error"]  # warnings of the log come before
        return found["code"], found["message"]

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Another process owns the home folder."""
        with (self.folder / "home" / "lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
