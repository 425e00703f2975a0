"""Tests what is kept of the times by a device's own clock, and the ids of messages."""

import json
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engagement.collect.inbox import StoredBatch, decode_stored_batch, inbox_row
from engagement.collect.limits import CLOCK_SKEW_KEPT_SECONDS_MAX
from engagement.collect.payload import Batch, decode_batch
from engagement.collect.protocols.segment.messages import read_messages
from engagement.model.records import RECORD_COLUMNS, UNFOLDED_KINDS, Kind, record_id_prefixes
from support.tracking_messages import DEVICE, body, message, records

SECOND = 1_000_000
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
TIMED_KINDS = (Kind.ACTIVITY, Kind.EVENT, Kind.ERROR, Kind.CRASH, Kind.JOB)


def _text(when: datetime) -> str:
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _microseconds(when: datetime) -> int:
    return (when - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1) * 1000


def _native(*logs: object, sent_at: datetime, live: bool = True) -> Batch:
    content = {"batchId": "b", "sentAt": _text(sent_at), "deviceId": "phone", "logs": logs}
    return decode_batch(json.dumps(content).encode(), received_at=NOW, live=live)


def _log(log_type: str, when: datetime, **fields: object) -> dict[str, object]:
    named = {"stack": ""} if log_type == "crash" else {}
    return {"type": log_type, "name": "n", "timestamp": _text(when), **named, **fields}


def test_device_timestamp_is_the_last_column() -> None:
    for kind in TIMED_KINDS:
        assert RECORD_COLUMNS[kind][-1].name == "device_timestamp"
        assert not RECORD_COLUMNS[kind][-1].required


@pytest.mark.parametrize("log_type", ["activity", "event", "error", "crash", "job"])
@given(skew=st.timedeltas(timedelta(days=-900), timedelta(days=900)))
def test_time_of_the_device_is_kept_where_another_is(log_type: str, skew: timedelta) -> None:
    happened = NOW - skew - timedelta(minutes=1)
    batch = _native(_log(log_type, happened), sent_at=NOW - skew)

    (row,) = records(batch)[Kind(log_type)]
    at = row["start" if log_type == "job" else "timestamp"]
    device_at = at if row["device_timestamp"] is None else row["device_timestamp"]
    assert device_at == _microseconds(happened)
    assert (row["device_timestamp"] is None) == (at == _microseconds(happened))


@given(skew=st.timedeltas(timedelta(seconds=-9), timedelta(seconds=9)))
def test_small_skew_is_not_corrected(skew: timedelta) -> None:
    # As senders write it, a time has whole milliseconds.
    skew = skew // timedelta(milliseconds=1) * timedelta(milliseconds=1)
    happened = NOW - timedelta(minutes=1)
    is_small = abs(skew) <= timedelta(seconds=CLOCK_SKEW_KEPT_SECONDS_MAX)
    expected = _microseconds(happened if is_small else happened + skew)

    native = _native(_log("event", happened), sent_at=NOW - skew)
    sent = body(message(timestamp=_text(happened)), sentAt=_text(NOW - skew))
    (tracked,) = read_messages(sent, received_at=NOW).batches()

    for batch in (native, tracked):
        assert [row["timestamp"] for row in records(batch)[Kind.EVENT]] == [expected]


def test_time_in_the_future_is_kept_as_the_device_told_it() -> None:
    happened = NOW + timedelta(seconds=3)
    (row,) = records(_native(_log("event", happened), sent_at=NOW))[Kind.EVENT]

    assert row["timestamp"] == _microseconds(NOW)
    assert row["device_timestamp"] == _microseconds(happened)


def test_file_keeps_no_other_time() -> None:
    old = datetime(2020, 1, 1, tzinfo=UTC)
    (row,) = records(_native(_log("event", old), sent_at=old, live=False))[Kind.EVENT]

    assert (row["timestamp"], row["device_timestamp"]) == (_microseconds(old), None)


@pytest.mark.parametrize("log_type", ["activity", "job"])
@given(
    skew=st.timedeltas(timedelta(days=-9), timedelta(days=9)),
    start=st.timedeltas(timedelta(days=-9), timedelta(days=9)),
    length=st.integers(-1_000_000, 1_000_000),
)
def test_end_before_start_is_refused_wherever_both_lie(
    log_type: str, skew: timedelta, start: timedelta, length: int
) -> None:
    start = start // timedelta(milliseconds=1) * timedelta(milliseconds=1)
    end = NOW + start + timedelta(milliseconds=length)
    log = _log(log_type, NOW + start, end=_text(end))
    for live in (True, False):
        batch = _native(log, sent_at=NOW - skew, live=live)

        refused = [refusal.code for refusal in batch.refused]
        assert refused == ([] if length >= 0 else ["end_before_start"])


