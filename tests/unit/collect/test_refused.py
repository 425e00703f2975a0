"""Tests that what is refused of a body is kept so that it can be sent again alone."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from engagement.collect.payload import decode_batch
from engagement.collect.refused import (
    REFUSED_BYTES_MAX,
    REPEATED_BYTES_MAX,
    make_refused_records,
    make_unreadable_record,
)
from engagement.exceptions import CorruptInputError
from engagement.model.limits import BATCH_ID_CHARACTERS_MAX
from engagement.model.refused import RefusedRecord, SenderProtocol
from support.batches import NOW, at, batch, log
from support.home import APP_ID

LONG = "n" * 65
"""A name that is one character too long."""


def refused_in(body: bytes, *, app_id: str = APP_ID) -> list[RefusedRecord]:
    """What a live batch leaves refused."""
    decoded = decode_batch(body, received_at=NOW, live=True)
    return make_refused_records(body, decoded, app_id=app_id, received_at=NOW)


GOOD = [
    log("event"),
    log("activity", extras={"text": "\U0001f600"}),
    log("tags", tags={"a": 1}),
    log("job"),
]
BAD = [
    log("event", name=LONG),
    log("event", name=""),
    log("unknown"),
    log("event", 5) | {"timestamp": "yesterday"},
    log("event", extras={"bad key": 1}),
    log("crash"),
    log("tags", tags={}),
    log("event", name="half \ud83d"),
    log("event", extras={"low": "\ude00"}),
    "a text",
    7,
]
LOGS = st.lists(st.sampled_from([*GOOD, *BAD]), max_size=12)
ENVELOPES = st.fixed_dictionaries(
    {},
    optional={
        "batchId": st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=100),
        "deviceId": st.sampled_from(["A" * 32, "my phone", "\U0001f600"]),
        "userId": st.sampled_from(["ada", "\U0001f600", None]),
        "info": st.sampled_from([None, {}, {"phoneModel": "P", "x": 1}, {"androidAPILevel": 3}]),
        "location": st.sampled_from([None, {"countrycode": "FI", "x": {}}, {"countryCode": None}]),
        "unknown": st.sampled_from([[], "\ud83d", {"a": [1]}]),
    },
)


@given(LOGS, ENVELOPES, st.sampled_from([None, 2]))
def test_accepted_logs_and_refused_records_are_all_the_logs(
    logs: list[Any], envelope: dict[str, Any], indent: int | None
) -> None:
    """Each record, decoded by itself, is refused as its log was, of the same device."""
    sent = {"batchId": "b", "sentAt": at(), "deviceId": "d", "logs": logs, **envelope}
    body = json.dumps(sent, indent=indent).encode()
    whole = decode_batch(body, received_at=NOW, live=True)

    records = make_refused_records(body, whole, app_id=APP_ID, received_at=NOW)

    assert whole.accepted == sum(item in GOOD for item in logs)
    assert [json.loads(record.body)["logs"] for record in records] == [
        [item] for item in logs if item in BAD
    ]
    for refusal, item in zip(whole.refused, records, strict=True):
        assert (item.code, item.message) == (refusal.code, refusal.message)
        assert b"\n" not in item.body
        alone = decode_batch(item.body, received_at=item.received_at, live=True)
        assert [(again.code, again.message) for again in alone.refused] == [
            (item.code, item.message)
        ]
        assert (alone.accepted, alone.batch_id) == (0, item.batch_id)
        for same in ("device_id", "user_id", "info_id", "location_id"):
            assert getattr(alone, same) == getattr(whole, same)
    ids = {record.batch_id for record in records}
    assert len(ids) == len(records)
    assert whole.batch_id not in ids


def test_a_record_is_named_after_its_batch_and_place() -> None:
    body = batch(log("event"), log("event", name=""), batch_id="b7")
    assert [item.batch_id for item in refused_in(body)] == ["b7#1"]

    longest = batch(log("event", name=""), batch_id="b" * BATCH_ID_CHARACTERS_MAX)
    (record,) = refused_in(longest)
    assert len(record.batch_id or "") <= BATCH_ID_CHARACTERS_MAX
    assert refused_in(longest) == [record]


def test_what_nobody_reads_does_not_multiply() -> None:
    """A sender could else make gigabytes of a body that may be sent."""
    filler = "x" * 100_000
    sent_at = f"2026-03-01T12:00:00.250{'1' * 100_000}Z"
    logs = [log("event", name="")] * 100
    body = batch(*logs, more=filler, info={"more": filler}, sentAt=sent_at)

    assert sum(len(item.body) for item in refused_in(body)) < len(body)


def test_a_body_that_cannot_be_read_is_kept_as_it_is_up_to_a_limit() -> None:
    error = CorruptInputError("It is no batch.")
    kept = {"app_id": APP_ID, "protocol": SenderProtocol.TRACKING, "received_at": NOW}

    short = make_unreadable_record(b"\xff\0", error, **kept)
    long = make_unreadable_record(b"x" * (REFUSED_BYTES_MAX + 1), error, **kept)

    assert (short.code, short.message, short.body) == ("CorruptInput", "It is no batch.", b"\xff\0")
    assert len(long.body) == REFUSED_BYTES_MAX
    assert f"first {REFUSED_BYTES_MAX} of its {REFUSED_BYTES_MAX + 1} bytes" in long.message


def test_a_record_that_is_too_long_is_kept_up_to_the_limit() -> None:
    body = batch(log("event", name="n" * REFUSED_BYTES_MAX), batch_id="b")

    (record,) = refused_in(body)

    assert len(record.body) == REFUSED_BYTES_MAX
    assert f"first {REFUSED_BYTES_MAX} of its" in record.message


def test_a_batch_is_not_kept_many_times_over() -> None:
    """What it says of its device would be repeated with each of its records."""
    info = dict.fromkeys(("phoneModel", "firmwareName", "carrierName"), "€" * 256)
    records = 1_000
    body = batch(*[7] * records, batch_id="b", info=info)

    kept = refused_in(body)

    assert len(kept) == records
    assert sum(len(record.body) for record in kept) < REPEATED_BYTES_MAX
    few = refused_in(batch(*[7] * 10, batch_id="b", info=info))
    assert all(json.loads(record.body)["info"] == info for record in few)
