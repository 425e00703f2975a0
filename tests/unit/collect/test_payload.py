"""Tests that batches are decoded: good logs kept as sent, bad ones refused."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engagement.collect.payload import Batch, decode_batch
from engagement.exceptions import CorruptInputError
from engagement.model.records import Kind, content_id, derive_guid

RECEIVED_AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
DEVICE = "0123456789abcdef0123456789abcdef"
SESSION = "B5372DB0-C21E-11E4-8DFC-AA07A5B093DB"
SESSION_HEX = "b5372db0c21e11e48dfcaa07a5b093db"
AT = "2026-02-28T23:59:59.123Z"
AT_MICROSECONDS = 1_772_323_199_123_000

EVENT = {"type": "event", "name": "tap", "timestamp": AT}


def body(*logs: object, **fields: object) -> bytes:
    batch = {"batchId": "b1", "sentAt": AT, "deviceId": DEVICE, "logs": list(logs), **fields}
    return json.dumps(batch, ensure_ascii=False, separators=(",", ":")).encode()


def decode(*logs: object, **fields: object) -> Batch:
    return decode_batch(body(*logs, **fields), received_at=RECEIVED_AT, live=False)


def refusal(log: object) -> tuple[str, str]:
    """The code and message of a log's refusal; its neighbours must be kept."""
    batch = decode(EVENT, log, EVENT)
    assert batch.accepted == 2
    assert len(batch.rows[Kind.EVENT]) == 2
    (refused,) = batch.refused
    assert refused.index == 1
    return refused.code, refused.message


def test_every_log_type_becomes_rows_in_the_order_of_its_columns() -> None:
    later = "2026-03-01T00:59:59.124+01:00"
    extras = {"a": 1, "b": "é"}
    batch = decode(
        EVENT | {"type": "activity", "end": later, "sessionId": SESSION, "extras": extras},
        EVENT | {"sessionId": SESSION, "jobId": DEVICE.upper(), "extras": extras},
        EVENT | {"type": "error", "name": "é" * 64},
        EVENT | {"type": "crash", "stack": "a\n\tb\u0000", "sessionId": SESSION},
        EVENT | {"type": "job", "jobId": DEVICE, "end": AT},
        {"type": "tags", "timestamp": AT, "tags": {"k": "v", "n": -5, "y": True, "gone": None}},
        {"type": "token", "timestamp": AT, "token": "T", "tokenType": "GCM"},
        {
            "type": "feedback",
            "timestamp": AT,
            "campaignType": "Poll",
            "campaignId": 7,
            "status": "Queued",
        },
    )
    at, text = AT_MICROSECONDS, '{"a":1,"b":"é"}'

    assert batch.refused == ()
    assert batch.accepted == 8
    assert batch.rows == {
        Kind.ACTIVITY: [(SESSION_HEX, "tap", at, at + 1000, text, None)],
        Kind.EVENT: [(SESSION_HEX, DEVICE, "tap", at, text, None)],
        Kind.ERROR: [(None, None, "é" * 64, at, None, None)],
        Kind.CRASH: [(SESSION_HEX, "tap", at, "a\n\tb\u0000", None)],
        Kind.JOB: [(DEVICE, "tap", at, at, None, None)],
        Kind.TAG: [
            ("k", "v", "string", at),
            ("n", "-5", "integer", at),
            ("y", "true", "boolean", at),
            ("gone", None, None, at),
        ],
        Kind.TOKEN: [("T", "GCM", at, True)],
        Kind.FEEDBACK: [("Poll", 7, "Queued", at)],
    }
    assert (batch.first_at, batch.last_at) == (at, at + 1000)


def test_batch_without_logs_has_no_times() -> None:
    batch = decode()

    assert (batch.accepted, batch.refused, batch.rows) == (0, (), {})
    assert (batch.first_at, batch.last_at) == (None, None)


@pytest.mark.parametrize(
    ("text", "microseconds"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T01:00:00+01:00", 0),
        ("2026-02-28T23:59:59.1239999Z", AT_MICROSECONDS),
        ("2026-02-28T23:59:59.999999999Z", AT_MICROSECONDS + 876_000),
        ("2026-02-28t23:59:59.123z", AT_MICROSECONDS),
        ("2026-03-01 05:29:59.123+05:30", AT_MICROSECONDS),
        ("2024-02-29T00:00:00-00:00", 1_709_164_800_000_000),
        ("9999-12-31T23:59:59.999Z", 253_402_300_799_999_000),
    ],
)
def test_timestamp_is_cut_to_milliseconds_in_utc(text: str, microseconds: int) -> None:
    assert decode(EVENT | {"timestamp": text}).first_at == microseconds


