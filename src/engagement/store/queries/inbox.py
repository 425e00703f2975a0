"""This module asks the state database about accepted batches and the lake commits they became."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import islice
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from engagement.model.records import Kind
from engagement.model.refused import RefusedRecord
from engagement.store.queries.refused import insert_refused
from engagement.store.state import batches, commits, inbox, open_sessions

VARIABLES_MAX = 10_000
"""Values in one statement; SQLite takes 32,766."""
ROWS_AT_ONCE = 100
"""Batches that are fetched at once; PostgreSQL's clients read ahead by so many."""

ACCEPT_LOCK = 0x1AB0C
"""The PostgreSQL advisory lock that whoever accepts batches holds."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxRow:
    """An accepted batch that is not in the lake yet."""

    app_id: str
    """The app it was sent to."""
    batch_id: str
    """The sender's id of it."""
    received_at: datetime
    """When it was accepted."""
    logs: int
    """Logs that were accepted from it."""
    payload: bytes
    """Its records, as `collect.inbox` encodes them."""
    position: int = 0
    """Its place in the order of acceptance; given by the database."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What of an offer is new."""

    rows: Sequence[InboxRow] = ()
    """What goes on to the lake."""
    refused: Sequence[RefusedRecord] = ()
    """What cannot, and is kept aside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What somebody hands in at once, to be kept if it is new."""

    app_id: str
    """The app it was sent to."""
    received_at: datetime
    """When."""
    keys: tuple[str, ...]
    """Ids, each of which is accepted once: of the batch, or of every message in it."""
    kept: Callable[[frozenset[str]], Kept]
    """What to keep, given the keys that are known and whose content must be left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """A Delta commit that is on disk for good."""

    kind: Kind
    """The table's kind of record."""
    version: int
    """The table's version after it."""
    rows_total: int
    """Rows of the whole table at that version."""
    sha256: str
    """Of the commit's file in the Delta log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenSession:
    """A session that the service opened because the client names none."""

    session_id: str
    """Its id."""
    device_id: str
    """The device it belongs to."""
    start: datetime
    """Its first activity so far."""
    end: datetime
    """Its last activity so far."""


class InboxQueries:
    """Batches on their way into the lake."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._reading = engine.execution_options(read_only=True)

    def accept(self, offers: Sequence[Offer]) -> list[int]:
        """Return only when what is new is durable, all in one transaction.

        Returns:
            For each offer, how many of its keys are new; what is known is not stored again.
        """
        if not offers:
            return []
        with self._engine.begin() as connection:
            if connection.dialect.name == "postgresql":
                # Without it a batch could appear below a position that a flush has passed, and be
                # taken as flushed; and the same batch could be accepted by two processes at once.
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(ACCEPT_LOCK)))
            new = _remember_keys(connection, offers)
            fresh: list[int] = []
            rows: list[InboxRow] = []
            aside: list[RefusedRecord] = []
            for offer in offers:
                mine = new[offer.app_id].intersection(offer.keys)
                fresh.append(len(mine))
                if mine:
                    kept = offer.kept(frozenset(offer.keys) - mine)
                    rows += kept.rows
                    aside += kept.refused
                    new[offer.app_id] -= mine
            if rows:
                connection.execute(_ADD_ROWS, [_inbox_values(row) for row in rows])
            insert_refused(connection, aside)
        return fresh

    def newest_position(self, app_id: str) -> int:
        """The position of the app's newest batch in the inbox; 0 if there is none."""
        question = sa.select(sa.func.max(inbox.c.position)).where(inbox.c.app_id == app_id)
        with self._reading.begin() as connection:
            return connection.scalar(question) or 0

    def oldest(self, app_id: str, *, logs_max: int, position_max: int) -> list[InboxRow]:
        """The app's oldest batches up to a position, of about `logs_max` logs together."""
        question = (
            sa.select(*(inbox.c[name] for name in InboxRow.__dataclass_fields__))
            .where(inbox.c.app_id == app_id, inbox.c.position <= position_max)
            .order_by(inbox.c.position)
        )
        taken: list[InboxRow] = []
        logs = 0
        # Read on and stopped, since to ask how many rows are enough looks at all that wait.
        with (
            self._reading.begin() as connection,
            connection.execute(question, execution_options={"yield_per": ROWS_AT_ONCE}) as answer,
        ):
            for row in answer:
                taken.append(InboxRow(**row._asdict()))
                logs += row.logs
                if logs >= logs_max:
                    break
        return taken

    def waiting(self) -> list[str]:
        """The ids of the apps that have batches in the inbox."""
        with self._reading.begin() as connection:
            return list(connection.scalars(sa.select(inbox.c.app_id).distinct()))

    def depth(self) -> int:
        """How many logs wait in the inbox."""
        with self._reading.begin() as connection:
            return connection.scalar(sa.select(sa.func.coalesce(sa.func.sum(inbox.c.logs), 0))) or 0

    def oldest_at(self) -> datetime | None:
        """When the batch that waits longest was received; None if none waits."""
        question = sa.select(inbox.c.received_at).order_by(inbox.c.position).limit(1)
        with self._reading.begin() as connection:
            return connection.scalar(question)

    def forget_batches(self, before: datetime) -> None:
        """Drop the ids of batches received before an instant; they could be accepted again."""
        with self._engine.begin() as connection:
            connection.execute(batches.delete().where(batches.c.received_at < before))

    def sessions_of(
        self, app_id: str, device_ids: Iterable[str], *, since: datetime, until: datetime
    ) -> list[OpenSession]:
        """The sessions that the service opened for these devices and that touch a span of time."""
        columns = [open_sessions.c[name] for name in OpenSession.__dataclass_fields__]
        touching = sa.select(*columns).where(
            open_sessions.c.app_id == app_id,
            open_sessions.c.end >= since,
            open_sessions.c.start <= until,
        )
        found: list[OpenSession] = []
        with self._reading.begin() as connection:
            for some in _batched(sorted(device_ids), VARIABLES_MAX):
                question = touching.where(open_sessions.c.device_id.in_(some))
                found += [OpenSession(**row) for row in connection.execute(question).mappings()]
        return found

    def last_commits(self, app_id: str) -> dict[Kind, Commit]:
        """The newest recorded commit of each of the app's tables."""
        newest = (
            sa.select(commits.c.kind, sa.func.max(commits.c.version).label("version"))
            .where(commits.c.app_id == app_id)
            .group_by(commits.c.kind)
            .subquery()
        )
        question = sa.select(commits).join(
            newest,
            sa.and_(
                commits.c.app_id == app_id,
                commits.c.kind == newest.c.kind,
                commits.c.version == newest.c.version,
            ),
        )
        with self._reading.begin() as connection:
            return {Kind(row.kind): _commit(row) for row in connection.execute(question)}

    def apps_with_tables(self) -> list[str]:
        """The ids of the apps that have a table in the lake."""
        with self._reading.begin() as connection:
            return list(connection.scalars(sa.select(commits.c.app_id).distinct()))

    def record_commits(
        self,
        app_id: str,
        made: Iterable[Commit],
        *,
        committed_at: datetime,
        sessions: Iterable[OpenSession] = (),
        flushed: Sequence[InboxRow] = (),
    ) -> None:
        """Remember commits that are on disk and, at once, let the batches go that are in them."""
        positions = [row.position for row in flushed]
        with self._engine.begin() as connection:
            for commit in made:
                key = {"app_id": app_id, "kind": commit.kind.value, "version": commit.version}
                connection.execute(commits.delete().filter_by(**key))
                connection.execute(
                    commits.insert().values(
                        **key,
                        rows_total=commit.rows_total,
                        sha256=commit.sha256,
                        committed_at=committed_at,
                    )
                )
            _keep_sessions(connection, app_id, list(sessions))
            if positions:
                connection.execute(
                    inbox.delete().where(
                        inbox.c.app_id == app_id,
                        inbox.c.position.between(positions[0], positions[-1]),
                    )
                )

    def forget_sessions(self, before: datetime) -> None:
        """Drop opened sessions that ended before an instant; later activities start new ones."""
        with self._engine.begin() as connection:
            connection.execute(open_sessions.delete().where(open_sessions.c.end < before))

    def forget_device(self, app_id: str, device_id: str) -> None:
        """Drop the opened sessions of a device."""
        with self._engine.begin() as connection:
            connection.execute(open_sessions.delete().filter_by(app_id=app_id, device_id=device_id))


