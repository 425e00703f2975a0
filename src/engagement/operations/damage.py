"""The operations that look for damage in the lake, and mend what can be mended."""

from collections.abc import Sequence
from dataclasses import dataclass

from engagement.exceptions import LakeDamagedError
from engagement.model.records import Kind
from engagement.runtime.opening import Runtime
from engagement.store.inspection import LakeInspection
from engagement.store.queries.staging import DamagedTable
from engagement.store.recovery import LakeRecovery
from engagement.store.repair import LakeRepair

LOOKS_MAX = 3
"""How often a table that seems damaged is looked at: a server may be in the middle of a commit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LakeCheck:
    """What a look at tables of the lake found."""

    tables: int
    """Tables that were read, every byte of their files."""
    damaged: tuple[DamagedTable, ...]
    """Those that are damaged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenUpFile:
    """A damaged file that was taken out of its table."""

    path: str
    """Relative to the table."""
    rows: int
    """How many rows it held, by the table's log."""


def list_damaged_tables(runtime: Runtime) -> list[DamagedTable]:
    """The tables that are known to be damaged, which exports and commits refuse."""
    return runtime.staging.list_damaged()


def check_lake(runtime: Runtime, app_id: str | None = None) -> LakeCheck:
    """Compare every table of an app, or of all, with what is recorded, and read all its files.

    Changes nothing, and may be done beside a process that works on the lake.
    """
    inspection = LakeInspection(runtime.inbox, runtime.staging, runtime.lake)
    app_ids = inspection.apps() if app_id is None else [runtime.apps.get(app_id).app_id]
    found = [(each, kind, _damage(inspection, each, kind)) for each in app_ids for kind in Kind]
    return LakeCheck(
        tables=sum(len(runtime.inbox.last_commits(each)) for each in app_ids),
        damaged=tuple(
            DamagedTable(app_id=each, kind=kind, damage=damage)
            for each, kind, damage in found
            if damage is not None
        ),
    )


def repair_table(
    runtime: Runtime, app_id: str, kind: Kind, *, give_up: Sequence[str]
) -> list[GivenUpFile]:
    """Look at a table again, and take damaged files out of it that somebody gives up.

    Without a file to give up, a table is mended whose files were brought back.

    Raises:
        LakeDamagedError: The table is damaged still; says what is wrong.
        BadInputError: A file to give up is none of the damaged ones.
    """
    runtime.apps.get(app_id)
    if give_up:
        repair = LakeRepair(runtime.inbox, runtime.staging, runtime.lake, clock=runtime.clock)
        given_up = repair.give_up(app_id, kind, give_up)
        return [GivenUpFile(path=file.path, rows=file.rows) for file in given_up]
    recovery = LakeRecovery(runtime.inbox, runtime.staging, runtime.lake)
    failures = recovery.mark(app_id, [kind], digests=True)
    if failures:
        raise failures[0]
    runtime.flush(app_id)
    return []


def _damage(inspection: LakeInspection, app_id: str, kind: Kind) -> str | None:
    damage = None
    for _ in range(LOOKS_MAX):
        try:
            inspection.check(app_id, kind, digests=True)
        except LakeDamagedError as error:
            damage = str(error)
        else:
            return None
    return damage
