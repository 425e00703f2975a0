"""Asks the state database about accepted batches and the lake commits they became."""

import base64
import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache

import sqlalchemy as sa

from engagement.model.records import Kind
from engagement.model.refused import RefusedRecord
from engagement.store.commits import Commit
from engagement.store.queries.json_arrays import json_elements
from engagement.store.queries.refused import REFUSED_LIMITS, RefusedLimits, insert_refused
from engagement.store.queries.upserts import insert_into
from engagement.store.tables import EPOCH, accepted, commits, inbox

ROWS_AT_ONCE = 100
"""Batches that are fetched at once; PostgreSQL's clients read ahead by so many."""

KEYS_AT_ONCE = 100_000
"""Keys that one transaction looks at to forget what is old."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxRow:
    """An accepted batch that is not in the lake yet."""

    app_id: str
    """The app it was sent to."""
    batch_id: str
    """The sender's id of it."""
    received_at: datetime
    """When it was accepted."""
    records: int
    """Records that were accepted from it; one that sets several tags counts once."""
    payload: bytes
    """Its records, as `collect.inbox` encodes them."""
    position: int = 0
    """Its place in the order of acceptance; given by the database."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """What of an app waits in the inbox."""

    records: int
    """How many records."""
    oldest_at: datetime
    """When the batch was received that waits longest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptedContent:
    """What of a submission is new."""

    rows: Sequence[InboxRow] = ()
    """What goes on to the lake."""
    refused: Sequence[RefusedRecord] = ()
    """What cannot, and is kept aside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """What somebody hands in at once, to be kept if it is new."""

    app_id: str
    """The app it was sent to."""
    received_at: datetime
    """When."""
    keys: tuple[str, ...]
    """Ids, each of which is accepted once: of the batch, or of every message in it."""
    content: Callable[[frozenset[str]], AcceptedContent]
    """What to keep, given the keys that are known and whose content must be left out."""


class InboxQueries:
    """Batches on their way into the lake."""

    def __init__(self, engine: sa.Engine, refused_limits: RefusedLimits = REFUSED_LIMITS) -> None:
        self._engine = engine
        self._refused_limits = refused_limits
        self._reading = engine.execution_options(read_only=True)

    def accept(self, submissions: Sequence[Submission]) -> list[int]:
        """Return only when what is new is durable, all in one transaction.

        Returns:
            For each submission, how many of its keys are new; what is known is not stored again.
        """
        if not submissions:
            return []
        keys = [
            {_accepted_key(submission.app_id, key): key for key in submission.keys}
            for submission in submissions
        ]
        day = max(_day(submission.received_at) for submission in submissions)
        with self._engine.begin() as connection:
            new = _remember_keys(connection, set().union(*keys), day)
            counts: list[int] = []
            rows: list[InboxRow] = []
            refused: list[RefusedRecord] = []
            for submission, names in zip(submissions, keys, strict=True):
                accepted_now = new.intersection(names)
                counts.append(len(accepted_now))
                if accepted_now:
                    known = frozenset(names[key] for key in names.keys() - accepted_now)
                    content = submission.content(known)
                    rows += content.rows
                    refused += content.refused
                    new -= accepted_now
            if rows:
                connection.execute(_ADD_ROWS, [_inbox_values(row) for row in rows])
            insert_refused(connection, refused, self._refused_limits)
        return counts

    def remember_batches(self, app_id: str, batches: Iterable[tuple[str, datetime]]) -> int:
        """Remember ids of batches, each with when it was received, as accepted; how many are new.

        What sends them again is told that they are kept.
        """
        days: dict[int, set[str]] = {}
        for batch_id, received_at in batches:
            days.setdefault(_day(received_at), set()).add(_accepted_key(app_id, batch_id))
        with self._engine.begin() as connection:
            return sum(len(_remember_keys(connection, keys, day)) for day, keys in days.items())

    def continue_after(self, position: int) -> None:
        """Give later batches positions above one, since what is in the lake must come before."""
        with self._engine.begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(_CONTINUE_SEQUENCE, {"position": max(position, 1)})
                return
            known = connection.execute(_RAISE_SEQUENCE, {"position": position})
            if known.rowcount == 0:
                connection.execute(_BEGIN_SEQUENCE, {"position": position})

    def newest_position(self, app_id: str) -> int:
        """The position of the app's newest batch in the inbox; 0 if there is none."""
        query = sa.select(sa.func.max(inbox.c.position)).where(inbox.c.app_id == app_id)
        with self._reading.begin() as connection:
            return connection.scalar(query) or 0

    def oldest(self, app_id: str, *, records_max: int, position_max: int) -> list[InboxRow]:
        """The app's oldest batches up to a position, of about `records_max` records together."""
        query = (
            sa.select(*_ROW_COLUMNS)
            .where(inbox.c.app_id == app_id, inbox.c.position <= position_max)
            .order_by(inbox.c.position)
        )
        taken: list[InboxRow] = []
        records = 0
        # Read on and stopped, since to ask how many rows are enough looks at all that wait.
        with (
            self._reading.begin() as connection,
            connection.execute(query, execution_options={"yield_per": ROWS_AT_ONCE}) as answer,
        ):
            for row in answer:
                taken.append(InboxRow(**dict(zip(_ROW_NAMES, row, strict=True))))
                records += taken[-1].records
                if records >= records_max:
                    break
        return taken

    def list_waiting(self) -> list[str]:
        """The ids of the apps that have batches in the inbox."""
        with self._reading.begin() as connection:
            return list(connection.scalars(sa.select(inbox.c.app_id).distinct()))

    def measure_waiting(self) -> dict[str, Waiting]:
        """What waits in the inbox, by app."""
        query = sa.select(
            inbox.c.app_id, sa.func.sum(inbox.c.logs), sa.func.min(inbox.c.received_at)
        ).group_by(inbox.c.app_id)
        with self._reading.begin() as connection:
            return {
                app_id: Waiting(records=records, oldest_at=oldest_at)
                for app_id, records, oldest_at in connection.execute(query)
            }

    def depth(self) -> int:
        """How many records wait in the inbox."""
        with self._reading.begin() as connection:
            return connection.scalar(sa.select(sa.func.coalesce(sa.func.sum(inbox.c.logs), 0))) or 0

    def oldest_at(self) -> datetime | None:
        """When the batch that waits longest was received; None if none waits."""
        query = sa.select(inbox.c.received_at).order_by(inbox.c.position).limit(1)
        with self._reading.begin() as connection:
            return connection.scalar(query)

    def forget_keys(self, before: datetime) -> None:
        """Drop the keys received on days before an instant's; they could be accepted again.

        They lie anywhere among the others, so that all are looked at, some in each transaction.
        """
        old = accepted.c.day < _day(before)
        last: str | None = ""
        while last is not None:
            some = accepted.c.key > last
            query = sa.select(accepted.c.key).where(some).order_by(accepted.c.key)
            with self._engine.begin() as connection:
                last = connection.scalar(query.offset(KEYS_AT_ONCE).limit(1))
                if last is not None:
                    some &= accepted.c.key <= last
                connection.execute(accepted.delete().where(some, old))

    def last_commits(self, app_id: str) -> dict[Kind, Commit]:
        """The newest recorded commit of each of the app's tables."""
        newest = (
            sa.select(commits.c.kind, sa.func.max(commits.c.version).label("version"))
            .where(commits.c.app_id == app_id)
            .group_by(commits.c.kind)
            .subquery()
        )
        query = sa.select(commits).join(
            newest,
            sa.and_(
                commits.c.app_id == app_id,
                commits.c.kind == newest.c.kind,
                commits.c.version == newest.c.version,
            ),
        )
        with self._reading.begin() as connection:
            return {Kind(row.kind): _commit(row) for row in connection.execute(query)}

    def find_version(self, app_id: str, kind: Kind, *, at: datetime) -> int | None:
        """The newest version of a table that was recorded by an instant; None if there is none."""
        query = sa.select(sa.func.max(commits.c.version)).filter_by(app_id=app_id, kind=kind.value)
        with self._reading.begin() as connection:
            newest: int | None = connection.scalar(query.where(commits.c.committed_at <= at))
        return newest

    def apps_with_tables(self) -> list[str]:
        """The ids of the apps that have a table in the lake."""
        with self._reading.begin() as connection:
            return list(connection.scalars(sa.select(commits.c.app_id).distinct()))


