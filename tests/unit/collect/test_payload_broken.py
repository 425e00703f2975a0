"""Tests native batches that hold what JSON lacks, or write it in another way."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engagement.collect.payload import Batch, decode_batch, split_batch
from engagement.exceptions import CorruptInputError
from engagement.model.records import Kind
from support.broken_json import count_non_finite, values
from unit.collect.test_payload import AT, EVENT, RECEIVED_AT, body

MIB = 1 << 20


def decode(sent: bytes, *, live: bool = False) -> Batch:
    return decode_batch(sent, received_at=RECEIVED_AT, live=live)


def dumps(content: object) -> bytes:
    return json.dumps(content).encode()


def test_offsets_with_minutes_above_59_are_refused() -> None:
    """The case of two logs whose times no clock shows."""
    logs = [
        {"type": "event", "name": "off60", "timestamp": "2025-01-01T00:00:00+05:60"},
        {"type": "event", "name": "off99", "timestamp": "2025-01-01T00:00:00+05:99"},
    ]
    batch = decode(body(*logs))

    assert [refusal.code for refusal in batch.refused] == ["bad_timestamp"] * 2
    with pytest.raises(CorruptInputError, match="sentAt must be"):
        decode(body(sentAt="2025-01-01T00:00:00+05:60"))


def test_byte_order_mark_is_no_part_of_a_batch() -> None:
    """The case of a mark before a batch."""
    sent = (
        b'{"batchId":"bom1","sentAt":"2026-01-01T00:00:00Z","deviceId":"phone","logs":'
        b'[{"type":"event","name":"bom1","timestamp":"2026-01-01T00:00:00Z"},{"type":"no"}]}'
    )
    batch = decode(b"\xef\xbb\xbf" + sent, live=True)

    assert batch == decode(sent, live=True)
    assert batch.accepted == 1
    assert split_batch(b"\xef\xbb\xbf" + sent, {1: "x"}, repeated_bytes_max=MIB) == split_batch(
        sent, {1: "x"}, repeated_bytes_max=MIB
    )


@given(bad=values.filter(count_non_finite), place=st.integers(0, 2))
def test_a_log_with_a_number_that_json_lacks_is_refused_alone(bad: Any, place: int) -> None:
    logs: list[Any] = [EVENT, EVENT]
    logs.insert(place, EVENT | {"extras": {"k": bad}, "name": r'NaN "\ ,'})
    sent = dumps({"batchId": "b", "sentAt": AT, "deviceId": "d", "logs": logs})

    batch = decode(sent)

    assert batch.accepted == 2
    assert [(refusal.index, refusal.code) for refusal in batch.refused] == [
        (place, "non_finite_number")
    ]
    (alone,) = split_batch(sent, {place: "b2"}, repeated_bytes_max=MIB)
    assert [refusal.code for refusal in decode(alone).refused] == ["non_finite_number"]
    assert dumps(bad) in alone


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_numbers_that_json_lacks_are_refused_where_a_log_or_number_should_be(bad: float) -> None:
    feedback = {"type": "feedback", "timestamp": AT, "campaignType": "Poll", "status": "None"}
    logs = [bad, EVENT, feedback | {"campaignId": bad}]
    batch = decode(dumps({"batchId": "b", "sentAt": AT, "deviceId": "d", "logs": logs}))

    assert [(refusal.index, refusal.code) for refusal in batch.refused] == [
        (0, "non_finite_number"),
        (2, "non_finite_number"),
    ]


def test_log_with_half_a_character_and_nan_tells_of_either() -> None:
    sent = body(EVENT | {"extras": {"a": "HALF", "b": math.nan}}, EVENT | {"extras": {"a": "HALF"}})
    batch = decode(sent.replace(b"HALF", rb"\ud83d"))

    assert [refusal.code for refusal in batch.refused] == ["non_finite_number", "lone_surrogate"]
    alone = split_batch(sent.replace(b"HALF", rb"\ud83d"), {0: "x", 1: "y"}, repeated_bytes_max=MIB)
    assert b"NaN" in alone[0]
    assert all(rb"\ud83d" in text for text in alone)


@pytest.mark.parametrize("field", ["batchId", "sentAt", "deviceId", "userId", "logs"])
def test_batch_that_is_told_by_such_a_number_is_refused_whole(field: str) -> None:
    content = json.loads(body(EVENT)) | {field: math.nan}
    with pytest.raises(CorruptInputError):
        decode(dumps(content))
    with pytest.raises(CorruptInputError, match="finite"):
        decode(dumps(json.loads(body(EVENT)) | {"info": {"screenWidth": math.nan}}))


def test_such_a_number_where_nobody_reads_changes_nothing() -> None:
    assert decode(body(EVENT, x=[math.nan])) == decode(body(EVENT))


@pytest.mark.parametrize(
    ("digits", "value"),
    [
        ("1080.0", 1080),
        ("1e3", 1000),
        ("1.08E3", 1080),
        ("10800e-1", 1080),
        ("-0.0", 0),
        ("0e999999", 0),
        ("9007199254740993.0", 9_007_199_254_740_993),
        ("9223372036854775807.000", 2**63 - 1),
        ("9.223372036854775807e18", 2**63 - 1),
    ],
)
def test_number_that_is_an_integer_is_one(digits: str, value: int) -> None:
    tags = {"type": "tags", "timestamp": AT, "tags": {"k": "HERE"}}
    feedback = {"type": "feedback", "timestamp": AT, "campaignType": "Poll", "status": "None"}
    sent = body(tags, feedback | {"campaignId": "HERE"}, info={"screenWidth": "HERE"})
    batch = decode(sent.replace(b'"HERE"', digits.encode()))

    assert batch.refused == ()
    assert batch.info == {"screen_width": value}
    assert [row[1:3] for row in batch.rows[Kind.TAG]] == [(str(value), "integer")]
    assert [row[1] for row in batch.rows[Kind.FEEDBACK]] == [value]


@pytest.mark.parametrize(
    "digits", ["1080.5", "1e-1", "9223372036854775808.0", "1e19", "1e999999", "1e9999999", "true"]
)
def test_number_that_is_no_integer_is_refused(digits: str) -> None:
    feedback = {"type": "feedback", "timestamp": AT, "campaignType": "Poll", "status": "None"}
    sent = body(EVENT, feedback | {"campaignId": "HERE"}).replace(b'"HERE"', digits.encode())

    assert [refusal.code for refusal in decode(sent).refused] in (["bad_field"], ["bad_feedback"])
    with pytest.raises(CorruptInputError, match=r"info\.screenWidth"):
        decode(body(info={"screenWidth": "HERE"}).replace(b'"HERE"', digits.encode()))


@given(st.integers(-(2**63), 2**63 - 1), st.integers(0, 40))
def test_any_spelling_of_an_integer_is_that_integer(value: int, zeros: int) -> None:
    shift = 10**zeros
    spellings = [
        f"{value}.{'0' * zeros}0",
        f"{value * shift}e-{zeros}",
        f"{value * shift}.0E-{zeros}",
    ]
    if value % shift == 0:
        spellings.append(f"{value // shift}e+{zeros}")
    for text in spellings:
        sent = body(info={"screenWidth": "HERE"}).replace(b'"HERE"', text.encode())
        assert decode(sent).info == {"screen_width": value}
