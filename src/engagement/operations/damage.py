"""The operations that look for damage in the lake, and mend what can be mended."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from engagement.deliver.local import LocalDestination
from engagement.exceptions import BadInputError, LakeDamagedError
from engagement.model.records import Kind
from engagement.runtime.opening import Runtime
from engagement.store.inspection import LakeInspection
from engagement.store.lost_rows import RestoredDay
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


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoredTable:
    """A table whose damaged files were replaced by records of an export."""

    days: tuple[RestoredDay, ...]
    """What was restored of each day."""
    lacking: tuple[str, ...]
    """Fields that the export was asked without, so that the restored rows lack them."""


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


def restore_table(
    runtime: Runtime, app_id: str, kind: Kind, *, folder: Path, is_partial: bool
) -> RestoredTable:
    """Put the records of a delivered export in the place of a table's damaged files.

    Args:
        runtime: The service.
        app_id: The app.
        kind: The kind of the table.
        folder: A local folder with the export's manifest and parts.
        is_partial: Whether less is accepted than the files held: fewer rows, or rows without
            fields that the export was asked without.

    Raises:
        BadInputError: The export is another one, or has not what the files held; nothing was
            changed.
        VerificationError: It is not what its manifest says.
        DestinationError: The manifest or a part cannot be read.
        LakeDamagedError: The table is damaged otherwise too, and is refused still.
    """
    # It loads the client's libraries, which the service needs for nothing else.
    from engagement.export.restoring import DeliveredRecords  # noqa: PLC0415

    runtime.apps.get(app_id)
    place = folder.resolve()
    destination = LocalDestination(place.parent)
    export = DeliveredRecords(destination, place.name, app_id=app_id, kind=kind)
    if export.lacking and not is_partial:
        raise BadInputError(
            f"The export lacks the fields {', '.join(export.lacking)}, which the restored rows "
            "would lack too. Take one that has them, or accept that with --partial."
        )
    repair = LakeRepair(runtime.inbox, runtime.staging, runtime.lake, clock=runtime.clock)
    days = repair.restore(app_id, kind, export.read_rows(), is_partial=is_partial)
    return RestoredTable(days=tuple(days), lacking=export.lacking)


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
