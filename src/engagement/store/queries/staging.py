"""Moves what a flush or a rewrite wrote into the tables' commits, each change exactly once.

Three transactions carry it, and no lock: a batch leaves the inbox in the transaction that stages
its files; a table has one open commit, whose changes are frozen with its number; and it is closed
in the transaction that records it. Whatever ends in between is repeated, or comes to nothing.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

import sqlalchemy as sa

from engagement.exceptions import LakeDamagedError
from engagement.model.codec import decode, encode
from engagement.model.records import Kind, new_guid
from engagement.store.commits import Commit, FileChange, OpenCommit, TableChange
from engagement.store.queries.inbox import InboxRow
from engagement.store.queries.json_arrays import json_elements
from engagement.store.queries.sightings import Sightings, keep_sightings
from engagement.store.queries.upserts import insert_into
from engagement.store.tables import commits, inbox, lake_tables, staged_files


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedCommit:
    """An open commit that is in the lake for good."""

    commit_id: int
    """The number that it was opened with."""
    commit: Commit
    """What it became."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DamagedTable:
    """A table that takes no commit, and that no export may read, until it is mended."""

    app_id: str
    """The app."""
    kind: Kind
    """The kind of its records."""
    damage: str
    """What is wrong, with the names of files, for those who operate the service."""


class _RoundTakenError(Exception):
    """Somebody else has staged some of the round's batches."""


