"""Tests that bodies of tracking messages are read whole: each kept once or refused."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engagement.collect.inbox import accept
from engagement.collect.limits import check_name
from engagement.collect.payload import Batch
from engagement.collect.protocols.segment.bodies import MESSAGES_PER_BODY_MAX
from engagement.collect.protocols.segment.messages import (
    Messages,
    read_messages,
)
from engagement.exceptions import CorruptInputError
from engagement.model.limits import (
    EXTRAS_CHARACTERS_MAX,
    ID_CHARACTERS_MAX,
    INFO_CHARACTERS_MAX,
    STACK_CHARACTERS_MAX,
    TAG_CHARACTERS_MAX,
)
from engagement.model.records import Kind
from support.home import open_home
from support.tracking_messages import (
    AT,
    DEVICE,
    HAPPENED,
    RECEIVED,
    RECEIVED_AT,
    body,
    message,
    only_batch,
    records,
)

CODES = {"bad_field", "bad_name", "no_device", "unknown_type"}
SECOND = 1_000_000


def read(*messages: Any, **fields: Any) -> Messages:
    return read_messages(body(*messages, **fields), received_at=RECEIVED_AT)


def ids_of(batches: list[Batch]) -> list[str]:
    """What the events of batches are called."""
    return [row["name"] for batch in batches for row in records(batch)[Kind.EVENT]]


def test_batch_is_of_one_device_and_what_its_messages_say_of_it_alike() -> None:
    french = {"locale": "fr"}
    sent = [
        message(messageId="1", event="1", context=french),
        message(messageId="2", event="2", anonymousId="a2", context=french),
        message(messageId="3", event="3", context=french | {"sessionId": 5}),
        message(messageId="4", event="4", context=french, userId="u"),
        message(messageId="5", event="5", context=french | {"location": {"city": "Paris"}}),
        message(messageId="6", event="6"),
    ]
    batches = read(*sent).batches()

    assert [ids_of([batch]) for batch in batches] == [["1", "3"], ["2"], ["4"], ["5"], ["6"]]
    assert len({batch.batch_id for batch in batches}) == len(batches)
    assert {batch.info_id for batch in batches[:4]} == {batches[0].info_id}


def test_known_messages_are_left_out_and_the_batch_is_another() -> None:
    found = read(
        *(message(messageId=item, event=item) for item in "abc"), message(messageId="bad", event="")
    )
    (whole,), (rest,) = found.batches(), found.batches({"b"})

    assert (ids_of([whole]), ids_of([rest])) == (["a", "b", "c"], ["a", "c"])
    assert (whole.accepted, rest.accepted) == (3, 2)
    assert whole.batch_id != rest.batch_id
    assert found.batches(["a", "b", "c"]) == []
    assert [refusal.message_id for refusal in found.list_refused({"a"})] == ["bad"]
    assert found.list_refused(["bad"]) == []


def test_batch_id_depends_on_the_messages_alone() -> None:
    first, second, third = (message(messageId=item) for item in "123")
    (both,) = read(first, second, third).batches(["3"])
    (again,) = read(first, second, sentAt="2026-03-01T11:00:00Z").batches()

    assert both.batch_id == again.batch_id


def test_repeated_id_in_a_body_counts_once() -> None:
    found = read(message(event="first"), message(event="second"), message(event="", messageId="x"))

    assert found.ids == ("m1", "m1", "x")
    assert ids_of(found.batches()) == ["first"]


@pytest.mark.parametrize("strange", ["x" * 101, "a\u0000b", "a\nb"])
def test_strange_message_id_becomes_an_id_of_its_own(strange: str) -> None:
    first, same, other = read(
        message(messageId=strange), message(messageId=strange), message(messageId=strange + "x")
    ).ids

    assert first == same != other
    assert len(first) == 32


def test_message_id_is_opaque() -> None:
    long = "node-next-1795483048375-" + "é" * 76

    assert read(message(messageId=long), message(messageId=5)).ids == (long, "5")


def test_message_without_id_is_told_by_its_content() -> None:
    sent = [message(messageId=None), message(messageId=""), message(messageId=None, event="other")]
    late = read_messages(body(*sent), received_at=RECEIVED_AT + timedelta(hours=1))

    assert read(*sent).ids == late.ids
    assert len(set(late.ids)) == 3


def test_message_without_id_and_time_is_told_by_when_it_came() -> None:
    sent = body(message(messageId=None, timestamp=None))
    first, again = (read_messages(sent, received_at=RECEIVED_AT).ids for _ in range(2))
    later = read_messages(sent, received_at=RECEIVED_AT + timedelta(seconds=1)).ids

    assert first == again != later


@pytest.mark.parametrize(
    ("fields", "sent_at", "at"),
    [
        ({}, "2026-03-01T12:00:00Z", HAPPENED),
        ({"timestamp": "2026-03-01T10:59:58Z"}, "2026-03-01T11:00:00.500Z", HAPPENED - SECOND // 2),
        ({}, "2026-03-02T12:00:00+00:00", HAPPENED - 86_400 * SECOND),
        ({}, None, HAPPENED),
        ({}, 5, HAPPENED),
        ({"timestamp": "2026-03-01T13:00:00Z"}, None, RECEIVED),
        ({"timestamp": "2026-03-01T13:00:00Z"}, "2026-03-01T12:00:00Z", RECEIVED),
        ({"sentAt": "2026-03-01T12:00:09Z"}, "2020-01-01T00:00:00Z", HAPPENED - 9 * SECOND),
        ({"sentAt": "soon"}, "2026-03-01T12:00:09Z", HAPPENED - 9 * SECOND),
        (
            {"timestamp": None, "originalTimestamp": AT},
            "2026-03-01T12:00:09Z",
            HAPPENED - 9 * SECOND,
        ),
        ({"originalTimestamp": "2001-01-01T00:00:00Z"}, "2020-01-01T00:00:00Z", HAPPENED),
        ({"originalTimestamp": "?"}, "2026-03-01T12:00:09Z", HAPPENED - 9 * SECOND),
        ({"timestamp": "yesterday"}, "2026-03-01T12:00:00Z", RECEIVED),
        ({"timestamp": 1_772_366_398}, "2026-03-01T12:00:00Z", HAPPENED),
        ({"timestamp": 1_772_366_398_000.5}, 1_772_366_400.25, HAPPENED),
        ({"timestamp": "20260301T115958Z"}, "2026-03-01T13:00:00+0100", HAPPENED),
        ({"timestamp": "2026-03-01T10:00"}, "2026-03-01T10:00:02", HAPPENED),
        ({"timestamp": 20_260_301}, None, HAPPENED - 43_198 * SECOND),
        ({"timestamp": 7}, "2026-03-01T12:00:00Z", RECEIVED),
        ({"timestamp": "1970-01-01T00:00:00Z"}, "2030-01-01T00:00:00Z", RECEIVED),
        ({"timestamp": "1969-12-31T23:59:59Z"}, None, RECEIVED),
    ],
)
def test_clock_is_corrected_by_when_the_message_was_sent(
    fields: dict[str, Any], sent_at: object, at: int
) -> None:
    (batch,) = read(message(**fields), sentAt=sent_at).batches()

    assert [row["timestamp"] for row in records(batch)[Kind.EVENT]] == [at]
    assert (batch.first_at, batch.last_at) == (at, at)


def test_device_is_seen_from_the_start_of_a_job() -> None:
    batch = only_batch(body(message(properties={"duration": 60}), message(messageId="m2")))

    assert (batch.first_at, batch.last_at) == (HAPPENED - 60 * SECOND, HAPPENED)


@pytest.mark.parametrize("sent", [message(), message(type="identify", traits={"a": 1})])
def test_message_alone_is_read_as_in_a_batch(sent: dict[str, Any]) -> None:
    (expected,) = read(sent).batches()
    alone = {**sent, "sentAt": "2026-03-01T12:00:00Z", "writeKey": "key"}
    typeless = {key: value for key, value in alone.items() if key != "type"}

    for fields, message_type in ((alone, None), (alone, "page"), (typeless, sent["type"])):
        raw = f" {json.dumps(fields)}\n".encode()
        found = read_messages(raw, received_at=RECEIVED_AT, message_type=message_type)
        assert (found.write_key, found.ids, found.list_refused()) == ("key", ("m1",), [])
        assert found.batches() == [expected]


def test_empty_message_alone_is_refused() -> None:
    (refused,) = read_messages(
        b" { } ", received_at=RECEIVED_AT, message_type="track"
    ).list_refused()

    assert refused.code == "no_device"


@pytest.mark.parametrize("message_type", [None, "track"])
def test_refused_message_can_be_read_again_alone(message_type: str | None) -> None:
    bad = message(event="", messageId=None, timestamp=None)
    if message_type is None:
        sent = body(message(), bad)
    else:
        sent = json.dumps({key: value for key, value in bad.items() if key != "type"}).encode()
    found = read_messages(sent, received_at=RECEIVED_AT, message_type=message_type)
    (refused,) = found.list_refused()

    again = read_messages(refused.body, received_at=RECEIVED_AT)

    assert again.batches() == []
    (other,) = again.list_refused()
    assert (other.message_id, other.code, other.message) == (
        refused.message_id,
        refused.code,
        refused.message,
    )
    assert (other.index, other.body) == (0, refused.body)


def test_mended_message_has_the_time_that_it_had() -> None:
    (refused,) = read(message(event=""), sentAt="2026-03-01T12:00:09Z").list_refused()
    mended = refused.body.replace(b'"event": ""', b'"event": "tap"')

    assert (
        read_messages(mended, received_at=RECEIVED_AT).batches()
        == read(message(), sentAt="2026-03-01T12:00:09Z").batches()
    )


@pytest.mark.parametrize(
    ("broken", "what"),
    [
        (b"", "JSON object"),
        (b"[]", "JSON object"),
        (b"null", "JSON object"),
        (b"{}", "a batch of messages"),
        (b'{"batch":[]}', "a batch of messages"),
        (b'{"batch":null,"writeKey":"key"}', "a batch of messages"),
        (b'{"batch":{}}', "JSON object"),
        (b'{"batch":[{"a":"\xff"]}', "UTF-8"),
        (b'{"batch":[{"a":NaN]}', "JSON object"),
        (b'{"batch":[' + b"[" * 33 + b"]" * 32 + b"]}", "at most 32 deep"),
        (b'{"batch":[' + b"0," * MESSAGES_PER_BODY_MAX + b"0]}", "5000 messages, got 5001"),
        (b" " * (10 * 1024 * 1024 + 1), "10485760 bytes"),
    ],
)
def test_body_without_messages_is_corrupt(broken: bytes, what: str) -> None:
    with pytest.raises(CorruptInputError) as caught:
        read_messages(broken, received_at=RECEIVED_AT)

    assert what in str(caught.value)


@pytest.mark.parametrize("half", [r"\ud83d", r"\uDE00", r"\ud83d\ud83d\ude00"])
def test_half_a_character_is_replaced(half: str) -> None:
    raw = body(message(event="HALF"), message(messageId="m2", event="😀"))
    found = read_messages(raw.replace(b"HALF", half.encode()), received_at=RECEIVED_AT)

    assert found.repaired == 1
    assert [name[0] for name in ids_of(found.batches())] == ["\ufffd", "😀"]


def test_repairs_are_counted() -> None:
    assert read(message()).repaired == 0
    assert read(message(event=" tap "), message(messageId="2", timestamp=None)).repaired == 2


def test_of_a_field_that_is_written_twice_the_last_counts() -> None:
    raw = body(message()).replace(b'"event"', b'"event": "first", "event"')

    assert ids_of(read_messages(raw, received_at=RECEIVED_AT).batches()) == ["tap"]


def test_messages_reach_the_lake_and_their_users_the_devices(tmp_path: Path) -> None:
    sent = [
        message(messageId="1", type="screen", name="Home"),
        message(messageId="2", type="alias", userId="u1", timestamp="2026-03-01T11:59:59Z"),
    ]
    found = read(*sent)
    with open_home(tmp_path / "home") as home:
        for batches in (found.batches(), found.batches()):
            accept(home.inbox, home.app_id, batches, received_at=RECEIVED_AT)
        home.flush()
        activities, devices = home.rows(Kind.ACTIVITY), home.rows(Kind.DEVICE)

    assert activities["name"].to_list() == ["Home"]
    assert activities["session_id"].null_count() == 0
    assert devices["device_id"].to_list() == [DEVICE] * 2
    assert set(devices["user_id"]) == {None, "u1"}


TEXTS = st.text(max_size=8)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS
    | st.sampled_from(
        ["a1", "2026-03-01T11:00:00Z", "Error", "Europe/Paris", "\ud83d", "x" * 2000]
    ),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            TEXTS | st.sampled_from(["duration", "error", "campaign", "traits", "device", "id"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
EVENTS = st.sampled_from(["Application Crashed", "Push Notification Tapped", "Error"]) | JSON
MESSAGES = st.fixed_dictionaries(
    {"type": st.sampled_from(["track", "screen", "page", "identify", "group", "alias"]) | JSON},
    optional={
        "messageId": st.sampled_from(["m1", "m2"]) | JSON,
        "event": EVENTS,
        "anonymousId": st.sampled_from(["a1", "a2"]) | JSON,
        **dict.fromkeys(
            (
                "userId", "previousId", "groupId", "name", "category", "timestamp", "sentAt",
                "originalTimestamp", "properties", "traits", "context",
            ),
            JSON,
        ),
    },
)  # fmt: skip


@given(
    sent=st.lists(MESSAGES | JSON, min_size=1, max_size=5),
    known=st.sets(st.sampled_from(["m1", "m2"])),
    sent_at=JSON,
)
def test_any_messages_are_each_kept_once_or_refused(
    sent: list[Any], known: set[str], sent_at: Any
) -> None:
    raw = body(*sent, sentAt=sent_at)
    found = read_messages(raw, received_at=RECEIVED_AT)
    batches, refused = found.batches(known), found.list_refused(known)

    assert found == read_messages(raw, received_at=RECEIVED_AT)
    assert len(found.ids) == len(sent)
    assert all(0 < len(item) <= 100 for item in found.ids)
    kept = sum(batch.accepted for batch in batches)
    assert kept + len(refused) == len(set(found.ids) - known)
    assert {refusal.message_id for refusal in refused} <= set(found.ids) - known
    assert {refusal.code for refusal in refused} <= CODES
    assert found.batches(set(found.ids) - {refusal.message_id for refusal in refused}) == []
    for batch in batches:
        check_limits(batch)


def check_limits(batch: Batch) -> None:
    """Everything in a batch is as a native one could have brought it."""
    assert batch.first_at is not None
    assert batch.last_at is not None
    assert 0 <= batch.first_at <= batch.last_at <= RECEIVED
    assert batch.user_id is None or 0 < len(batch.user_id) <= ID_CHARACTERS_MAX
    for value in (*(batch.info or {}).values(), *(batch.location or {}).values()):
        assert len(str(value)) <= INFO_CHARACTERS_MAX
    for rows in records(batch).values():
        for row in rows:
            if "name" in row:
                check_name(row["name"])
            assert len(row.get("extras") or "") <= EXTRAS_CHARACTERS_MAX
            assert len(row.get("stack") or "") <= STACK_CHARACTERS_MAX
            assert len(row.get("value") or "") <= TAG_CHARACTERS_MAX
            at = row.get("timestamp", RECEIVED)
            assert datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at) <= RECEIVED_AT


@given(garbage=st.binary(max_size=200))
def test_garbage_is_corrupt_input_and_nothing_else(garbage: bytes) -> None:
    with pytest.raises(CorruptInputError):
        read_messages(garbage, received_at=RECEIVED_AT)


@given(cut=st.integers(0, 500), put=st.binary(max_size=8), length=st.integers(0, 9))
def test_damaged_body_never_fails_in_another_way(cut: int, put: bytes, length: int) -> None:
    context = {"device": {"id": "d", "token": "T", "type": "ios"}, "timezone": "Europe/Paris"}
    good = body(
        message(context=context, properties={"a": 1.5, "b": [None, {}], "duration": 2}),
        message(type="identify", traits={"a": "2026-01-01T00:00:00Z"}),
    )
    damaged = good[:cut] + put + good[cut + length :]

    try:
        found = read_messages(damaged, received_at=RECEIVED_AT)
    except CorruptInputError:
        return
    assert len(found.batches()) + len(found.list_refused()) <= len(found.ids)
