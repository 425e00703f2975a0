"""Tests that refused records come back from the state database as they were put in."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from engagement.exceptions import BadInputError
from engagement.model.refused import RefusedFilter, RefusedRecord, SenderProtocol
from engagement.store.queries.refused import RefusedQueries, insert_refused
from support.batches import NOW
from support.home import APP_ID

EVERYTHING = RefusedFilter()


def record(number: int = 0, **fields: Any) -> RefusedRecord:
    made = RefusedRecord(
        app_id=APP_ID,
        protocol=SenderProtocol.NATIVE,
        received_at=NOW,
        batch_id=f"b#{number}",
        code="bad_name",
        message=f"message {number}",
        body=b"%d" % number,
    )
    return replace(made, **fields)


def test_records_are_listed_newest_first_and_come_back_as_they_were(engine: sa.Engine) -> None:
    queries = RefusedQueries(engine)
    queries.add([record(number, body=bytes(range(256))) for number in range(5)])
    queries.add([record(5, batch_id=None, received_at=NOW + timedelta(microseconds=1))])

    first = queries.list_page(EVERYTHING, limit=4)
    second = queries.list_page(EVERYTHING, limit=4, before=first[-1].refused_id)

    assert [item.message for item in first] == [f"message {number}" for number in (5, 4, 3, 2)]
    assert [item.message for item in second] == ["message 1", "message 0"]
    assert first[0].refused_id == queries.newest_id()
    whole = queries.get(first[1].refused_id)
    assert whole == record(4, body=bytes(range(256)), refused_id=whole.refused_id)
    assert queries.get(first[0].refused_id).received_at == NOW + timedelta(microseconds=1)


def test_records_are_chosen_by_app_code_protocol_and_id(engine: sa.Engine) -> None:
    queries = RefusedQueries(engine)
    other = "b" * 32
    queries.add(
        [
            record(0),
            record(1, code="bad_tag"),
            record(2, app_id=other),
            record(3, protocol=SenderProtocol.TRACKING),
        ]
    )
    ids = {item.message[-1]: item.refused_id for item in queries.list_page(EVERYTHING, limit=9)}

    def found(**chosen: Any) -> str:
        listed = queries.list_page(RefusedFilter(**chosen), limit=9)
        taken = queries.take_page(RefusedFilter(**chosen), limit=9, after=0)
        assert [entry.refused_id for entry in reversed(listed)] == [
            item.refused_id for item in taken
        ]
        return "".join(item.message[-1] for item in taken)

    assert found() == "0123"
    assert found(app_id=APP_ID) == "013"
    assert found(code="bad_name") == "023"
    assert found(protocol=SenderProtocol.TRACKING) == "3"
    assert found(refused_ids=(ids["1"], ids["2"])) == "12"
    assert found(refused_ids=(ids["1"], ids["2"]), app_id=other) == "2"
    assert found(code="none such") == ""


def test_records_are_counted_by_app_and_code_with_their_size(engine: sa.Engine) -> None:
    queries = RefusedQueries(engine)
    assert (queries.count(EVERYTHING), queries.total_bytes(), queries.newest_id()) == ([], 0, 0)
    queries.add([record(0, body=b"12"), record(1, body=b"\0" * 70_000), record(2, code="bad_tag")])

    counts = queries.count(EVERYTHING)

    assert [(count.app_id, count.code, count.records, count.bytes) for count in counts] == [
        (APP_ID, "bad_name", 2, 70_002),
        (APP_ID, "bad_tag", 1, 1),
    ]
    assert queries.count(RefusedFilter(code="bad_tag")) == counts[1:]
    assert queries.total_bytes() == 70_003


def test_dropping_takes_what_was_chosen_and_no_id_comes_again(engine: sa.Engine) -> None:
    queries = RefusedQueries(engine)
    queries.add([record(0), record(1, code="bad_tag"), record(2)])
    newest = queries.newest_id()

    assert queries.drop(RefusedFilter(code="bad_name")) == 2
    assert [item.code for item in queries.list_page(EVERYTHING, limit=9)] == ["bad_tag"]
    assert queries.drop(RefusedFilter(refused_ids=(newest,))) == 0
    queries.add([record(3)])
    assert queries.newest_id() > newest
    with pytest.raises(BadInputError, match=f"No refused record has the id {newest}"):
        queries.get(newest)


def test_records_are_kept_with_the_transaction_that_they_are_part_of(engine: sa.Engine) -> None:
    with engine.connect() as connection:
        with connection.begin() as undone:
            insert_refused(connection, [record(0)])
            undone.rollback()
        with connection.begin():
            insert_refused(connection, [])
            insert_refused(connection, [record(1)])

    found = RefusedQueries(engine).list_page(EVERYTHING, limit=9)
    assert [item.message for item in found] == ["message 1"]


def test_a_record_cannot_be_of_a_time_without_an_offset_and_hides_its_body() -> None:
    assert "secret" not in repr(record(body=b"secret"))
    with pytest.raises(ValueError, match="offset"):
        record(received_at=NOW.replace(tzinfo=None))