def _remember_keys(connection: sa.Connection, keys: set[str], day: int) -> set[str]:
    """Remember keys; those that were not known before.

    One statement or two, however many keys: one for each key would cost more than all else. In
    their order, so that no page of the table is written twice, and no two wait for each other.
    """
    given = json.dumps(sorted(keys))
    if connection.dialect.name == "postgresql":
        # A key that another process adds just now is waited for, so that it is new to one of them,
        # and known to the other when it is durable, without a lock that all would wait for.
        return set(connection.scalars(_add_new_keys(), {"keys": given, "day": day}))
    known = set(connection.scalars(_FIND_KEYS, {"keys": given}))
    if known:
        keys = keys - known
        given = json.dumps(sorted(keys))
    connection.execute(_ADD_KEYS, {"keys": given, "day": day})
    return keys


@cache
def _add_new_keys() -> sa.Executable:
    """Add those of the keys in a JSON array that are not known, and say which."""
    return (
        insert_into(accepted, "postgresql")
        .from_select(["key", "day"], sa.select(_KEYS["postgresql"], _DAY))
        .on_conflict_do_nothing()
        .returning(accepted.c.key)
    )


def _accepted_key(app_id: str, key: str) -> str:
    """120 bits, of which no two are alike by chance, as text that JSON and a database keep."""
    digest = hashlib.blake2b(f"{app_id} {key}".encode(), digest_size=15).digest()
    return base64.b64encode(digest).decode("ascii")