def _remember_keys(connection: sa.Connection, offers: Sequence[Offer]) -> dict[str, set[str]]:
    """Remember the offers' keys; for each app, those that were not known before.

    One statement an app, however many keys: a statement for each key would cost more than all else.
    """
    offered: dict[str, list[str]] = {}
    for offer in offers:
        offered.setdefault(offer.app_id, []).extend(offer.keys)
    received_at = max(offer.received_at for offer in offers)
    add = _ADD_KEYS[connection.dialect.name]
    return {
        app_id: set(
            connection.scalars(add, {"app": app_id, "at": received_at, "keys": json.dumps(keys)})
        )
        for app_id, keys in offered.items()
    }


def _insert_keys(insert: Callable[[sa.Table], Any], rows: sa.TableValuedAlias) -> sa.Insert:
    """Adds the keys in a JSON array, and returns those that are new."""
    key = rows.c.value
    given = sa.select(
        sa.bindparam("app", type_=batches.c.app_id.type),
        key,
        sa.bindparam("at", type_=batches.c.received_at.type),
    ).where(key.is_not(None))  # SQLite needs a condition to tell what ON CONFLICT belongs to
    added: sa.Insert = (
        insert(batches)
        .from_select(["app_id", "batch_id", "received_at"], given)
        .on_conflict_do_nothing()
        .returning(batches.c.batch_id)
    )
    return added


_KEYS = sa.bindparam("keys", type_=sa.Text())
_ADD_KEYS = {
    "sqlite": _insert_keys(sqlite.insert, sa.func.json_each(_KEYS).table_valued("value")),
    "postgresql": _insert_keys(
        postgresql.insert,
        sa.func.json_array_elements_text(sa.cast(_KEYS, sa.JSON)).table_valued("value"),
    ),
}
"""Built once: they are executed in every transaction that accepts something."""
_ADD_ROWS = inbox.insert()


def _keep_sessions(connection: sa.Connection, app_id: str, sessions: Sequence[OpenSession]) -> None:
    for some in _batched(sessions, VARIABLES_MAX):
        ids = [session.session_id for session in some]
        connection.execute(
            open_sessions.delete().where(
                open_sessions.c.app_id == app_id, open_sessions.c.session_id.in_(ids)
            )
        )
        connection.execute(
            open_sessions.insert(), [asdict(session) | {"app_id": app_id} for session in some]
        )


def _batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """The items in lists of at most a size."""
    source = iter(items)
    while some := list(islice(source, size)):
        yield some


def _inbox_values(row: InboxRow) -> dict[str, object]:
    return {
        "app_id": row.app_id,
        "batch_id": row.batch_id,
        "received_at": row.received_at,
        "logs": row.logs,
        "payload": row.payload,
    }


def _commit(row: sa.Row[tuple[object, ...]]) -> Commit:
    return Commit(
        kind=Kind(row.kind), version=row.version, rows_total=row.rows_total, sha256=row.sha256
    )
