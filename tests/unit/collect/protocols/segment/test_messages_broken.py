"""Tests that all that is good of a broken body of tracking messages is kept."""

import json
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engagement.collect.protocols.segment.messages import Messages, read_messages
from engagement.model.records import Kind
from support.broken_json import count_non_finite, finite, values
from support.tracking_messages import RECEIVED_AT, SENT_AT, body, message, records

BAD_MESSAGES = {
    rb'{"type":"track","event":"\x","userId":"u"}': "bad_string",
    rb'{"type":"track","event":"\u12","userId":"u"}': "bad_string",
    b'{"type":"track","event":"a\xff","userId":"u"}': "bad_string",
    b'{"type":"track","event":"\xed\xa0\x80","userId":"u"}': "bad_string",
    b'{"type":"track","event":"a\nb","userId":"u"}': "bad_string",
    b'{"type":"track","properties":' + b"[" * 40 + b"]" * 40 + b"}": "too_deep",
    b'{"a":' * 5_000 + b"1" + b"}" * 5_000: "too_deep",
    b'{"type":"track" "event":"a"}': "bad_json",
    b'{"type":"track","n":01}': "bad_json",
    b'{"type":"track","n":nan}': "bad_json",
    b"{'type':'track'}": "bad_json",
    b"undefined": "bad_json",
}


def read(sent: bytes, message_type: str | None = None) -> Messages:
    return read_messages(sent, received_at=RECEIVED_AT, message_type=message_type)


def names(found: Messages) -> list[str]:
    return [row["name"] for batch in found.batches() for row in records(batch)[Kind.EVENT]]


def test_nan_costs_only_its_value() -> None:
    """The case of a body that Python's encoder made."""
    sent = (
        b'{"batch":[{"type":"track","event":"one","messageId":"n1","anonymousId":"a"},'
        b'{"type":"track","event":"two","messageId":"n2","anonymousId":"a","properties":{"v":NaN}},'
        b'{"type":"track","event":"three","messageId":"n3","anonymousId":"a"}]}'
    )
    whole = read(sent.replace(b'"v":NaN', b""))
    found = read(sent)

    assert names(found) == ["one", "two", "three"]
    assert found.ids == ("n1", "n2", "n3")
    assert found.repaired == whole.repaired + 1
    assert found == replace(whole, repaired=found.repaired)


def test_times_in_forms_of_sdks_are_the_instants_that_they_name() -> None:
    """The case of a basic offset and of a time without seconds."""
    times = ["2026-01-20T10:00:00.000+0000", "2026-01-20T10:00Z", "2026-01-20T10:00:00.000+00:00"]
    sent = [message(messageId=str(place), timestamp=text) for place, text in enumerate(times)]
    found = read(body(*sent))
    (batch,) = found.batches()

    rows = records(batch)[Kind.EVENT]
    assert [row["timestamp"] for row in rows] == [1_768_903_200_000_000] * 3
    assert found.repaired == 0


def test_byte_order_mark_is_no_part_of_a_body() -> None:
    sent = body(message())

    assert read(b"\xef\xbb\xbf" + sent) == read(sent)
    alone = json.dumps(message()).encode()
    assert read(b"\xef\xbb\xbf" + alone, "track") == read(alone, "track")


@given(
    fields=st.dictionaries(
        st.sampled_from(
            ["type", "event", "userId", "timestamp", "properties", "traits", "context", "x"]
        ),
        values,
        max_size=5,
    ),
    place=st.integers(0, 2),
    is_alone=st.booleans(),
)
def test_a_body_with_numbers_that_json_lacks_is_the_body_without_them(
    fields: dict[str, Any], place: int, *, is_alone: bool
) -> None:
    dirty: dict[str, Any] = {"messageId": "m", **fields, "nan": math.nan}
    dropped = count_non_finite(dirty)
    if is_alone:
        found, clean = (read(json.dumps(item).encode(), "track") for item in (dirty, finite(dirty)))
    else:
        others = [message(messageId="before"), message(messageId="after")]
        found, clean = (
            read(body(*others[:place], item, *others[place:])) for item in (dirty, finite(dirty))
        )

    assert found.ids == clean.ids
    assert found.batches() == clean.batches()
    assert [(refusal.code, refusal.message) for refusal in found.list_refused()] == [
        (refusal.code, refusal.message) for refusal in clean.list_refused()
    ]
    assert found.repaired == clean.repaired + dropped


