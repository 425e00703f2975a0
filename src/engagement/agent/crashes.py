"""Sees the exceptions that nobody catches, before the process dies of them."""

import sys
import threading
import traceback
from collections.abc import Callable
from types import TracebackType

from engagement.model.limits import CONTROL, NAME_CHARACTERS_MAX, STACK_CHARACTERS_MAX

_CUT = "…\n"


class CrashHook:
    """Records every exception that ends the program or a thread, then lets it take its course.

    An interrupt from the keyboard and an exit are no crashes.
    """

    def __init__(self, record: Callable[[str, str], None]) -> None:
        """Prepare a hook; nothing is seen yet.

        Args:
            record: Keeps the name and the stack of a crash, and never raises.
        """
        self._record = record
        self._is_installed = False

    def install(self) -> None:
        """See every crash from now on; the hooks that were there are still called."""
        if not self._is_installed:
            self._is_installed = True
            self._of_program, sys.excepthook = sys.excepthook, self._see_program
            self._of_threads, threading.excepthook = threading.excepthook, self._see_thread

    def remove(self) -> None:
        """See nothing any more; a hook that was put over this one still reaches those below."""
        if self._is_installed:
            self._is_installed = False
            if sys.excepthook == self._see_program:
                sys.excepthook = self._of_program
            if threading.excepthook == self._see_thread:
                threading.excepthook = self._of_threads

    def _see_program(
        self, kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        self._see(kind, error, trace)
        self._of_program(kind, error, trace)

    def _see_thread(self, seen: threading.ExceptHookArgs) -> None:
        self._see(seen.exc_type, seen.exc_value, seen.exc_traceback)
        self._of_threads(seen)

    def _see(
        self, kind: type[BaseException], error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_installed and issubclass(kind, Exception):
            self._record(class_name(kind), _stack(kind, error, trace))


def class_name(kind: type[BaseException]) -> str:
    """The name of an exception's class, made fit to name a record."""
    return CONTROL.sub("", _whole(kind.__name__))[:NAME_CHARACTERS_MAX] or "Exception"


def _stack(
    kind: type[BaseException], error: BaseException | None, trace: TracebackType | None
) -> str:
    """The traceback; of one that is too long the end, which says what went wrong and where."""
    text = _whole("".join(traceback.format_exception(kind, error, trace)))
    if len(text) > STACK_CHARACTERS_MAX:
        text = _CUT + text[len(_CUT) - STACK_CHARACTERS_MAX :]
    return text


def _whole(text: str) -> str:
    return text.encode(errors="backslashreplace").decode()
