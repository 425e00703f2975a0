"""Asks the state database what flushes have seen before, so that it is kept once.

A session or a job may be reported again on a later day. All that is reported of it goes to the day
that it was first reported on, so that an export finds it whole without looking at other days.
Information and locations are written to the lake where they were not told before.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import islice
from typing import Any, NamedTuple, TypeVar

import sqlalchemy as sa

from engagement.model.records import Kind
from engagement.store.tables import EPOCH, contents, open_sessions, spans

SPAN_DAYS_MIN = 90
"""Days of silence after which a session or a job is still known, so that it stays one row."""
VARIABLES_MAX = 10_000
"""Values in one statement; SQLite takes 32,766."""
SESSIONS_AT_ONCE = 1_000
"""Opened sessions that are fetched at once."""
FORGET_AT_ONCE = 100_000
"""Rows that one transaction forgets, so that others need not wait long for it."""


_KIND_CODES = {Kind.SESSION: 0, Kind.JOB: 1, Kind.INFO: 2, Kind.LOCATION: 3}
_KIND_BITS = 2
_THINGS_MAX = 2**61 - 1
"""A prime, so that all 128 bits of an id decide about its key, whatever ids a sender makes."""
_EPOCH_DAY = EPOCH.toordinal()
_MICROSECOND = timedelta(microseconds=1)

T = TypeVar("T")


class SightingKey(NamedTuple):
    """What a thing of a device is known by: two numbers of 64 bits."""

    device: int
    """A hash of the app and the device; all things of a device lie together."""
    thing: int
    """What of its id and its kind is left in 63 bits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A session or a job, as far as later reports need it."""

    key: SightingKey
    """What it is known by."""
    day: date
    """The partition that holds all of it: the UTC day on which its first report let it start."""
    start: datetime
    """The earliest start that was reported."""
    device_start: datetime | None
    """That start by the device's own clock, where it differs."""
    received_on: date
    """The UTC day on which something was last received of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """Information or a location that a device told."""

    key: SightingKey
    """What it is known by."""
    last_day: date
    """The last UTC day of records that came with it."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Sightings:
    """What a flush saw that is new, or of which something is new."""

    sessions: Sequence[OpenSession] = ()
    """Sessions that the service opened or extended."""
    spans: Sequence[Span] = ()
    """Sessions and jobs."""
    contents: Sequence[Content] = ()
    """Information and locations."""


def derive_sighting_keys(
    app_id: str, kind: Kind, ids: Iterable[tuple[str, str]]
) -> list[SightingKey]:
    """What things of an app's devices are known by.

    Args:
        app_id: The app.
        kind: What the things are.
        ids: The device and the own id of each, both 32 hexadecimal digits.
    """
    kind_code = _KIND_CODES[kind]
    devices: dict[str, int] = {}
    keys = []
    for device_id, thing_id in ids:
        device = devices.get(device_id)
        if device is None:
            device = devices[device_id] = hash_device(app_id, device_id)
        keys.append(SightingKey(device, int(thing_id, 16) % _THINGS_MAX << _KIND_BITS | kind_code))
    return keys