def _day(instant: datetime) -> int:
    return (instant - EPOCH).days


_KEYS = json_elements("keys")
_DAY = sa.bindparam("day", type_=accepted.c.day.type)
_FIND_KEYS = sa.select(accepted.c.key).where(accepted.c.key == _KEYS["sqlite"])
_ADD_KEYS = (
    accepted.insert()
    .from_select(["key", "day"], sa.select(_KEYS["sqlite"], _DAY))
    # None is there, but else SQLite keeps apart how each page was, in case it has to undo the rest.
    .prefix_with("OR IGNORE")
)
_CONTINUE_SEQUENCE = sa.text(
    "SELECT setval(pg_get_serial_sequence('inbox', 'position'),"
    " greatest(:position, (SELECT coalesce(max(position), 1) FROM inbox)))"
)
_RAISE_SEQUENCE = sa.text(
    "UPDATE sqlite_sequence SET seq = max(seq, :position) WHERE name = 'inbox'"
)
_BEGIN_SEQUENCE = sa.text("INSERT INTO sqlite_sequence (name, seq) VALUES ('inbox', :position)")
_ADD_ROWS = inbox.insert()
_ROW_NAMES = tuple(InboxRow.__dataclass_fields__)
_ROW_COLUMNS = [inbox.c["logs" if name == "records" else name].label(name) for name in _ROW_NAMES]
"""The columns of `InboxRow`'s fields, in their order."""


def _inbox_values(row: InboxRow) -> dict[str, object]:
    return {
        "app_id": row.app_id,
        "batch_id": row.batch_id,
        "received_at": row.received_at,
        "logs": row.records,
        "payload": row.payload,
    }


def _commit(row: sa.Row[tuple[object, ...]]) -> Commit:
    return Commit(
        kind=Kind(row.kind), version=row.version, rows_total=row.rows_total, sha256=row.sha256
    )