@pytest.mark.parametrize(
    "text",
    [
        "2026-02-28T23:59:59",
        "2026-02-28",
        "2026-02-28T23:59Z",
        "2026-02-29T00:00:00Z",
        "2026-02-28T24:00:00Z",
        "2026-02-28T23:59:60Z",
        "2026-02-28T23:59:59+0100",
        "2026-02-28T23:59:59,5Z",
        "2026-W09-6T23:59:59Z",
        "٢٠٢٦-02-28T23:59:59Z",
        "1969-12-31T23:59:59.999Z",
        "1970-01-01T00:59:59+01:00",
        "9999-12-31T23:59:59-00:01",
        "",
        "1772323199",
    ],
)
def test_timestamp_that_cannot_be_kept_is_refused(text: str) -> None:
    code, message = refusal(EVENT | {"timestamp": text})

    assert code == "bad_timestamp"
    assert message.startswith("timestamp must")


@given(
    when=st.datetimes(
        datetime(1970, 1, 2),  # noqa: DTZ001 - Hypothesis adds the zone
        datetime(9999, 12, 30),  # noqa: DTZ001 - same
        timezones=st.timezones() | st.just(UTC),
    )
)
def test_any_python_time_is_read_as_the_same_instant(when: datetime) -> None:
    if (when.utcoffset() or timedelta()) % timedelta(minutes=1):
        when = when.astimezone(UTC)  # offsets of old times have seconds, which RFC 3339 lacks

    batch = decode(EVENT | {"timestamp": when.isoformat()})

    expected = (when - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1) * 1000
    assert batch.first_at == expected


def test_live_batch_has_its_clock_corrected_and_never_lies_in_the_future() -> None:
    slow = {"sentAt": "2020-01-01T00:00:10Z"}
    past, now, future = (
        EVENT | {"timestamp": f"2020-01-01T00:00:{second}Z"} for second in ("00", "10", "20")
    )
    activity = EVENT | {"type": "activity", "timestamp": "2020-01-01T00:00:30Z"}
    activity["end"] = "2020-01-01T00:00:40Z"
    received = int(RECEIVED_AT.timestamp()) * 1_000_000

    live = decode_batch(
        body(past, now, future, activity, **slow), received_at=RECEIVED_AT, live=True
    )
    imported = decode(past, **slow)

    assert [row[3] for row in live.rows[Kind.EVENT]] == [received - 10_000_000, received, received]
    assert live.rows[Kind.ACTIVITY][0][2:4] == (received, received)
    assert imported.first_at == 1_577_836_800_000_000


def test_end_before_start_is_refused() -> None:
    early = {"end": "2026-02-28T23:59:59.122Z"}

    assert refusal(EVENT | {"type": "job"} | early)[0] == "end_before_start"
    assert refusal(EVENT | {"type": "activity"} | early)[0] == "end_before_start"


@pytest.mark.parametrize("name", ["", "x" * 65, "a\nb", "a\x00", "\x7f", "\x85"])
def test_bad_name_is_refused(name: str) -> None:
    assert refusal(EVENT | {"name": name})[0] == "bad_name"


@pytest.mark.parametrize(
    "name", ["x" * 64, "👗" * 64, " ", "a\u2028b", "a\xa0b", "\ufeff", "\u202e"]
)
def test_any_other_name_is_kept(name: str) -> None:
    assert decode(EVENT | {"name": name}).rows[Kind.EVENT][0][2] == name


@pytest.mark.parametrize(
    ("log", "code", "reason"),
    [
        (EVENT | {"type": "Event"}, "unknown_type", "activity, event, error"),
        (EVENT | {"type": 5}, "unknown_type", "got '5'"),
        ({"name": "a", "timestamp": AT}, "bad_field", "`type`"),
        ({"type": "event", "timestamp": AT}, "bad_field", "`name`"),
        (EVENT | {"name": 5}, "bad_field", "$.name"),
        (EVENT | {"timestamp": 5}, "bad_field", "$.timestamp"),
        ("event", "bad_field", "got `str`"),
        (None, "bad_field", "got `null`"),
        (EVENT | {"sessionId": ""}, "bad_id", "sessionId"),
        (EVENT | {"jobId": "x" * 257}, "bad_id", "jobId"),
        (EVENT | {"type": "crash"}, "bad_field", "`stack`"),
        (EVENT | {"type": "crash", "stack": "x" * 262_145}, "bad_stack", "262145"),
        ({"type": "token", "timestamp": AT, "token": "", "tokenType": "x"}, "bad_token", "token"),
        ({"type": "token", "timestamp": AT, "token": "a\n", "tokenType": "x"}, "bad_token", "cont"),
        ({"type": "token", "timestamp": AT, "token": "a", "tokenType": ""}, "bad_token", "Type"),
    ],
)
def test_bad_log_is_refused_and_told_why(log: object, code: str, reason: str) -> None:
    got, message = refusal(log)

    assert got == code
    assert reason in message


