"""Asks the state database about refused records, and keeps and drops them."""

import time
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
from engagement.store.tables import refused

_ENTRY_COLUMNS = [refused.c[field.name] for field in fields(RefusedEntry)]
BYTES_KNOWN_SECONDS = 5.0
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


def insert_refused(connection: sa.Connection, records: Sequence[RefusedRecord]) -> None:
    """Keep records, in the transaction that the connection is in; the database gives the ids."""
    if records:
        connection.execute(refused.insert(), [_values(record) for record in records])


class RefusedQueries:
    """Refused records."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._reading = engine.execution_options(read_only=True)
        self._known_bytes = 0
        self._known_until = 0.0

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

    def total(self) -> int:
        """How many there are."""
        with self._reading.begin() as connection:
            return connection.scalar(sa.select(sa.func.count()).select_from(refused)) or 0

    def total_bytes(self) -> int:
        """What the bodies of all records take."""
        with self._reading.begin() as connection:
            return connection.scalar(sa.select(_BYTES)) or 0

    def has_room(self, bytes_max: int) -> bool:
        """Whether the bodies of all records take less than this; looked at every few seconds."""
        now = time.monotonic()
        if now >= self._known_until:
            self._known_bytes = self.total_bytes()
            self._known_until = now + BYTES_KNOWN_SECONDS
        return self._known_bytes < bytes_max

    def add(self, records: Sequence[RefusedRecord]) -> None:
        """Keep records in a transaction of their own."""
        with self._engine.begin() as connection:
            insert_refused(connection, records)

    def record_replay(self, replay: Replay) -> None:
        """Keep what a replay came to, all in one transaction."""
        with self._engine.begin() as connection:
            connection.execute(refused.delete().where(refused.c.refused_id.in_(replay.gone)))
            for record in replay.kept:
                connection.execute(
                    refused.update()
                    .where(refused.c.refused_id == record.refused_id)
                    .values(code=record.code, message=record.message)
                )
            insert_refused(connection, replay.left)

    def drop(self, chosen: RefusedFilter) -> int:
        """Forget records; how many there were."""
        with self._engine.begin() as connection:
            return connection.execute(refused.delete().where(_condition(chosen))).rowcount


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