class StagingQueries:
    """Changes of the lake's tables between being written and being recorded."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._reading = engine.execution_options(read_only=True)

    def stage_round(
        self,
        app_id: str,
        rows: Sequence[InboxRow],
        changes: Mapping[Kind, TableChange],
        *,
        seen: Sightings,
        staged_at: datetime,
    ) -> bool:
        """Take batches from the inbox and stage what became of them, in one transaction.

        Returns:
            Whether it was done; False, changing nothing, if one of the batches is there no more.
        """
        positions = json.dumps([row.position for row in rows])
        try:
            with self._engine.begin() as connection:
                taken = connection.execute(
                    _TAKE_STATEMENTS[connection.dialect.name],
                    {"app_id": app_id, "positions": positions},
                )
                # Without this, two flushes of the same batches would both stage their rows.
                if taken.rowcount != len(rows):
                    raise _RoundTakenError  # noqa: TRY301 - rolls the transaction back
                _stage(connection, app_id, changes, staged_at)
                keep_sightings(connection, app_id, seen)
        except _RoundTakenError:
            return False
        return True

    def stage_rewrite(
        self, app_id: str, kind: Kind, change: TableChange, *, staged_at: datetime
    ) -> str:
        """Stage what upkeep makes of some of a table's files; the id of its group."""
        with self._engine.begin() as connection:
            return _stage(connection, app_id, {kind: change}, staged_at)

    def open_commits(self, app_id: str) -> list[OpenCommit]:
        """Open a commit for each table that has something staged; those that are open stay so.

        What is staged afterwards waits for the next one, and what is staged for a damaged table
        until it is mended.
        """
        damaged = sa.select(lake_tables.c.kind).where(
            lake_tables.c.app_id == app_id, lake_tables.c.damage.is_not(None)
        )
        staged = sa.select(staged_files.c.kind).where(
            staged_files.c.app_id == app_id, staged_files.c.kind.not_in(damaged)
        )
        with self._reading.begin() as connection:
            names = set(connection.scalars(staged.distinct()))
        if not names:
            return []  # mostly so, and then nobody has to wait for the right to write
        with self._engine.begin() as connection:
            tables = [_open_table(connection, app_id, kind) for kind in Kind if kind.value in names]
        return [pending for pending in tables if pending is not None]

    def open_commit(self, app_id: str, kind: Kind) -> OpenCommit | None:
        """The commit to a table that is open, if one is."""
        with self._reading.begin() as connection:
            table = connection.execute(_TABLE, _key(app_id, kind)).one_or_none()
            if table is None or not table.is_open:
                return None
            return _frozen(connection, app_id, kind, table)

    def close(self, app_id: str, closed: Sequence[ClosedCommit], *, committed_at: datetime) -> None:
        """Record commits that are on disk; what belonged to them is staged no more.

        One that somebody else has closed meanwhile stays as it was recorded.
        """
        with self._engine.begin() as connection:
            for each in closed:
                key = _key(app_id, each.commit.kind)
                is_ours = connection.execute(
                    _CLOSE,
                    key
                    | {
                        "closed_id": each.commit_id,
                        "new_version": each.commit.version,
                        "new_rows": each.commit.rows_total,
                    },
                )
                if is_ours.rowcount != 1:
                    continue
                connection.execute(_UNSTAGE, key | {"closed_id": each.commit_id})
                _record_commit(connection, app_id, each.commit, committed_at)

    def record_found(self, app_id: str, found: ClosedCommit, *, committed_at: datetime) -> None:
        """Record the newest commit of a table that the state database knows nothing of."""
        key = _columns(app_id, found.commit.kind)
        row = key | {
            "commit_id": found.commit_id,
            "is_open": False,
            "version": found.commit.version,
            "rows_total": found.commit.rows_total,
        }
        with self._engine.begin() as connection:
            connection.execute(lake_tables.delete().filter_by(**key))
            connection.execute(lake_tables.insert().values(row))
            _record_commit(connection, app_id, found.commit, committed_at)

    def keep_digest(self, app_id: str, commit: Commit) -> None:
        """Remember the digest of a recorded commit, which a lake on object storage had none of."""
        key = _columns(app_id, commit.kind) | {"version": commit.version}
        with self._engine.begin() as connection:
            connection.execute(commits.update().filter_by(**key).values(sha256=commit.sha256))

    def list_apps(self) -> list[str]:
        """The ids of the apps that have something staged."""
        with self._reading.begin() as connection:
            return list(connection.scalars(sa.select(staged_files.c.app_id).distinct()))

    def count_groups(self) -> dict[str, int]:
        """For each app that has something staged, in how many groups."""
        query = sa.select(
            staged_files.c.app_id, sa.func.count(sa.distinct(staged_files.c.group_id))
        ).group_by(staged_files.c.app_id)
        with self._reading.begin() as connection:
            return {row[0]: row[1] for row in connection.execute(query)}

    def mark_damaged(self, app_id: str, kind: Kind, damage: str | None) -> None:
        """Remember what is damaged of a table, which takes no commit then; None if nothing is."""
        with self._engine.begin() as connection:
            if damage is not None:
                connection.execute(_add_table(connection.dialect.name), _columns(app_id, kind))
            connection.execute(_MARK, _key(app_id, kind) | {"new_damage": damage})

    def list_damaged(self, app_id: str | None = None) -> list[DamagedTable]:
        """The damaged tables of an app, or of all."""
        query = sa.select(lake_tables).where(lake_tables.c.damage.is_not(None))
        if app_id is not None:
            query = query.where(lake_tables.c.app_id == app_id)
        with self._reading.begin() as connection:
            return [
                DamagedTable(app_id=row.app_id, kind=Kind(row.kind), damage=row.damage)
                for row in connection.execute(query.order_by("app_id", "kind"))
            ]

    def require_sound(self, app_id: str, kinds: Collection[Kind]) -> None:
        """Return only if none of these tables of an app is damaged.

        Raises:
            LakeDamagedError: One is; says what is wrong with it.
        """
        for table in self.list_damaged(app_id):
            if table.kind in kinds:
                raise LakeDamagedError(table.damage)

    def list_staged(self, app_id: str, kind: Kind) -> list[FileChange]:
        """The data files of a table that are written and not recorded yet."""
        query = sa.select(staged_files.c.actions).filter_by(app_id=app_id, kind=kind.value)
        with self._reading.begin() as connection:
            changes = [decode(text, TableChange) for text in connection.scalars(query)]
        return [file for change in changes for file in change.added]


def _record_commit(
    connection: sa.Connection, app_id: str, commit: Commit, committed_at: datetime
) -> None:
    """Remember a commit that is on disk; a repeat replaces itself."""
    key = _columns(app_id, commit.kind) | {"version": commit.version}
    connection.execute(commits.delete().filter_by(**key))
    connection.execute(
        commits.insert().values(
            **key,
            rows_total=commit.rows_total,
            sha256=commit.sha256,
            committed_at=committed_at,
        )
    )