@pytest.mark.parametrize(
    "change",
    [
        {"campaignType": "poll"},
        {"status": "Opened"},
        {"campaignId": -1},
        {"campaignId": 2**63},
    ],
)
def test_bad_feedback_is_refused(change: dict[str, Any]) -> None:
    good = {"campaignType": "Poll", "campaignId": 2**63 - 1, "status": "None"}
    log = {"type": "feedback", "timestamp": AT, **good}

    assert decode(log).rows[Kind.FEEDBACK] == [("Poll", 2**63 - 1, "None", AT_MICROSECONDS)]
    assert refusal(log | change)[0] == "bad_feedback"


def test_ids_that_are_no_guids_become_guids_of_their_device() -> None:
    batch = decode(
        EVENT | {"sessionId": "1", "jobId": "1"},
        EVENT | {"type": "job", "jobId": "1"},
        EVENT | {"type": "job"},
        deviceId="my phone",
    )
    again = decode(EVENT | {"sessionId": "1"}, deviceId="my phone", batchId="b2")
    other = decode(EVENT | {"sessionId": "1"}, deviceId="your phone")
    session, job, *_ = batch.rows[Kind.EVENT][0]

    assert batch.device_id == derive_guid("device", "my phone")
    assert session == derive_guid("session", batch.device_id, "1")
    assert job == derive_guid("job", batch.device_id, "1")
    assert batch.rows[Kind.JOB][0][0] == job
    assert batch.rows[Kind.JOB][1][0] == derive_guid("b1", batch.device_id, "2")
    assert again.rows[Kind.EVENT][0][0] == session
    assert other.rows[Kind.EVENT][0][0] != session


@pytest.mark.parametrize("text", [SESSION, SESSION.lower(), SESSION_HEX, SESSION_HEX.upper()])
def test_guid_in_any_spelling_is_the_same_device(text: str) -> None:
    assert decode(deviceId=text).device_id == SESSION_HEX


def test_info_and_location_are_read_in_both_spellings() -> None:
    info = {"androidAPILevel": 33, "phoneModel": "Pixel \u202e", "timeZoneOffset": -480}
    batch = decode(
        info={**info, "carrierName": None, "batteryLevel": 1e300, "future": {"x": [1]}},
        location={"countrycode": "FR", "locality": ""},
    )
    ours = decode(
        info={"timeZoneOffset": -480, "phoneModel": "Pixel \u202e", "androidApiLevel": 33},
        location={"locality": "", "countryCode": "FR"},
    )

    assert batch.info == {
        "android_api_level": 33,
        "phone_model": "Pixel \u202e",
        "time_zone_offset": -480,
    }
    assert batch.location == {"country_code": "FR", "locality": ""}
    assert (ours.info_id, ours.location_id) == (batch.info_id, batch.location_id)
    assert batch.location_id == content_id(b'{"country_code":"FR","locality":""}')


def test_absent_info_has_no_id() -> None:
    for nothing in ({}, {"info": None}, {"info": {}}, {"info": {"unknown": 1}}):
        batch = decode(**nothing)
        assert (batch.info, batch.info_id, batch.location, batch.location_id) == (None,) * 4


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (b"", "must be a JSON object"),
        (b"[]", "got `array`"),
        (b"nonsense", "malformed"),
        (body(EVENT)[:-1], "truncated"),
        (body(EVENT) + b"{}", "malformed"),
        (body(batchId=""), "$.batchId"),
        (body(batchId="x" * 101), "$.batchId"),
        (body(batchId="a\nb"), "control characters"),
        (body(batchId=5), "$.batchId"),
        (body(deviceId=""), "$.deviceId"),
        (body(deviceId="x" * 257), "$.deviceId"),
        (body(userId=""), "$.userId"),
        (body(sentAt="yesterday"), "sentAt must be"),
        (body(*[EVENT] * 1001), "$.logs"),
        (body(info={"androidAPILevel": "33"}), "info.androidAPILevel"),
        (body(info={"timeZoneOffset": 2**63}), "info.timeZoneOffset"),
        (body(info={"phoneModel": "x" * 257}), "info.phoneModel"),
        (body(location={"region": 1}), "location.region"),
        (body().replace(b"b1", b"\xff"), "UTF-8"),
        (body(x="\x00").replace(b"\\u0000", b"\x00"), "malformed"),
        (body().replace(b"b1", rb"\ud800"), "half a surrogate"),
        (b" " * (10 * 1024 * 1024 + 1), "10485760 bytes"),
    ],
)
def test_malformed_batch_is_refused_whole(broken: bytes, reason: str) -> None:
    with pytest.raises(CorruptInputError) as caught:
        decode_batch(broken, received_at=RECEIVED_AT, live=False)

    assert reason in str(caught.value)


