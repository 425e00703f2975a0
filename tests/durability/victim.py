"""A process to be killed: it works on a home folder and dies where it is told.

    python tests/durability/victim.py HOME OUT import FILE APP_ID [--kill-at POINT --nth N]
    python tests/durability/victim.py HOME OUT wait TASK_ID… [--kill-at POINT --nth N] [--plant BUG]
    python tests/durability/victim.py HOME OUT upkeep APP_ID [--days-ahead DAYS]
    python tests/durability/victim.py HOME OUT vacuum APP_ID [--days-ahead DAYS] [--plant BUG]
    python tests/durability/victim.py HOME OUT rotate-keys|reset-keys [--kill-at POINT]
    python tests/durability/victim.py HOME OUT move NEW_HOME [--kill-at POINT]

It prints the final state of each waited task.
"""

import argparse
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from engagement.runtime.tuning import relax_garbage_collector

relax_garbage_collector()  # as commands do: dozens of victims are started

import planted

from engagement import operations
from engagement.exceptions import UnknownDeviceError
from engagement.failpoints import Failpoint, FailpointHook, no_failpoint
from engagement.runtime.logging import start_logging
from engagement.runtime.moving import move_service
from engagement.runtime.opening import Runtime, open_keyring, open_service
from engagement.runtime.tuning import skip_last_collection
from engagement.settings import Settings
from engagement.storage_failures import find_failure

PART_ROWS = 400
ERASED_DEVICE = "c625536fdb214165ea1da1a30427b289"
"""One of the sample's."""
FIRST_KEPT = date(2026, 1, 2)
"""A day of the sample; upkeep takes out what was before."""
KEY_ACTIONS: dict[str, Callable[..., object]] = {
    "rotate-keys": operations.rotate_keys,
    "reset-keys": operations.reset_keys,
}
SECONDS_MAX = 600
"""Far more than an export takes on one core beside other work; no promise is measured by it."""


def settings_of(home: Path, out: Path) -> Settings:
    """Small parts, so that a small export has several."""
    return Settings(
        home=home,
        local_roots=(out,),
        part_rows_target=PART_ROWS,
        allow_loopback_containers=True,
        flush_logs_max=2_000,
    )


def dying_at(point: Failpoint, nth: int) -> FailpointHook:
    """Kills the process, as a power switch would, when a point is reached for the n-th time."""
    reached = 0

    def on_failpoint(here: Failpoint) -> None:
        nonlocal reached
        reached += here is point
        if here is point and reached == nth:
            os.kill(os.getpid(), signal.SIGKILL)

    return on_failpoint


def do_upkeep(runtime: Runtime, app_id: str) -> None:
    """Do all that upkeep does; a device and a day go that are the same whenever it is done."""
    operations.compact(runtime, app_id)
    with suppress(UnknownDeviceError):  # it is erased already
        operations.erase_device(runtime, app_id, ERASED_DEVICE)
    days = (runtime.running_time.estimate_now().date() - FIRST_KEPT).days
    operations.retain(runtime, app_id, days)
    operations.fold_snapshots(runtime, app_id)
    operations.compact(runtime, app_id)
    operations.vacuum(runtime, app_id)


def main() -> None:
    """Do what the command line says, and end as a command does."""
    try:
        _act()
    except Exception as error:
        if failure := find_failure(error):
            raise failure from error
        raise
    skip_last_collection()


def _act() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("home", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument(
        "action", choices=["import", "wait", "upkeep", "vacuum", "move", *KEY_ACTIONS]
    )
    parser.add_argument("subjects", nargs="*")
    parser.add_argument("--kill-at", type=Failpoint)
    parser.add_argument("--nth", type=int, default=1)
    parser.add_argument("--plant")
    parser.add_argument("--days-ahead", type=int, default=0)
    given = parser.parse_args()
    start_logging()
    if given.plant:
        planted.BUGS[given.plant]()
    on_failpoint = no_failpoint if given.kill_at is None else dying_at(given.kill_at, given.nth)
    settings = settings_of(given.home, given.out)
    if given.action in KEY_ACTIONS:
        with open_keyring(settings, is_exclusive=True, on_failpoint=on_failpoint) as keyring:
            KEY_ACTIONS[given.action](keyring, now=datetime.now(UTC))
        return
    if given.action == "move":
        target = settings_of(Path(given.subjects[0]), given.out)
        move_service(settings, target, on_failpoint=on_failpoint)
        return
    ahead = timedelta(days=given.days_ahead)
    with open_service(
        settings,
        clock=lambda: datetime.now(UTC) + ahead,
        on_failpoint=on_failpoint,
    ) as runtime:
        if given.action == "vacuum":
            operations.vacuum(runtime, given.subjects[0])
            return
        if given.action == "upkeep":
            do_upkeep(runtime, given.subjects[0])
            return
        if given.action == "import":
            file, app_id = given.subjects
            with Path(file).open("rb") as stream:
                lines = operations.read_lines(stream)
                operations.import_batches(runtime, app_id=app_id, lines=lines)
            return
        for task_id in given.subjects:
            task = operations.wait_export(runtime, task_id, timeout_seconds=SECONDS_MAX)
            sys.stdout.write(f"{task.state.value} {task.error_code or ''}\n")


if __name__ == "__main__":
    main()