class SightingQueries:
    """What was seen before."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._reading = engine.execution_options(read_only=True)

    def sessions_of(
        self, app_id: str, device_ids: Iterable[str], *, since: datetime, until: datetime
    ) -> Iterator[OpenSession]:
        """The sessions that the service opened for these devices and that touch a span of time.

        Sorted by device, start and id, and read as they are asked for: one device may have more
        than should be in memory. The caller closes what it does not read to the end.
        """
        columns = [open_sessions.c[name] for name in OpenSession.__dataclass_fields__]
        touching = (
            sa.select(*columns)
            .where(
                open_sessions.c.app_id == app_id,
                open_sessions.c.end >= since,
                open_sessions.c.start <= until,
            )
            .order_by(open_sessions.c.device_id, open_sessions.c.start, open_sessions.c.session_id)
            .execution_options(yield_per=SESSIONS_AT_ONCE)
        )
        with self._reading.begin() as connection:
            for some in _batched(sorted(device_ids), VARIABLES_MAX):
                query = touching.where(open_sessions.c.device_id.in_(some))
                with connection.execute(query) as found:  # a server keeps a cursor until then
                    for row in found.mappings():
                        yield OpenSession(**row)

    def spans(self, keys: Iterable[SightingKey]) -> dict[SightingKey, Span]:
        """The sessions and jobs of these keys that are known."""
        with self._reading.begin() as connection:
            return {
                SightingKey(row.device, row.thing): Span(
                    key=SightingKey(row.device, row.thing),
                    day=_date(row.day),
                    start=row.start,
                    device_start=row.device_start,
                    received_on=_date(row.received_on),
                )
                for row in _find(connection, spans, keys)
            }

    def contents(self, keys: Iterable[SightingKey]) -> dict[SightingKey, date]:
        """The last day of each information and location of these keys that is known."""
        with self._reading.begin() as connection:
            found = _find(connection, contents, keys)
        days = {day: _date(day) for day in {day for _, _, day in found}}
        return {SightingKey(device, thing): days[day] for device, thing, day in found}

    def keep(self, app_id: str, seen: Sightings) -> None:
        """Remember what was seen, in a transaction of its own."""
        with self._engine.begin() as connection:
            keep_sightings(connection, app_id, seen)

    def forget_spans(self, before: date) -> None:
        """Drop what nothing was received of since before a day; more of it would start anew."""
        old = spans.c.received_on < _day(before)
        is_done = False
        while not is_done:
            some = sa.select(spans.c.device, spans.c.thing).where(old).limit(FORGET_AT_ONCE)
            with self._engine.begin() as connection:
                keys = [SightingKey(*row) for row in connection.execute(some)]
                _drop(connection, spans, keys)
            is_done = len(keys) < FORGET_AT_ONCE

    def forget_sessions(self, before: datetime) -> None:
        """Drop opened sessions that ended before an instant; later activities start new ones."""
        with self._engine.begin() as connection:
            connection.execute(open_sessions.delete().where(open_sessions.c.end < before))

    def drop_spans(self, keys: Sequence[SightingKey]) -> None:
        """Drop these sessions and jobs; more of them would start anew."""
        for some in _batched(keys, FORGET_AT_ONCE):
            with self._engine.begin() as connection:
                _drop(connection, spans, some)

    def forget_contents(self, keys: Iterable[SightingKey], before: date) -> None:
        """Drop those of these keys that came with no record since before a day."""
        with self._engine.begin() as connection:
            found = _find(connection, contents, keys)
            old = [
                SightingKey(row.device, row.thing) for row in found if _date(row.last_day) < before
            ]
            _drop(connection, contents, old)

    def forget_device(self, app_id: str, device_id: str) -> None:
        """Drop all that a device told."""
        device = hash_device(app_id, device_id)
        with self._engine.begin() as connection:
            connection.execute(open_sessions.delete().filter_by(app_id=app_id, device_id=device_id))
            for table in (spans, contents):
                connection.execute(table.delete().where(table.c.device == device))


def keep_sightings(connection: sa.Connection, app_id: str, seen: Sightings) -> None:
    """Remember what a flush saw, in the transaction that lets its batches go."""
    _keep_sessions(connection, app_id, seen.sessions)
    _put(
        connection,
        spans,
        [
            (
                *span.key,
                _day(span.day),
                _moment(span.start),
                _moment(span.device_start),
                _day(span.received_on),
            )
            for span in seen.spans
        ],
    )
    _put(
        connection,
        contents,
        [(*content.key, _day(content.last_day)) for content in seen.contents],
    )


def _put(
    connection: sa.Connection, table: sa.Table, rows: Sequence[tuple[int | None, ...]]
) -> None:
    """Insert rows, in the place of those that have their keys; one parameter for all of them."""
    if rows:
        given = json.dumps(sorted(rows, key=lambda row: row[:2]))
        connection.execute(_PUT_STATEMENTS[connection.dialect.name, table.name], {"rows": given})


def _put_statements() -> dict[tuple[str, str], sa.TextClause]:
    statements = {}
    for table in (spans, contents):
        columns = [column.name for column in table.columns]
        named = ", ".join(f'"{name}"' for name in columns)
        others = ", ".join(f'"{name}" = excluded."{name}"' for name in columns[2:])
        sqlite = ", ".join(f"json_extract(value, '$[{place}]')" for place in range(len(columns)))
        postgresql = ", ".join(f"(value->>{place})::bigint" for place in range(len(columns)))
        for dialect, values, source in (
            ("sqlite", sqlite, "json_each(:rows) WHERE true"),
            ("postgresql", postgresql, "json_array_elements(CAST(:rows AS json)) WHERE true"),
        ):
            statements[dialect, table.name] = sa.text(
                f'INSERT INTO "{table.name}" ({named}) SELECT {values} FROM {source} '  # noqa: S608 - our own names
                f'ON CONFLICT ("device", "thing") DO UPDATE SET {others}'
            )
    return statements


_PUT_STATEMENTS = _put_statements()
"""Built once: they are executed by every flush, some thousand rows each."""


def _keep_sessions(connection: sa.Connection, app_id: str, sessions: Sequence[OpenSession]) -> None:
    for some in _batched(sessions, VARIABLES_MAX):
        ids = [session.session_id for session in some]
        connection.execute(
            open_sessions.delete().where(
                open_sessions.c.app_id == app_id, open_sessions.c.session_id.in_(ids)
            )
        )
        connection.execute(
            open_sessions.insert(),
            [
                {
                    "app_id": app_id,
                    "session_id": session.session_id,
                    "device_id": session.device_id,
                    "start": session.start,
                    "end": session.end,
                }
                for session in some
            ],
        )


def _batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """The items in lists of at most a size."""
    source = iter(items)
    while some := list(islice(source, size)):
        yield some


def _find(connection: sa.Connection, table: sa.Table, keys: Iterable[SightingKey]) -> Sequence[Any]:
    wanted = sorted(set(keys))
    if not wanted:
        return []
    device, thing = _KEY_COLUMNS[connection.dialect.name]
    query = sa.select(table).where(table.c.device == device, table.c.thing == thing)
    return connection.execute(query, {"keys": json.dumps(wanted)}).all()


def _drop(connection: sa.Connection, table: sa.Table, keys: Sequence[SightingKey]) -> None:
    if keys:
        device, thing = _KEY_COLUMNS[connection.dialect.name]
        dropped = table.delete().where(
            sa.tuple_(table.c.device, table.c.thing).in_(sa.select(device, thing))
        )
        connection.execute(dropped, {"keys": json.dumps(sorted(set(keys)))})


_KEYS = sa.bindparam("keys", type_=sa.Text())
_sqlite_pair = sa.func.json_each(_KEYS).table_valued("value").c.value
_postgresql_pair = (
    sa.func.json_array_elements(sa.cast(_KEYS, sa.JSON))
    .table_valued(sa.column("value", sa.JSON))
    .c.value
)
_KEY_COLUMNS = {
    "sqlite": (
        sa.func.json_extract(_sqlite_pair, "$[0]"),
        sa.func.json_extract(_sqlite_pair, "$[1]"),
    ),
    "postgresql": (
        sa.cast(_postgresql_pair.op("->>")(0), sa.BigInteger),
        sa.cast(_postgresql_pair.op("->>")(1), sa.BigInteger),
    ),
}
"""The two halves of each key in a JSON array of pairs; one parameter, however many there are."""


def hash_device(app_id: str, device_id: str) -> int:
    """The 64 bits by which a device of an app is known where its id must not stand."""
    return _hash(f"{app_id} {device_id}")


def _hash(text: str) -> int:
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def _moment(instant: datetime | None) -> int | None:
    return None if instant is None else (instant - EPOCH) // _MICROSECOND


def _day(day: date) -> int:
    return day.toordinal() - _EPOCH_DAY


def _date(day: int) -> date:
    return date.fromordinal(day + _EPOCH_DAY)
