"""A process that accepts, flushes, commits or rewrites on a home folder beside others like it.

    python tests/durability/lockless.py ROLE FOLDER STATE_URL APP_ID [--plant BUG]

No lock keeps them apart: those of a lake are of one process. A collector prints the id of each
batch that it was told is durable; every role goes on until it is killed.
"""

import argparse
import itertools
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from engagement.exceptions import StorageUnavailableError
from engagement.store.committing import Committer
from engagement.store.queries import staging
from engagement.store.queries.staging import StagingQueries
from support.batches import batch, log
from support.home import Home, open_home

ROUND_RECORDS = 7
"""Few, so that several flushes read overlapping rounds."""


def count_ignored() -> None:
    """A round is staged although some of its batches were taken by another flush."""
    stage_round = StagingQueries.stage_round

    def regardless(
        self: StagingQueries,
        app_id: str,
        rows: Sequence[Any],
        changes: Mapping[Any, Any],
        **named: Any,
    ) -> bool:
        if not stage_round(self, app_id, rows, changes, **named):
            with self._engine.begin() as connection:
                staging._stage(connection, app_id, changes, named["staged_at"])  # noqa: SLF001
        return True

    StagingQueries.stage_round = regardless  # type: ignore[method-assign]


BUGS = {bug.__name__: bug for bug in (count_ignored,)}


def collect(home: Home) -> None:
    """Accept batches of one event for ever."""
    for number in itertools.count():
        name = f"{os.getpid()}-{number}"
        home.accept(batch(log("event", number, name=name), batch_id=name))
        sys.stdout.write(f"{name}\n")
        sys.stdout.flush()


def flush(home: Home) -> None:
    """Flush for ever."""
    while True:
        home.flush()


def commit(home: Home) -> None:
    """Commit for ever what the others stage."""
    committer = Committer(home.inbox, home.staging, home.lake)
    while True:
        committer.commit(home.app_id)


ROLES: dict[str, Callable[[Home], None]] = {
    role.__name__: role for role in (collect, flush, commit)
}


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser()
    parser.add_argument("role", choices=ROLES)
    parser.add_argument("folder", type=Path)
    parser.add_argument("state_url")
    parser.add_argument("app_id")
    parser.add_argument("--plant", choices=BUGS)
    given = parser.parse_args()
    if given.plant:
        BUGS[given.plant]()
    with open_home(given.folder, records_max=ROUND_RECORDS, state_url=given.state_url) as home:
        home.app_id = given.app_id
        while True:
            try:
                ROLES[given.role](home)
            except StorageUnavailableError:
                continue  # SQLite was kept by a process that is stopped


if __name__ == "__main__":
    main()
