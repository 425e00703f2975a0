"""Opens the service for a command; the heavy libraries load only then."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from engagement.cli.output import print_hint

if TYPE_CHECKING:
    from engagement.model.executors import ProcessRole
    from engagement.operations import Keyring
    from engagement.runtime.home import TaskRunner
    from engagement.runtime.opening import Runtime
    from engagement.settings import Settings


@contextmanager
def open_service(
    settings: "Settings | None" = None,
    *,
    run_tasks: bool,
    runner: "TaskRunner | None" = None,
    roles: "tuple[ProcessRole, ...]" = (),
) -> Iterator["Runtime"]:
    """Open the service on the home folder that the environment names.

    Args:
        settings: Other settings than the environment's.
        run_tasks: Whether to run exports and flushes here, which locks the home folder; without,
            the command looks and asks beside a process that does. In a cluster commands always do
            that, and its workers run tasks.
        runner: What runs tasks for a process that does not run them itself, if any.
        roles: What the process does in a cluster, if it is to be one of its processes.

    Raises:
        HomeBusyError: Another process runs on the home folder.
    """
    from engagement.runtime.logging import start_command_logging
    from engagement.runtime.opening import open_service
    from engagement.settings import Settings

    given = settings or Settings.from_environment()
    start_command_logging(given.log_level)
    say_if_new(given)
    run_tasks = run_tasks and not given.is_cluster
    with open_service(given, run_tasks=run_tasks, runner=runner, roles=roles) as runtime:
        yield runtime


@contextmanager
def open_keyring(*, is_exclusive: bool) -> Iterator["Keyring"]:
    """Open the keys of the home folder that the environment names, without the service.

    Args:
        is_exclusive: Whether no other process may run on the home folder, since keys change.

    Raises:
        HomeBusyError: Another process runs on the home folder.
    """
    from engagement.runtime.opening import open_keyring
    from engagement.settings import Settings

    with open_keyring(Settings.from_environment(), is_exclusive=is_exclusive) as keyring:
        yield keyring


@contextmanager
def open_for_tasks(*, run_tasks: bool) -> Iterator["Runtime"]:
    """Open the service to run tasks here, or beside the process that runs on the home folder.

    Args:
        run_tasks: Whether to run any; without, or beside another process, there is no runner.
    """
    from engagement.exceptions import HomeBusyError

    with ExitStack() as closing:
        try:
            runtime = closing.enter_context(open_service(run_tasks=run_tasks))
        except HomeBusyError:
            runtime = closing.enter_context(open_service(run_tasks=False))
        yield runtime


@contextmanager
def open_or_reach_service() -> Iterator["Runtime"]:
    """Open the service here, or beside a server, which then does what only one process may.

    Raises:
        HomeBusyError: Another process runs on the home folder, and takes no requests.
    """
    from engagement.exceptions import HomeBusyError
    from engagement.settings import Settings
    from engagement.worker.control import HolderRunner

    settings = Settings.from_environment()
    with ExitStack() as closing:
        try:
            runtime = closing.enter_context(open_service(settings, run_tasks=True))
        except HomeBusyError:
            holder = HolderRunner(settings.home)
            runtime = closing.enter_context(open_service(settings, run_tasks=False, runner=holder))
        yield runtime


def say_if_new(settings: "Settings") -> None:
    """Tell a person that a home folder is about to be made: its name may be a mistake."""
    if not settings.home.exists():
        print_hint(f"New home folder: {settings.home.absolute()}")
