"""This module asks the state database what flushes have seen before, so that it is kept once.

A session or a job may be reported again on a later day. All that is reported of it goes to the day
that it was first reported on, so that an export finds it whole without looking at other days.
Information and locations are written to the lake where they were not told before.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from engagement.store.state import EPOCH, contents, spans

FORGET_AT_ONCE = 100_000
"""Rows that one transaction forgets, so that others need not wait long for it."""


class SightingKey(NamedTuple):
    """What a thing of a device is known by: two hashes of 64 bits."""

    device: int
    """Of the app and the device; all things of a device lie together."""
    thing: int
    """Of what it is and its id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A session or a job, as far as later reports need it."""

    key: SightingKey
    """What it is known by."""
    day: date
    """The partition that holds all of it: the UTC day on which its first report let it start."""
    start: datetime
    """The earliest start that was reported."""
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
class Sightings:
    """What a flush saw that is new, or of which something is new."""

    spans: Sequence[Span] = ()
    """Sessions and jobs."""
    contents: Sequence[Content] = ()
    """Information and locations."""


def device_hash(app_id: str, device_id: str) -> int:
    """The first half of the keys of a device's things."""
    return _hash(f"{app_id} {device_id}")


def thing_hash(kind: str, thing_id: str) -> int:
    """The second half of a key."""
    return _hash(f"{kind} {thing_id}")


class SightingQueries:
    """What was seen before."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._reading = engine.execution_options(read_only=True)

    def spans(self, keys: Iterable[SightingKey]) -> dict[SightingKey, Span]:
        """The sessions and jobs of these keys that are known."""
        with self._reading.begin() as connection:
            return {
                SightingKey(row.device, row.thing): Span(
                    key=SightingKey(row.device, row.thing),
                    day=_date(row.day),
                    start=row.start,
                    received_on=_date(row.received_on),
                )
                for row in _find(connection, spans, keys)
            }

    def contents(self, keys: Iterable[SightingKey]) -> dict[SightingKey, Content]:
        """The information and locations of these keys that are known."""
        with self._reading.begin() as connection:
            return {
                SightingKey(row.device, row.thing): Content(
                    key=SightingKey(row.device, row.thing), last_day=_date(row.last_day)
                )
                for row in _find(connection, contents, keys)
            }

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

    def forget_contents(self, keys: Iterable[SightingKey], before: date) -> None:
        """Drop those of these keys that came with no record since before a day."""
        with self._engine.begin() as connection:
            found = _find(connection, contents, keys)
            old = [SightingKey(row.device, row.thing) for row in found if _date(row.last_day) < before]
            _drop(connection, contents, old)

    def forget_device(self, app_id: str, device_id: str) -> None:
        """Drop all that a device told."""
        device = device_hash(app_id, device_id)
        with self._engine.begin() as connection:
            for table in (spans, contents):
                connection.execute(table.delete().where(table.c.device == device))


def keep_sightings(connection: sa.Connection, seen: Sightings) -> None:
    """Remember what a flush saw, in the transaction that lets its batches go."""
    span_rows = [
        {
            "device": span.key.device,
            "thing": span.key.thing,
            "day": _day(span.day),
            "start": span.start,
            "received_on": _day(span.received_on),
        }
        for span in seen.spans
    ]
    content_rows = [
        {"device": content.key.device, "thing": content.key.thing, "last_day": _day(content.last_day)}
        for content in seen.contents
    ]
    for table, rows, keys in (
        (spans, span_rows, [span.key for span in seen.spans]),
        (contents, content_rows, [content.key for content in seen.contents]),
    ):
        if rows:
            _drop(connection, table, keys)
            connection.execute(table.insert(), rows)


def _find(
    connection: sa.Connection, table: sa.Table, keys: Iterable[SightingKey]
) -> Sequence[sa.Row[Any]]:
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


def _hash(text: str) -> int:
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def _day(day: date) -> int:
    return day.toordinal() - EPOCH.toordinal()


def _date(day: int) -> date:
    return date.fromordinal(day + EPOCH.toordinal())
