"""Plants bugs of a cluster: each takes away one of the things that carry its correctness.

A lock saves work only. So those that would hide a bug are without effect here, as those are that
were lost with their session.
"""

import os
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import time_machine
from accepting import added_without_looking_back, found_then_added
from lockless import count_ignored

from engagement.runtime import deployment_parts
from engagement.settings import Settings
from engagement.store import lake
from engagement.store.commits import OpenCommit
from engagement.store.keyring import KEY_FILE, KEYS_FOLDER
from engagement.store.lake import Lake
from engagement.store.locks import AdvisoryLocks, LockPurpose
from engagement.store.queries import inbox
from engagement.store.vault import load_or_create_key

LEISURE_SECONDS_MAX = 2.0
"""How long a process takes at most between two effects, for another one to come in between."""
CLOCK_WRONG = timedelta(hours=2)
_MEANWHILE = (LockPurpose.FLUSH, LockPurpose.COMMIT)


def locks_without_effect() -> None:
    """No bug: several processes flush and commit the same at once, each at its own pace."""
    hold, hold_if_free = AdvisoryLocks.hold, AdvisoryLocks.hold_if_free
    write_rows, commit = Lake.write_rows, Lake.commit

    @contextmanager
    def hold_none(self: AdvisoryLocks, purpose: LockPurpose, *of: str) -> Iterator[None]:
        own = (str(os.getpid()),) if purpose in _MEANWHILE else ()
        with hold(self, purpose, *of, *own):
            yield

    @contextmanager
    def hold_none_if_free(self: AdvisoryLocks, purpose: LockPurpose, *of: str) -> Iterator[bool]:
        own = (str(os.getpid()),) if purpose in _MEANWHILE else ()
        with hold_if_free(self, purpose, *of, *own) as is_held:
            yield is_held

    def write_at_leisure(self: Lake, *given: Any) -> Any:
        _linger()
        return write_rows(self, *given)

    def commit_at_leisure(self: Lake, app_id: str, pending: OpenCommit) -> Any:
        _linger()
        return commit(self, app_id, pending)

    AdvisoryLocks.hold = hold_none  # type: ignore[method-assign]
    AdvisoryLocks.hold_if_free = hold_none_if_free  # type: ignore[method-assign]
    Lake.write_rows = write_at_leisure  # type: ignore[method-assign]
    Lake.commit = commit_at_leisure  # type: ignore[method-assign]


def rounds_not_counted() -> None:
    """A round is staged although another process took some of its batches."""
    locks_without_effect()
    count_ignored()


def numbers_not_looked_for() -> None:
    """A commit that is in the table already is made again by whoever comes late."""
    locks_without_effect()
    lake.find_newest_number = lambda _: 0


def same_executor_id() -> None:
    """Every process has one name, as an embedded service's has."""
    deployment_parts.new_executor_id = lambda: "embedded"


def key_of_its_own() -> None:
    """Every machine makes the vault's key by itself, as an embedded service does."""

    def make_key(settings: Settings) -> bytes:
        return load_or_create_key(settings.home / KEYS_FOLDER / KEY_FILE)

    deployment_parts.check_cluster_settings = make_key


def accepted_if_not_found() -> None:
    """Keys are looked for, then added, with neither a lock nor ON CONFLICT."""
    _accept_by(found_then_added)


def accepted_without_looking_back() -> None:
    """Likewise, and whoever comes second takes what the first one added for new."""
    _accept_by(added_without_looking_back)


def clock_ahead() -> None:
    """No bug: the clock of the machine is wrong, whatever asks for the time there."""
    time_machine.travel(datetime.now(UTC) + CLOCK_WRONG, tick=True).start()


def clock_behind() -> None:
    """Likewise, in the other direction."""
    time_machine.travel(datetime.now(UTC) - CLOCK_WRONG, tick=True).start()


def _accept_by(remember: Callable[[Any, set[str], int], set[str]]) -> None:
    inbox._remember_keys = remember  # noqa: SLF001


def _linger() -> None:
    time.sleep(random.uniform(0, LEISURE_SECONDS_MAX))  # noqa: S311 - moments, not secrets


BUGS: Mapping[str, Callable[[], None]] = {
    bug.__name__: bug
    for bug in (
        locks_without_effect,
        rounds_not_counted,
        numbers_not_looked_for,
        same_executor_id,
        key_of_its_own,
        accepted_if_not_found,
        accepted_without_looking_back,
        clock_ahead,
        clock_behind,
    )
}