def _stage(
    connection: sa.Connection,
    app_id: str,
    changes: Mapping[Kind, TableChange],
    staged_at: datetime,
) -> str:
    group_id = new_guid()
    rows = [
        _columns(app_id, kind)
        | {
            "group_id": group_id,
            "actions": encode(change),
            "rows": change.rows,
            "bytes": sum(file.bytes for file in change.added),
            "staged_at": staged_at,
        }
        for kind, change in changes.items()
    ]
    if rows:
        connection.execute(_ADD_STAGED, rows)
    return group_id


@cache
def _add_table(dialect: str) -> sa.Insert:
    """Add the row of a table, if it has none yet; built once, as each commit of a table asks it."""
    return insert_into(lake_tables, dialect).on_conflict_do_nothing()


def _open_table(connection: sa.Connection, app_id: str, kind: Kind) -> OpenCommit | None:
    """A table's open commit; None if another has committed meanwhile what was staged."""
    key = _key(app_id, kind)
    connection.execute(_add_table(connection.dialect.name), _columns(app_id, kind))
    table = connection.execute(_TABLE_TO_CHANGE, key).one()
    if not table.is_open:
        frozen = connection.execute(_FREEZE, key | {"opened_id": table.commit_id + 1})
        if frozen.rowcount == 0:
            return None
        connection.execute(_OPEN, key)
        table = connection.execute(_TABLE, key).one()
    return _frozen(connection, app_id, kind, table)


def _frozen(connection: sa.Connection, app_id: str, kind: Kind, table: sa.Row[Any]) -> OpenCommit:
    key = _key(app_id, kind) | {"frozen_id": table.commit_id}
    return OpenCommit(
        kind=kind,
        commit_id=table.commit_id,
        recorded_version=table.version,
        recorded_rows=table.rows_total,
        changes={
            row.group_id: decode(row.actions, TableChange)
            for row in connection.execute(_FROZEN, key)
        },
    )


def _columns(app_id: str, kind: Kind) -> dict[str, Any]:
    return {"app_id": app_id, "kind": kind.value}


def _key(app_id: str, kind: Kind) -> dict[str, Any]:
    """Names a table in `_of_table`; a column's own name would be taken for a new value."""
    return {"of_app": app_id, "of_kind": kind.value}


def _of_table(table: sa.Table) -> sa.ColumnElement[bool]:
    return sa.and_(
        table.c.app_id == sa.bindparam("of_app"), table.c.kind == sa.bindparam("of_kind")
    )


_TAKE_STATEMENTS = {
    dialect: inbox.delete().where(
        inbox.c.app_id == sa.bindparam("app_id"),
        inbox.c.position.in_(sa.select(sa.cast(position, sa.BigInteger))),
    )
    for dialect, position in json_elements("positions").items()
}
"""Positions one by one: a range would take batches that became visible after the round was read."""
_ADD_STAGED = staged_files.insert()
_TABLE = sa.select(lake_tables).where(_of_table(lake_tables))
_TABLE_TO_CHANGE = _TABLE.with_for_update()
_FREEZE = (
    staged_files.update()
    .where(_of_table(staged_files), staged_files.c.commit_id.is_(None))
    .values(commit_id=sa.bindparam("opened_id"))
)
_OPEN = (
    lake_tables.update()
    .where(_of_table(lake_tables))
    .values(commit_id=lake_tables.c.commit_id + 1, is_open=True)
)
_FROZEN = (
    sa.select(staged_files.c.group_id, staged_files.c.actions)
    .where(_of_table(staged_files), staged_files.c.commit_id == sa.bindparam("frozen_id"))
    .order_by(staged_files.c.staged_id)
)
_CLOSE = (
    lake_tables.update()
    .where(
        _of_table(lake_tables),
        lake_tables.c.is_open,
        lake_tables.c.commit_id == sa.bindparam("closed_id"),
    )
    .values(is_open=False, version=sa.bindparam("new_version"), rows_total=sa.bindparam("new_rows"))
)
_MARK = lake_tables.update().where(_of_table(lake_tables)).values(damage=sa.bindparam("new_damage"))
_UNSTAGE = staged_files.delete().where(
    _of_table(staged_files), staged_files.c.commit_id == sa.bindparam("closed_id")
)
