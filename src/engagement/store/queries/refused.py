"""Asks the state database about refused records, and keeps and drops them."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import sqlalchemy as sa

from engagement.exceptions import UnknownRefusedRecordError
from engagement.model.refused import (
    RefusedCount,
    RefusedEntry,
    RefusedFilter,
    RefusedRecord,
    SenderProtocol,
)
from engagement.store.queries.upserts import insert_into
from engagement.store.tables import refused, refused_totals

REFUSED_LOCK = 0x454E10
"""The PostgreSQL advisory lock of whoever changes what is kept of refused records."""
ROOM_MADE_AT_ONCE = 1_000
"""Records that one look for room takes out at most."""
_ENTRY_COLUMNS = [refused.c[field.name] for field in fields(RefusedEntry)]
_BYTES = sa.func.coalesce(sa.func.sum(sa.func.length(refused.c.body)), 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """What a replay of some refused records came to."""

    gone: Sequence[int]
    """The ids of those that were accepted, at least in part."""
    kept: Sequence[RefusedRecord]
    """Those that stay, with the reason that holds now."""
    left: Sequence[RefusedRecord]
    """New ones: what was refused of those that were accepted in part."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedLimits:
    """How much is kept of what was refused; the oldest make room."""

    app_bytes_max: int = 64 * 1024 * 1024
    """Of one app."""
    bytes_max: int = 1024 * 1024 * 1024
    """Of all apps; the app that has most makes room."""


REFUSED_LIMITS = RefusedLimits()
"""What is kept where no setting says otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedTotals:
    """What is kept of all that was refused."""

    records: int
    """Records that are there."""
    bytes: int
    """What their bodies take."""
    crowded_out: int
    """Records that made room for later ones, ever."""


def insert_refused(
    connection: sa.Connection, records: Sequence[RefusedRecord], limits: RefusedLimits
) -> None:
    """Keep records, in the transaction that the connection is in; the database gives the ids.

    The oldest of an app make room for those that are beyond its limit, so that no app takes the
    room of another.
    """
    if not records:
        return
    _keep_others_out(connection)
    connection.execute(refused.insert(), [_values(record) for record in records])
    for app_id in sorted({record.app_id for record in records}):
        sizes = [len(record.body) for record in records if record.app_id == app_id]
        _add_to_totals(connection, app_id, records=len(sizes), size=sum(sizes))
        _make_room(connection, app_id, limits.app_bytes_max)
    largest = sa.select(refused_totals).order_by(refused_totals.c.bytes.desc()).limit(1)
    all_bytes = sa.select(sa.func.sum(refused_totals.c.bytes))
    while (over := int(connection.scalar(all_bytes) or 0) - limits.bytes_max) > 0:
        app = connection.execute(largest).one()
        _make_room(connection, app.app_id, max(0, app.bytes - over))


class RefusedQueries:
    """Refused records."""

    def __init__(self, engine: sa.Engine, limits: RefusedLimits = REFUSED_LIMITS) -> None:
        self._engine = engine
        self._reading = engine.execution_options(read_only=True)
        self._limits = limits

    def list_page(
        self, chosen: RefusedFilter, *, limit: int, before: int | None = None
    ) -> list[RefusedEntry]:
        """Some records without their bodies, newest first, from before an id on."""
        query = sa.select(*_ENTRY_COLUMNS).where(_condition(chosen))
        if before is not None:
            query = query.where(refused.c.refused_id < before)
        query = query.order_by(refused.c.refused_id.desc()).limit(limit)
        with self._reading.begin() as connection:
            return [RefusedEntry(**_typed(row)) for row in connection.execute(query).mappings()]

    def take_page(self, chosen: RefusedFilter, *, limit: int, after: int) -> list[RefusedRecord]:
        """Some records with their bodies, oldest first, from after an id on."""
        query = (
            sa.select(refused)
            .where(_condition(chosen), refused.c.refused_id > after)
            .order_by(refused.c.refused_id)
            .limit(limit)
        )
        with self._reading.begin() as connection:
            return [RefusedRecord(**_typed(row)) for row in connection.execute(query).mappings()]

    def get(self, refused_id: int) -> RefusedRecord:
        """The record with this id.

        Raises:
            UnknownRefusedRecordError: There is none.
        """
        found = self.take_page(RefusedFilter(refused_ids=(refused_id,)), limit=1, after=0)
        if not found:
            raise UnknownRefusedRecordError(
                f"No refused record has the id {refused_id}; `engagement refused list` shows all."
            )
        return found[0]

    def count(self, chosen: RefusedFilter) -> list[RefusedCount]:
        """How many records there are of each app and code, the most first."""
        records = sa.func.count()
        query = (
            sa.select(refused.c.app_id, refused.c.code, records, _BYTES)
            .where(_condition(chosen))
            .group_by(refused.c.app_id, refused.c.code)
            .order_by(records.desc(), refused.c.app_id, refused.c.code)
        )
        with self._reading.begin() as connection:
            return [
                RefusedCount(app_id=app_id, code=code, records=number, bytes=size)
                for app_id, code, number, size in connection.execute(query)
            ]

    def newest_id(self) -> int:
        """The id of the newest record; 0 if there is none."""
        with self._reading.begin() as connection:
            return connection.scalar(sa.select(sa.func.max(refused.c.refused_id))) or 0

    def read_totals(self) -> RefusedTotals:
        """What the records of all apps are together."""
        columns = (refused_totals.c[field.name] for field in fields(RefusedTotals))
        query = sa.select(*(sa.func.coalesce(sa.func.sum(column), 0) for column in columns))
        with self._reading.begin() as connection:
            records, size, crowded_out = connection.execute(query).one()
        return RefusedTotals(records=int(records), bytes=int(size), crowded_out=int(crowded_out))

    def add(self, records: Sequence[RefusedRecord]) -> None:
        """Keep records in a transaction of their own."""
        with self._engine.begin() as connection:
            insert_refused(connection, records, self._limits)

    def record_replay(self, replay: Replay) -> None:
        """Keep what a replay came to, all in one transaction."""
        with self._engine.begin() as connection:
            _keep_others_out(connection)
            _delete(connection, refused.c.refused_id.in_(replay.gone))
            for record in replay.kept:
                connection.execute(
                    refused.update()
                    .where(refused.c.refused_id == record.refused_id)
                    .values(code=record.code, message=record.message)
                )
            insert_refused(connection, replay.left, self._limits)

    def drop(self, chosen: RefusedFilter) -> int:
        """Forget records; how many there were."""
        with self._engine.begin() as connection:
            _keep_others_out(connection)
            return _delete(connection, _condition(chosen))


def _keep_others_out(connection: sa.Connection) -> None:
    """Wait until nobody else changes refused records, up to the end of the transaction.

    Two who make room for theirs would take the same records out, and count them twice; and each
    could wait for the totals of an app that the other has changed. SQLite has one writer anyway.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(REFUSED_LOCK)))