def test_tracking_message_keeps_the_time_that_it_told() -> None:
    slow = {"sentAt": "2020-01-01T00:00:00Z"}
    own_times = {"timestamp": "2019-12-31T23:00:00Z"}
    original = {"timestamp": None, "originalTimestamp": "2019-12-31T23:00:00Z"}
    both = own_times | {"originalTimestamp": "2001-01-01T00:00:00Z"}
    hour_ago, device_at = NOW - timedelta(hours=1), datetime(2019, 12, 31, 23, tzinfo=UTC)

    expected = [
        (_microseconds(hour_ago), _microseconds(device_at)),
        (_microseconds(hour_ago), _microseconds(device_at)),
        (_microseconds(device_at), None),
    ]
    for fields, times in zip((own_times, original, both), expected, strict=True):
        (batch,) = read_messages(body(message(**fields), **slow), received_at=NOW).batches()
        (row,) = records(batch)[Kind.EVENT]
        assert (row["timestamp"], row["device_timestamp"]) == times


@pytest.mark.parametrize("fast", [timedelta(days=-30), timedelta(0), timedelta(days=30)])
def test_tracked_job_keeps_its_start_by_the_device(fast: timedelta) -> None:
    ended = NOW - timedelta(minutes=1)
    job = message(timestamp=_text(ended + fast), properties={"duration": 60})
    (batch,) = read_messages(body(job, sentAt=_text(NOW + fast)), received_at=NOW).batches()

    (row,) = records(batch)[Kind.JOB]
    start = _microseconds(ended) - 60 * SECOND
    assert (row["start"], row["end"]) == (start, _microseconds(ended))
    assert row["device_timestamp"] == (
        None if not fast else start + fast // timedelta(seconds=1) * SECOND
    )


def test_records_of_messages_have_ids_of_their_message() -> None:
    sent = [
        message(messageId="t1"),
        message(messageId="t2"),
        message(messageId="s1", type="screen", name="home"),
        message(messageId="e1", event="Error"),
        message(messageId="c1", event="Application Crashed"),
        message(messageId="j1", properties={"duration": 1}),
        message(messageId="i1", type="identify", traits={"a": 1}),
    ]
    (batch,) = read_messages(body(*sent), received_at=NOW).batches()
    (again,) = read_messages(body(*reversed(sent)), received_at=NOW).batches()

    def expected(kind: Kind, *message_ids: str) -> list[str]:
        prefixes = record_id_prefixes(kind, ((DEVICE, message_id) for message_id in message_ids))
        return [f"{prefix}00000000" for prefix in prefixes]

    assert batch.record_ids == {
        Kind.EVENT: expected(Kind.EVENT, "t1", "t2"),
        Kind.ACTIVITY: expected(Kind.ACTIVITY, "s1"),
        Kind.ERROR: expected(Kind.ERROR, "e1"),
        Kind.CRASH: expected(Kind.CRASH, "c1"),
    }
    assert set(batch.record_ids) == UNFOLDED_KINDS
    assert again.record_ids is not None
    assert {kind: sorted(ids) for kind, ids in again.record_ids.items()} == {
        kind: sorted(ids) for kind, ids in batch.record_ids.items()
    }


def test_prefix_of_record_ids_is_pinned() -> None:
    prefixes = record_id_prefixes(Kind.EVENT, [("0" * 32, "b1")])

    assert prefixes == ["189656432dcfd49e6571751f"]


def test_inbox_keeps_record_ids_and_reads_payloads_that_lack_them() -> None:
    (batch,) = read_messages(body(message()), received_at=NOW).batches()
    row = inbox_row("app", batch, received_at=NOW)
    ids = batch.record_ids
    assert ids is not None

    assert decode_stored_batch(row).record_ids == {"event": ids[Kind.EVENT]}
    native = _native(_log("event", NOW), sent_at=NOW)
    assert native.record_ids is None
    assert decode_stored_batch(inbox_row("app", native, received_at=NOW)).record_ids is None

    before = msgspec.msgpack.encode(msgspec.msgpack.decode(row.payload)[:-1])
    old = msgspec.msgpack.decode(before, type=StoredBatch)
    assert old.record_ids is None
    assert old.device_id == DEVICE
