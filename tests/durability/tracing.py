"""Watches the system calls of a server's processes, and lets some of them fail."""

import re
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from collector import wait_until

from support.server_process import RunningServer

TEXT_BYTES_MAX = 10_000
"""Of what a call writes; a page of a database is in it whole."""
_INJECTED = b"(INJECTED)"
_CALL = re.compile(rb"(?P<thread>\d+) +(?:<\.\.\. )?(?P<name>\w+)(?:\(|(?P<is_rest> resumed>))")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Calls that fail as they would if a disk were full or broken."""

    calls: str
    """Names of the calls, separated by commas."""
    error: str
    """The name of the error."""
    first: int
    """Which call of a thread is the first to fail."""
    is_lasting: bool
    """Whether all further ones fail too."""

    @property
    def when(self) -> str:
        """Which calls fail, as strace names them."""
        return f"{self.first}{'+' if self.is_lasting else ''}"

    def __str__(self) -> str:
        return f"{self.calls} {self.error} {self.when}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """What is written down of the calls of a process and its threads."""

    path: Path
    """A line a call, in the order in which the calls came and went."""

    def failed(self) -> int:
        """How many calls were made to fail so far."""
        return self.path.read_bytes().count(_INJECTED)


@contextmanager
def failing(process: int, fault: Fault, *, log: Path, only: Sequence[Path] = ()) -> Iterator[Trace]:
    """Calls of a process fail meanwhile.

    Args:
        process: Which.
        fault: What fails.
        log: Where the trace goes.
        only: The files whose calls may fail; none means all.
    """
    words = [
        *("-e", f"trace={fault.calls}"),
        *("-e", f"inject={fault.calls}:error={fault.error}:when={fault.when}"),
        *(word for path in only for word in ("-P", str(path))),
    ]
    with _attached(process, words, log) as trace:
        yield trace


@contextmanager
def watched(server: RunningServer, log: Path) -> Iterator[Trace]:
    """What a server that answers reads, writes and syncs meanwhile."""
    calls = "read,recvfrom,write,writev,sendto,sendmsg,pwrite64,fdatasync,fsync"
    words = ["-y", "-s", str(TEXT_BYTES_MAX), "-e", f"trace={calls}"]
    with _attached(server.process.pid, words, log) as trace:
        yield trace


@contextmanager
def _attached(process: int, words: Sequence[str], log: Path) -> Iterator[Trace]:
    if shutil.which("strace") is None:
        pytest.skip("needs strace")
    messages = log.with_suffix(".messages")
    with messages.open("wb") as errors:
        tracer = subprocess.Popen(
            ["strace", "-f", "-o", str(log), *words, "-p", str(process)], stderr=errors
        )
    try:
        wait_until(
            lambda: tracer.poll() is not None or b"attached" in messages.read_bytes(), "strace"
        )
        if tracer.poll() is not None:
            text = messages.read_text()[-200:]
            (pytest.skip if "not permitted" in text else pytest.fail)(f"Cannot trace: {text}")
        yield Trace(path=log)
    finally:
        tracer.send_signal(signal.SIGINT)  # it lets the process go
        tracer.wait()


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A line of a trace: a call that began, ended, or did both before anything else did."""

    thread: bytes
    """Which thread's."""
    name: bytes
    """Which call."""
    text: bytes
    """The whole line."""
    is_begin: bool
    """Whether what it was given is in the text."""
    is_end: bool
    """Whether what it came to is in the text."""


def calls_of(trace: Trace) -> Iterator[Call]:
    """The calls of a trace; one that another thread's call came into is there twice."""
    with trace.path.open("rb") as lines:
        for line in lines:
            if (found := _CALL.match(line)) is not None:
                yield Call(
                    thread=found["thread"],
                    name=found["name"],
                    text=line,
                    is_begin=found["is_rest"] is None,
                    is_end=b"<unfinished ...>" not in line[-20:],
                )
