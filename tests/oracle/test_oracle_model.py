"""Holds the model itself to values that were computed by hand."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from oracle_model import Model, read_batch
from oracle_records import expected_records

KEPT = Path(__file__).parent / "kept"
ALL_TIME = ("1970-01-01T00:00:00+00:00", "2100-01-01T00:00:00+00:00")
TIMEOUT = timedelta(minutes=3)


def model_of(name: str) -> Model:
    """A model that was told what a kept history imports."""
    model = Model()
    for line in (KEPT / f"{name}.ndjson").read_text().splitlines():
        operation = json.loads(line)
        for body in operation.get("bodies", ()):
            received = datetime.fromisoformat(operation["clock"])
            model.accept(body["batchId"], read_batch(body, received=received, live=False))
    model.flush(TIMEOUT)
    return model


def records(model: Model, kind: str, *names: str, **options: Any) -> list[tuple[Any, ...]]:
    """Some fields of each record, sorted."""
    found = expected_records(model, {"type": kind, "range": ALL_TIME, **options})
    return sorted(tuple(record[name] for name in names) for record in found)


def test_a_token_that_was_taken_back_does_not_take_the_new_one_with_it() -> None:
    model = model_of("token-rotation")

    assert records(model, "Token", "type", "token") == [
        ("ADM", "tokB2"),
        ("GCM", "tokA2"),
        ("GCM", "tokB1"),
    ]
    assert records(model, "Token", "token", as_of="2026-01-10T12:00:00+00:00") == [
        ("tokA1",),
        ("tokB1",),
        ("tokB2",),
    ]
    assert records(model, "Device", "nativePushEnabled") == [(True,), (True,)]


def test_a_job_is_one_row_from_its_first_start_to_its_last_end() -> None:
    start = datetime(2026, 1, 10, 8, tzinfo=UTC)
    end = datetime(2026, 1, 12, 7, 59, tzinfo=UTC)

    assert records(model_of("job-start-and-end"), "Job", "start", "end", "receivedAt") == [
        (start, end, datetime(2026, 1, 12, 8, tzinfo=UTC))
    ]


def test_snapshots_name_the_user_that_the_device_has_now() -> None:
    model = model_of("login-later")

    assert records(model, "Tag", "userId", "key") == [("carol", "plan")]
    assert records(model, "Token", "userId") == [("carol",)]
    found = records(
        model, "Push", "userId", "status", campaign_type="Announcement", campaign_ids=[1]
    )
    assert found == [("carol", ["SystemNotificationDisplayed"])]


def test_a_session_is_one_row_whatever_days_lie_between() -> None:
    assert records(model_of("long-session"), "Session", "sessionId", "start", "end") == [
        (
            "5f0c1d5c0a0b4f0e9d0c7b6a59483726",
            datetime(2026, 1, 10, 22, tzinfo=UTC),
            datetime(2026, 1, 12, 2, tzinfo=UTC),
        ),
        (
            "6f0c1d5c0a0b4f0e9d0c7b6a59483726",
            datetime(2026, 1, 5, 1, tzinfo=UTC),
            datetime(2026, 1, 8, 2, tzinfo=UTC),
        ),
    ]


def test_a_small_skew_is_not_corrected_and_a_large_one_is_kept_beside() -> None:
    received = datetime(2026, 1, 10, 12, tzinfo=UTC)
    for skew, shift in ((5, 0), (5.001, 5.001), (-3600, -3600)):
        sent = received - timedelta(seconds=skew)
        own = sent - timedelta(minutes=1)
        log = {"type": "event", "name": "tap", "timestamp": own.isoformat()}
        body = {"batchId": "b", "sentAt": sent.isoformat(), "deviceId": "d" * 32, "logs": [log]}
        model = Model()
        model.accept("b", read_batch(body, received=received, live=True))

        found = records(model, "Event", "timestamp", "deviceTimestamp")
        assert found == [(own + timedelta(seconds=shift), own)]