@given(
    count=st.integers(0, 5),
    bad=st.lists(st.sampled_from(sorted(BAD_MESSAGES)), min_size=1, max_size=4, unique=True),
    data=st.data(),
)
def test_bad_messages_cost_only_themselves(count: int, bad: list[bytes], data: Any) -> None:
    good = [message(messageId=f"m{place}", event=f"e{place}") for place in range(count)]
    texts = [json.dumps(item).encode() for item in good]
    for text in bad:
        texts.insert(data.draw(st.integers(0, len(texts))), text)
    sent = b'{"batch":[' + b",".join(texts) + b'],"sentAt":"' + SENT_AT.encode() + b'"}'

    found = read(sent)

    assert names(found) == [item["event"] for item in good]
    assert len(found.ids) == len(texts)
    refused = {refusal.index: refusal.code for refusal in found.list_refused()}
    assert refused == {place: BAD_MESSAGES[text] for place, text in enumerate(texts) if text in bad}


@pytest.mark.parametrize(("text", "code"), BAD_MESSAGES.items())
def test_a_broken_message_is_refused_again_as_it_was(text: bytes, code: str) -> None:
    (refused,) = read(b'{"sentAt":5,"batch":[' + text + b",{}]}").list_refused()[:1]
    again = read(refused.body)

    assert again.batches() == []
    (other,) = again.list_refused()
    assert (other.message_id, other.code, other.message) == (
        refused.message_id,
        code,
        refused.message,
    )
    assert other.body == refused.body
    assert text in refused.body


@pytest.mark.parametrize("text", [item for item in BAD_MESSAGES if item.startswith(b'{"type"')])
def test_a_broken_message_alone_is_refused_as_one(text: bytes) -> None:
    assert [refusal.code for refusal in read(text).list_refused()] == [BAD_MESSAGES[text]]
    typeless = text.replace(b'"type":"track",', b"")
    if typeless != text:
        assert [refusal.code for refusal in read(typeless, "track").list_refused()] == [
            BAD_MESSAGES[text]
        ]


def test_halves_are_mended_beside_what_is_refused() -> None:
    sent = body(message(event="HALF"), message(messageId="m2")).replace(b"HALF", rb"\ud83dx")
    sent = sent.replace(b'"batch": [', rb'"batch": [{"a":"\q"},')
    found = read(sent)

    assert names(found) == ["\ufffdx", "tap"]
    assert [refusal.code for refusal in found.list_refused()] == ["bad_string"]
    assert found.repaired == 1


def test_key_and_time_of_a_broken_body_count() -> None:
    sent = body(message(), writeKey="key", sentAt="2026-03-01T11:00:00Z", x=math.nan)
    found = read(sent)

    assert found.write_key == "key"
    (batch,) = found.batches()
    assert batch.first_at == 1_772_366_400_000_000  # an hour late, and not in the future


def test_deep_messages_are_kept_beside_one_that_is_too_deep() -> None:
    deep = message(properties={"x": "DEEP"})
    fits, does_not = (
        json.dumps(deep).encode().replace(b'"DEEP"', b"[" * depth + b"]" * depth)
        for depth in (30, 31)
    )
    found = read(b'{"batch":[' + fits + b"," + does_not.replace(b"m1", b"m2") + b"]}")

    assert names(found) == ["tap"]
    assert [refusal.code for refusal in found.list_refused()] == ["too_deep"]
