"""Ends every test that goes on for ever, and says what it waited for.

`timeout` of pytest-timeout, in pyproject.toml, is what a test may take with its set-up and its
end. A test that does more when an option says so may take as much longer.
"""

import faulthandler
import linecache
import os
import signal
import sys
import threading
from collections.abc import Generator, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from pytest_timeout import is_debugging

from support.checkout import TESTS
from support.waiting import names_of_waits

SECONDS_EACH = {"kills": 300.0, "bodies": 0.1, "examples": 60.0, "histories": 1.0}
"""How much longer a test may take for each that an option of this name asks for, if the test takes
the fixture of this name. Examples are asked for each operation of a document."""
GRACE_SECONDS = 300.0
"""How long a test may go on after the alarm, before its whole process is ended."""


class TestTakesTooLongError(BaseException):
    """A test took longer than it may.

    No `Exception`, so that neither the test nor Hypothesis takes it for something to handle,
    which would go on without an end.
    """

    __test__ = False


def seconds_allowed(item: pytest.Item, seconds: float) -> float:
    """What a test may take, with what options ask of it besides."""
    return seconds + sum(
        each * item.config.getoption(name)
        for name, each in SECONDS_EACH.items()
        if name in getattr(item, "fixturenames", ())
    )


def pytest_configure(config: pytest.Config) -> None:
    """Keep the standard error that a reader sees, whatever a test's is."""
    config.stash[_STANDARD_ERROR] = os.dup(sys.__stderr__.fileno())  # type: ignore[union-attr]


def pytest_unconfigure(config: pytest.Config) -> None:
    """Close it."""
    os.close(config.stash[_STANDARD_ERROR])


def pytest_timeout_set_timer(item: pytest.Item, settings: Any) -> bool | None:
    """Let an alarm end the test, instead of the one of pytest-timeout, which names nothing."""
    if threading.current_thread() is not threading.main_thread():
        return None
    item.stash[_SECONDS] = seconds_allowed(item, settings.timeout)
    _set_alarm(item)
    return True


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    """Let the end of a test have its own time; after a failure no alarm is left from before."""
    if _SECONDS in item.stash:
        _set_alarm(item)


def _set_alarm(item: pytest.Item) -> None:
    seconds = item.stash[_SECONDS]

    def end(_: int, frame: FrameType | None) -> None:
        if not is_debugging():
            raise TestTakesTooLongError(described(seconds, frame))

    def cancel() -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)

    item.cancel_timeout = cancel  # type: ignore[attr-defined] # pytest-timeout calls it
    signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    if not is_debugging():  # a call that never returns to Python hears no alarm
        faulthandler.dump_traceback_later(
            seconds + GRACE_SECONDS, exit=True, file=item.config.stash[_STANDARD_ERROR]
        )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """End the process no more, once the test has ended."""
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()


def pytest_enter_pdb() -> None:
    """Let whoever looks for a bug take as long as they want."""
    faulthandler.cancel_dump_traceback_later()


def described(seconds: float, frame: FrameType | None) -> str:
    """What a test that took too long waited for, and where each of its threads was."""
    waits = " > ".join(names_of_waits()) or "something without a name"
    lines = [f"The test took over {seconds:g} s. It waited for: {waits}.", *_place(frame)]
    own = threading.get_ident()
    frames = sys._current_frames()  # noqa: SLF001 - it is documented
    for thread in threading.enumerate():
        if thread.ident != own and thread.ident in frames:
            lines += [f"{thread.name}, {place}" for place in _place(frames[thread.ident])]
    return "\n".join(lines)


def _place(frame: FrameType | None) -> Iterator[str]:
    """The innermost line of a test that a frame comes from, if any does."""
    while frame is not None:
        path = Path(frame.f_code.co_filename)
        is_helper = path.name in {"waiting.py", Path(__file__).name}
        if not is_helper and (path.is_relative_to(TESTS) or path.name.startswith("test_")):
            shown = path.relative_to(TESTS.parent) if path.is_relative_to(TESTS) else path.name
            text = linecache.getline(str(path), frame.f_lineno).strip()
            yield f"at {shown}:{frame.f_lineno}: {text}"
            return
        frame = frame.f_back


_STANDARD_ERROR = pytest.StashKey[int]()
_SECONDS = pytest.StashKey[float]()