def test_missing_field_of_a_batch_is_named() -> None:
    for field in ("batchId", "sentAt", "deviceId", "logs"):
        batch = json.loads(body(EVENT))
        del batch[field]
        with pytest.raises(CorruptInputError, match=f"`{field}`"):
            decode_batch(json.dumps(batch).encode(), received_at=RECEIVED_AT, live=False)


def test_batch_of_a_thousand_logs_is_accepted() -> None:
    assert decode(*[EVENT] * 1000).accepted == 1000


@pytest.mark.parametrize("depth", [32, 33, 100_000])
def test_depth_is_limited_wherever_it_is(depth: int) -> None:
    inner = depth - 1  # the batch itself is the first level
    deep = body(x="HERE", y="[[[" * 40).replace(b'"HERE"', b"[" * inner + b"]" * inner)

    if depth <= 32:
        assert decode_batch(deep, received_at=RECEIVED_AT, live=False).accepted == 0
    else:
        with pytest.raises(CorruptInputError, match=f"depth of {depth}"):
            decode_batch(deep, received_at=RECEIVED_AT, live=False)


@pytest.mark.parametrize(("pairs", "is_accepted"), [(15, True), (16, False)])
def test_objects_and_lists_in_turns_count_a_level_each(pairs: int, *, is_accepted: bool) -> None:
    deep = body(x="HERE").replace(b'"HERE"', b'[{"a":' * pairs + b"[]" + b"}]" * pairs)

    if is_accepted:
        assert decode_batch(deep, received_at=RECEIVED_AT, live=False).accepted == 0
    else:
        with pytest.raises(CorruptInputError, match="depth of 34"):
            decode_batch(deep, received_at=RECEIVED_AT, live=False)


def test_brackets_in_strings_are_not_depth() -> None:
    noise = "}{[" * 100 + '\\"' + "{" * 100

    batch = decode(EVENT | {"extras": {"text": noise}})

    assert json.loads(batch.rows[Kind.EVENT][0][4]) == {"text": noise}


@pytest.mark.parametrize("half", [r"\ud83d", r"\uDE00", r"\ud83d\ud83d\ude00", r"\\\ud83dx"])
def test_half_a_character_is_refused_with_its_log_only(half: str) -> None:
    whole = EVENT | {"extras": {"text": "WHOLE", "back": "\\ud83d"}}
    raw = body(whole, EVENT | {"extras": {"text": "HALF"}}, whole)
    raw = raw.replace(b"WHOLE", rb"\ud83d\ude00").replace(b"HALF", half.encode())

    batch = decode_batch(raw, received_at=RECEIVED_AT, live=False)

    assert [(refusal.index, refusal.code) for refusal in batch.refused] == [(1, "lone_surrogate")]
    assert json.loads(batch.rows[Kind.EVENT][1][4]) == {"text": "😀", "back": "\\ud83d"}


@given(garbage=st.binary(max_size=200))
def test_garbage_is_corrupt_input_and_nothing_else(garbage: bytes) -> None:
    with pytest.raises(CorruptInputError):
        decode_batch(garbage, received_at=RECEIVED_AT, live=False)


@given(
    cut=st.integers(0, 400), put=st.binary(max_size=8), live=st.booleans(), length=st.integers(0, 9)
)
def test_damaged_batch_never_fails_in_another_way(
    cut: int, put: bytes, length: int, *, live: bool
) -> None:
    good = body(
        EVENT | {"sessionId": "s", "extras": {"a": 1.5, "b": [None, {}]}},
        {"type": "tags", "timestamp": AT, "tags": {"k": "2026-01-01"}},
        info={"phoneModel": "x"},
    )
    damaged = good[:cut] + put + good[cut + length :]

    try:
        batch = decode_batch(damaged, received_at=RECEIVED_AT, live=live)
    except CorruptInputError:
        return
    assert batch.accepted + len(batch.refused) <= 2
