"""Tests that refused records come back from the state database as they were put in."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engagement.exceptions import BadInputError
from engagement.model.refused import RefusedFilter, RefusedRecord, SenderProtocol
from engagement.store.queries.refused import (
    REFUSED_LIMITS,
    RefusedLimits,
    RefusedQueries,
    RefusedTotals,
    Replay,
    insert_refused,
)
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
    assert (queries.count(EVERYTHING), queries.read_totals().bytes, queries.newest_id()) == (
        [],
        0,
        0,
    )
    queries.add([record(0, body=b"12"), record(1, body=b"\0" * 70_000), record(2, code="bad_tag")])

    counts = queries.count(EVERYTHING)

    assert [(count.app_id, count.code, count.records, count.bytes) for count in counts] == [
        (APP_ID, "bad_name", 2, 70_002),
        (APP_ID, "bad_tag", 1, 1),
    ]
    assert queries.count(RefusedFilter(code="bad_tag")) == counts[1:]
    assert queries.read_totals() == RefusedTotals(records=3, bytes=70_003, crowded_out=0)


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
            insert_refused(connection, [record(0)], REFUSED_LIMITS)
            undone.rollback()
        with connection.begin():
            insert_refused(connection, [], REFUSED_LIMITS)
            insert_refused(connection, [record(1)], REFUSED_LIMITS)

    found = RefusedQueries(engine).list_page(EVERYTHING, limit=9)
    assert [item.message for item in found] == ["message 1"]


def test_a_record_cannot_be_of_a_time_without_an_offset_and_hides_its_body() -> None:
    assert "secret" not in repr(record(body=b"secret"))
    with pytest.raises(ValueError, match="offset"):
        record(received_at=NOW.replace(tzinfo=None))


OTHER = "f" * 32
LIMITS = RefusedLimits(app_bytes_max=100, bytes_max=150)


def sized(app_id: str, *sizes: int) -> list[RefusedRecord]:
    return [record(size, app_id=app_id, body=b"x" * size) for size in sizes]


def sizes_of(queries: RefusedQueries, app_id: str) -> list[int]:
    chosen = RefusedFilter(app_id=app_id)
    return [len(item.body) for item in queries.take_page(chosen, limit=999, after=0)]


def test_the_oldest_of_an_app_make_room_for_its_newer_ones_alone(engine: sa.Engine) -> None:
    queries = RefusedQueries(engine, LIMITS)
    queries.add(sized(OTHER, 50))
    queries.add(sized(APP_ID, 40, 30))

    queries.add(sized(APP_ID, 60))

    assert sizes_of(queries, APP_ID) == [30, 60]
    assert sizes_of(queries, OTHER) == [50]
    assert queries.read_totals() == RefusedTotals(records=3, bytes=140, crowded_out=1)


def test_of_all_apps_the_one_that_has_most_makes_room(engine: sa.Engine) -> None:
    queries = RefusedQueries(engine, LIMITS)
    queries.add(sized(APP_ID, 40, 40))

    queries.add(sized(OTHER, 45, 30))

    assert sizes_of(queries, APP_ID) == [40]
    assert sizes_of(queries, OTHER) == [45, 30]


def test_what_is_beyond_the_limit_by_itself_is_not_kept(engine: sa.Engine) -> None:
    queries = RefusedQueries(engine, LIMITS)
    queries.add(sized(APP_ID, 10))

    queries.add(sized(APP_ID, 101))

    assert sizes_of(queries, APP_ID) == []
    assert queries.read_totals() == RefusedTotals(records=0, bytes=0, crowded_out=2)


def test_very_many_make_room_at_once(engine: sa.Engine) -> None:
    queries = RefusedQueries(engine, RefusedLimits(app_bytes_max=3_000, bytes_max=10_000))
    queries.add(sized(APP_ID, *[1] * 3_000))

    queries.add(sized(APP_ID, 2_999))

    assert sizes_of(queries, APP_ID) == [1, 2_999]


@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("add"), st.sampled_from([APP_ID, OTHER]), st.integers(0, 120)),
            st.tuples(st.just("drop"), st.sampled_from([APP_ID, OTHER, None]), st.just(0)),
            st.tuples(st.just("replay"), st.just(None), st.integers(0, 60)),
        ),
        max_size=12,
    )
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_totals_are_those_of_the_records_and_within_the_limits(
    engine: sa.Engine, steps: list[tuple[str, str | None, int]]
) -> None:
    queries = RefusedQueries(engine, LIMITS)
    queries.drop(EVERYTHING)
    for step, app_id, size in steps:
        match step:
            case "add":
                queries.add(sized(app_id or APP_ID, size, size // 2))
            case "drop":
                queries.drop(RefusedFilter(app_id=app_id))
            case _:
                newest = queries.newest_id()
                queries.record_replay(Replay(gone=[newest], kept=[], left=sized(OTHER, size)))

        counts = queries.count(EVERYTHING)
        totals = queries.read_totals()
        assert totals.records == sum(count.records for count in counts)
        assert totals.bytes == sum(count.bytes for count in counts) <= LIMITS.bytes_max
        assert all(count.bytes <= LIMITS.app_bytes_max for count in counts)