def _add_to_totals(
    connection: sa.Connection, app_id: str, *, records: int, size: int, crowded_out: int = 0
) -> None:
    changed = {
        refused_totals.c.records: refused_totals.c.records + records,
        refused_totals.c.bytes: refused_totals.c.bytes + size,
        refused_totals.c.crowded_out: refused_totals.c.crowded_out + crowded_out,
    }
    added = insert_into(refused_totals, connection.dialect.name).values(
        app_id=app_id, records=records, bytes=size, crowded_out=crowded_out
    )
    connection.execute(added.on_conflict_do_update(index_elements=["app_id"], set_=changed))


def _make_room(connection: sa.Connection, app_id: str, bytes_max: int) -> None:
    """Drop the oldest records of an app until the others take no more than a size."""
    kept = connection.scalar(sa.select(refused_totals.c.bytes).filter_by(app_id=app_id)) or 0
    oldest = (
        sa.select(refused.c.refused_id, sa.func.length(refused.c.body).label("size"))
        .filter_by(app_id=app_id)
        .order_by(refused.c.refused_id)
        .limit(ROOM_MADE_AT_ONCE)
    )
    while kept > bytes_max and (rows := connection.execute(oldest).all()):
        last, records, size = 0, 0, 0
        for row in rows:
            if kept - size <= bytes_max:
                break
            last, records, size = row.refused_id, records + 1, size + row.size
        connection.execute(
            refused.delete().where(refused.c.app_id == app_id, refused.c.refused_id <= last)
        )
        _add_to_totals(connection, app_id, records=-records, size=-size, crowded_out=records)
        kept -= size


def _delete(connection: sa.Connection, condition: sa.ColumnElement[bool]) -> int:
    """Drop records that are chosen; how many there were."""
    totals = sa.select(refused.c.app_id, sa.func.count(), _BYTES).where(condition)
    found = connection.execute(totals.group_by(refused.c.app_id)).all()
    connection.execute(refused.delete().where(condition))
    for app_id, records, size in found:
        _add_to_totals(connection, app_id, records=-records, size=-int(size))
    return sum(int(records) for _, records, _ in found)


def _condition(chosen: RefusedFilter) -> sa.ColumnElement[bool]:
    wanted = {
        refused.c.app_id: chosen.app_id,
        refused.c.code: chosen.code,
        refused.c.protocol: chosen.protocol,
    }
    conditions = [column == value for column, value in wanted.items() if value is not None]
    if chosen.refused_ids:
        conditions.append(refused.c.refused_id.in_(chosen.refused_ids))
    return sa.and_(sa.true(), *conditions)


def _typed(row: sa.RowMapping) -> dict[str, Any]:
    return {**row, "protocol": SenderProtocol(row["protocol"])}


def _values(record: RefusedRecord) -> dict[str, object]:
    values = asdict(record)
    del values["refused_id"]
    return values
