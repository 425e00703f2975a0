"""Tests that the real input becomes batches that are accepted, nothing left out."""

import json
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from engagement.collect.payload import decode_batch
from engagement.model.records import RECORD_COLUMNS, Kind
from support.checkout import SHARED
from support.real_input import (
    TrackingEvent,
    android_line,
    captured,
    health_line,
    real_batches,
    real_happenings,
    spread,
)

NOW = datetime(2026, 12, 1, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

needs_shared = pytest.mark.skipif(
    not SHARED.joinpath("data").is_dir(), reason="needs ../shared, which holds the real input"
)


@needs_shared
def test_every_real_record_is_accepted_as_it_was_told() -> None:
    markers: Counter[str] = Counter()
    kinds: Counter[Kind] = Counter()
    for body, expected in real_batches(SHARED):
        batch = decode_batch(body, received_at=NOW, live=False)

        assert batch.refused == ()
        assert batch.accepted == len(expected)
        got = {
            json.loads(row["extras"])["marker"]: (kind, row)
            for kind, rows in batch.rows.items()
            for row in [_by_column(kind, row) for row in rows]
        }
        for record in expected:
            kind, row = got[record.extras["marker"]]
            assert (kind, row["name"]) == (record.kind, record.name)
            assert EPOCH + timedelta(microseconds=row["timestamp"]) == record.timestamp
            assert json.loads(row["extras"]) == record.extras
        markers.update(record.extras["marker"] for record in expected)
        kinds.update(record.kind for record in expected)

    assert set(markers.values()) == {1}
    assert kinds[Kind.EVENT] >= 4000
    assert set(kinds) == {Kind.ACTIVITY, Kind.EVENT, Kind.ERROR}


@needs_shared
def test_every_line_and_every_capture_with_events_is_there() -> None:
    messages = dict(real_happenings(SHARED))

    assert (len(messages["android"]), len(messages["healthapp"])) == (2000, 2000)
    devices = {happening.device for happenings in messages.values() for happening in happenings}
    assert {"dev-1", "bulk1", "u1", "an1", "d1"} <= devices
    assert len(messages) > 12


def test_android_line_is_taken_apart() -> None:
    line = '03-17 16:13:38.819  1702  8671 D PowerManagerService: acquire lock=2, tag="a: b"'

    assert android_line(line) == TrackingEvent(
        device="android",
        kind=Kind.EVENT,
        name="PowerManagerService",
        at=datetime(2016, 3, 17, 16, 13, 38, 819_000, tzinfo=UTC),
        extras={"content": 'acquire lock=2, tag="a: b"', "pid": 1702, "tid": 8671, "level": "D"},
    )


def test_health_line_with_bars_in_its_content_is_taken_apart() -> None:
    line = "20171224-0:0:0:234|Step_StandStepDataManager|30002312|steps1514044800223|3786|0|0"

    happening = health_line(line)

    assert happening.at == datetime(2017, 12, 24, 0, 0, 0, 234_000, tzinfo=UTC)
    assert happening.extras == {"content": "steps1514044800223|3786|0|0", "pid": 30002312}


def test_request_that_is_no_json_tells_nothing() -> None:
    assert captured({"mark": "x"}) == []
    assert captured({"path": "/v1/logs", "body": "HEX:00"}) == []


def test_long_extras_are_spread_and_can_be_joined_again() -> None:
    text = "".join(f'{number} "quoted" \n' for number in range(500))
    happening = TrackingEvent(
        device="d", kind=Kind.EVENT, name="n" * 70, at=NOW, extras={"$a.b": text, "9": [1, None]}
    )

    records = spread(happening, "m")

    fields = {key: value for record in records for key, value in record.extras.items()}
    pieces = [value for key, value in fields.items() if key.startswith("x__a_b_")]
    assert "".join(pieces) == text
    assert fields["full_name"] == "n" * 70
    assert fields["x_9"] == [1, None]
    assert len({record.extras["marker"] for record in records}) == len(records) > 1
    for record in records:
        assert len(json.dumps(record.extras, ensure_ascii=False, separators=(",", ":"))) <= 1024


def _by_column(kind: Kind, row: tuple[object, ...]) -> dict[str, object]:
    return dict(zip([column.name for column in RECORD_COLUMNS[kind]], row, strict=True))
