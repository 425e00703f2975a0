"""This module opens the service for a command; the heavy libraries load only then."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from engagement.settings import Settings

if TYPE_CHECKING:
    from engagement.runtime import Runtime


@contextmanager
def opened(settings: Settings | None = None, *, workers: bool) -> Iterator["Runtime"]:
    """The service on the home folder that the environment names.

    Args:
        settings: Other settings than the environment's.
        workers: Whether to run exports and flushes here, which locks the home folder; without,
            the command looks and asks beside a process that does.

    Raises:
        HomeBusyError: Another process runs on the home folder.
    """
    from engagement.runtime import open_runtime

    with open_runtime(settings or Settings.from_environment(), workers=workers) as runtime:
        yield runtime
