"""Tests that a batch is accepted once and comes out of the inbox as it went in."""

from dataclasses import replace

import msgspec
import polars as pl
import pytest
import sqlalchemy as sa
from polars.testing import assert_frame_equal

from engagement.collect.inbox import (
    StoredBatch,
    accept,
    decode_stored_batch,
    inbox_row,
    list_records,
)
from engagement.collect.payload import Batch, decode_batch
from engagement.collect.record_tables import gather_batches, record_tables
from engagement.model.records import Kind
from engagement.store.queries.inbox import InboxQueries
from support.batches import DEVICES, NOW, batch, everything, log
from support.home import APP_ID


def decoded(body: bytes) -> Batch:
    return decode_batch(body, received_at=NOW, live=False)


def test_a_batch_comes_out_as_it_went_in() -> None:
    sent = decoded(everything(1))

    row = inbox_row(APP_ID, sent, received_at=NOW)
    stored = decode_stored_batch(row)

    assert (row.app_id, row.batch_id, row.records) == (APP_ID, sent.batch_id, sent.accepted)
    assert (stored.device_id, stored.user_id) == (DEVICES[0], "user 1")
    assert (stored.info, stored.location) == (sent.info, sent.location)
    assert (stored.first_at, stored.last_at) == (sent.first_at, sent.last_at)
    assert {records.kind: records.count for records in list_records(stored)} == {
        kind: len(rows) for kind, rows in sent.rows.items() if rows
    }


@pytest.mark.parametrize("at_once", [True, False])
def test_a_batch_is_accepted_once(engine: sa.Engine, *, at_once: bool) -> None:
    queries = InboxQueries(engine)
    batches = [decoded(batch(log("event"), batch_id=name)) for name in ("a", "b", "a")]

    groups = [batches] if at_once else [[sent] for sent in batches]
    found = [
        is_new for group in groups for is_new in accept(queries, APP_ID, group, received_at=NOW)
    ]

    assert found == [True, True, False]
    assert queries.depth() == 2


def test_a_batch_whose_records_were_all_refused_is_known_later(engine: sa.Engine) -> None:
    queries = InboxQueries(engine)
    bad = decoded(batch(log("event", name=""), batch_id="a"))
    good = decoded(batch(log("event"), batch_id="a"))

    assert bad.accepted == 0
    assert accept(queries, APP_ID, [bad], received_at=NOW) == [True]
    assert accept(queries, APP_ID, [good], received_at=NOW) == [False]


def test_batches_of_earlier_releases_are_read_as_those_of_this_one() -> None:
    """They have a tuple a record; one from before a column was there lacks its value."""
    sent = decoded(everything(1))
    row = inbox_row(APP_ID, sent, received_at=NOW)
    content = msgspec.msgpack.decode(row.payload)
    place = StoredBatch.__struct_fields__.index("records")
    content[place] = {
        kind.value: [values[:-1] if kind is Kind.EVENT else values for values in rows]
        for kind, rows in sent.rows.items()
    }
    old = replace(row, payload=msgspec.msgpack.encode(content), position=1)

    before, now = (gather_batches([each]) for each in (old, replace(row, position=1)))

    for (kind, table), (same, expected) in zip(
        record_tables(before), record_tables(now), strict=True
    ):
        assert kind is same
        lacking = [pl.lit(None).alias("device_timestamp")] if kind is Kind.EVENT else []
        assert_frame_equal(table, expected.with_columns(lacking), check_dtypes=False)


def test_an_earlier_release_fails_over_a_batch_rather_than_lose_it() -> None:
    class EarlierBatch(msgspec.Struct, array_like=True):
        device_id: str
        user_id: str | None
        info: dict[str, str | int] | None
        info_id: str | None
        location: dict[str, str] | None
        location_id: str | None
        first_at: int | None
        last_at: int | None
        rows: dict[str, list[tuple]]  # type: ignore[type-arg]

    row = inbox_row(APP_ID, decoded(everything(1)), received_at=NOW)

    with pytest.raises(msgspec.ValidationError, match="Expected `object`, got `array`"):
        msgspec.msgpack.decode(row.payload, type=EarlierBatch)
