"""Copies a whole service, its state and its lake, to a place that holds nothing yet.

The state is copied first, at one moment; then the files of the lake that it needs; and the copy
comes into use with the state, last. So it lacks nothing that was acknowledged before, whatever the
service does meanwhile, and whatever ends the copying: a repeat goes on with the files.
"""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from engagement.exceptions import (
    BadInputError,
    IllegalStateError,
    StorageUnavailableError,
)
from engagement.failpoints import Failpoint, FailpointHook
from engagement.model.codec import decode, encode
from engagement.store.file_trees import FileTree, open_file_tree
from engagement.store.lake import Lake
from engagement.store.lake_copy import (
    MARK,
    CopiedFile,
    LakeMovedOnError,
    NeededFile,
    NeededFiles,
    TableRows,
    check_tables,
    copy_files,
    delete_others,
)
from engagement.store.queries.inbox import InboxQueries
from engagement.store.queries.installation import TENANT_ID, VAULT_KEY_ID, InstallationQueries
from engagement.store.queries.plans import PlanQueries
from engagement.store.queries.staging import StagingQueries
from engagement.store.state import hold_state
from engagement.store.state_copy import copy_state, is_missing_file

ATTEMPTS_MAX = 5
"""How often a copy begins anew since the service deleted a file that it needed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What a mark says."""

    service: str
    """The service that is copied: a repeat goes on with its copies alone."""
    run: str
    """Which run writes there: of two at once, the one that came last goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StateCopy:
    """A copy of a state database in a file of its own, asked what it needs of the lake."""

    file: Path
    """The SQLite file."""
    service: str
    """Tells the service from others: its tenant id or, before it has one, its key's id."""
    vault_key_id: str
    """The id of the key that everything in it is sealed with; empty if there is none yet."""
    inbox: InboxQueries
    """Which version each table is at."""
    staging: StagingQueries
    """What is staged, and which tables are damaged."""
    plans: PlanQueries
    """What exports under way read."""

    def list_needed(self, lake: str) -> list[NeededFile]:
        """The files of a lake that the state needs."""
        needed = NeededFiles(self.inbox, self.staging, self.plans, Lake(lake))
        return needed.list(open_file_tree(lake))

    def check(self, lake: str) -> list[TableRows]:
        """What a copied lake holds, once each table is proved to be as it is recorded."""
        return check_tables(self.inbox, self.staging, Lake(lake))


@contextmanager
def open_copy(file: Path) -> Iterator[StateCopy]:
    """Open a copied state database."""
    with hold_state(f"sqlite:///{file}") as engine:
        key_id = InstallationQueries(engine).find_value(VAULT_KEY_ID)
        yield StateCopy(
            file=file,
            service=_name_service(InstallationQueries(engine)),
            vault_key_id="" if key_id is None else key_id.hex(),
            inbox=InboxQueries(engine),
            staging=StagingQueries(engine),
            plans=PlanQueries(engine),
        )


def read_service(state_url: str) -> str | None:
    """What tells the service of a state database from others; None if there is none."""
    if is_missing_file(state_url):
        return None
    with hold_state(state_url) as engine:
        return _name_service(InstallationQueries(engine))


def _name_service(installation: InstallationQueries) -> str:
    tenant_id = installation.find_value(TENANT_ID)
    if tenant_id is not None:
        return tenant_id.decode()
    return f"key {(installation.find_value(VAULT_KEY_ID) or b'').hex()}"


class LakeTarget:
    """A lake in the making."""

    def __init__(self, location: str, *, on_failpoint: FailpointHook) -> None:
        self.location = location
        """Its folder or URL."""
        self._tree = open_file_tree(location)
        self._run = secrets.token_hex(8)
        self._on_failpoint = on_failpoint

    def claim(self, service: str) -> None:
        """Mark the lake as in the making.

        Raises:
            BadInputError: Something else is there already; nothing was changed.
        """
        there = self._tree.list()
        if MARK in there:
            if not self.is_of(service):
                raise BadInputError(
                    f"The place must be empty, but {self.location} has the unfinished copy of "
                    "another service."
                )
        elif there:
            raise BadInputError(
                f"The place must be empty, but {self.location} holds {len(there)} files, such as "
                f"{min(there)}."
            )
        self.occupy(service)

    def occupy(self, service: str) -> None:
        """Mark the lake as in the making, whatever it holds, as where only the state is copied."""
        mark = encode(Claim(service=service, run=self._run))
        self._tree.write(MARK, mark.encode())
        self._on_failpoint(Failpoint.COPY_CLAIMED)

    def is_of(self, service: str) -> bool:
        """Whether the lake is in the making, as the copy of this service."""
        claim = self._read_claim()
        return claim is not None and claim.service == service

    def fill(self, source: FileTree, files: list[NeededFile]) -> list[CopiedFile]:
        """Return only when the lake has these files and no others."""
        copied = copy_files(
            source,
            self._tree,
            files,
            on_copied=lambda: self._on_failpoint(Failpoint.COPY_FILE_WRITTEN),
        )
        self.require_claim()
        self._tree.delete_unfinished()
        delete_others(self._tree, [MARK, *(file.path for file in copied)])
        self._on_failpoint(Failpoint.COPY_FILES_WRITTEN)
        return copied

    def require_claim(self) -> None:
        """Return only if no other run has begun to write there meanwhile."""
        claim = self._read_claim()
        if claim is None or claim.run != self._run:
            raise IllegalStateError(
                f"One copy at a time may be written, but another one was begun in {self.location}."
            )

    def release(self) -> None:
        """Take the mark away: the lake is in use from now on."""
        self._tree.delete([MARK])
        self._on_failpoint(Failpoint.COPY_FINISHED)

    def _read_claim(self) -> Claim | None:
        try:
            return decode(self._tree.read(MARK).decode(), Claim)
        except FileNotFoundError:
            return None


def copy_service(
    state_url: str, lake: str, target: LakeTarget, folder: Path, *, on_failpoint: FailpointHook
) -> tuple[Path, list[CopiedFile]]:
    """Return only when a copied lake has all that a copied state needs; the state, and the files.

    Args:
        state_url: The state database of the service, which may be running.
        lake: Its lake.
        target: The lake in the making.
        folder: A folder for the copies of the state.
        on_failpoint: Called at each failpoint.

    Raises:
        BadInputError: The target is not empty.
        LakeDamagedError: A file of the lake is not what was written.
        StorageUnavailableError: The service deleted files faster than they could be copied.
    """
    is_claimed = False
    for attempt in range(ATTEMPTS_MAX):
        file = folder / f"state-{attempt}.db"
        copy_state(state_url, file)
        on_failpoint(Failpoint.COPY_STATE_READ)
        with open_copy(file) as state:
            if not is_claimed:
                target.claim(state.service)
                is_claimed = True
            try:
                copied = target.fill(open_file_tree(lake), state.list_needed(lake))
            except LakeMovedOnError:
                continue
        return file, copied
    raise StorageUnavailableError(
        f"The files of the lake must stay while they are copied, but some were deleted, "
        f"{ATTEMPTS_MAX} times in a row. Is the vacuum set to 0 days? Try again."
    )
