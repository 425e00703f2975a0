"""Tests that a batch is accepted once and comes out of the inbox as it went in."""

import pytest
import sqlalchemy as sa

from engagement.collect.inbox import accept, decode_stored_batch, inbox_row, stored_records
from engagement.collect.payload import Batch, decode_batch
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
    assert {records.kind: records.count for records in stored_records(stored)} == {
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
