"""Tests that requests of real SDKs become records, none of their messages refused."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from engagement.collect.limits import guid
from engagement.collect.payload import Batch
from engagement.collect.protocols.segment.messages import read_messages
from engagement.model.records import Kind
from support.captures import CLIENTS, needs_captures, requests
from support.tracking_messages import records

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

pytestmark = needs_captures


def sent_at(sent: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(sent["sentAt"])


def test_all_captured_requests_are_there() -> None:
    found = [client for client, _ in requests()]

    assert {client: found.count(client) for client in CLIENTS} == CLIENTS


def test_every_captured_message_is_kept_with_its_fields() -> None:
    for _, request in requests():
        sent = json.loads(request["body"])
        received_at = sent_at(sent) + timedelta(hours=1)
        found = read_messages(request["body"].encode(), received_at=received_at)

        assert found.write_key == sent.get("writeKey")
        assert found.ids == tuple(item["messageId"] for item in sent["batch"])
        assert (found.list_refused(), found.repaired) == ([], 0)
        batches = found.batches()
        assert sum(batch.accepted for batch in batches) == len(sent["batch"])
        for item in sent["batch"]:
            check_message(item, sent, found.batches(set(found.ids) - {item["messageId"]}))


def check_message(item: dict[str, Any], sent: dict[str, Any], batches: list[Batch]) -> None:
    """The only batch that is made of a message says what it said."""
    (batch,) = batches
    library = item["context"]["library"]
    device = item["context"].get("device", {}).get("id")
    text = device or item.get("anonymousId") or item.get("previousId") or item["userId"]
    assert batch.device_id == guid(text, "device")
    assert batch.user_id == item.get("userId")
    assert batch.info is not None
    assert batch.info["service_version"] == f"{library['name']}/{library['version']}"
    happened_at = datetime.fromisoformat(item.get("originalTimestamp") or item["timestamp"])
    assert batch.last_at is not None
    late = batch.last_at - (happened_at - EPOCH) // timedelta(microseconds=1)
    assert abs(late - 3600 * 1_000_000) < 1000, sent["sentAt"]
    rows = records(batch)
    rows.pop(Kind.TOKEN, None)
    if item["type"] in {"identify", "group"}:
        traits = item.get("traits") or item["context"].get("traits") or {}
        prefix = "group_" if item["type"] == "group" else ""
        expected = {prefix + key: str(value) for key, value in traits.items()}
        if item["type"] == "group":
            expected["group_id"] = item["groupId"]
        assert {tag["key"]: tag["value"] for tag in rows.pop(Kind.TAG)} == expected
    elif item["type"] != "alias":
        kind = Kind.EVENT if item["type"] == "track" else Kind.ACTIVITY
        (row,) = rows.pop(kind)
        assert row["name"] == (item.get("event") or item["name"])
        kept = {
            key: json.loads(value) if str(value).startswith("[") else value
            for key, value in json.loads(row["extras"] or "{}").items()
        }
        assert kept == item.get("properties", {})
    assert rows == {}


def test_captured_phone_is_known_with_its_token() -> None:
    request = next(request for client, request in requests() if "segment" in client)
    sent = json.loads(request["body"])
    found = read_messages(request["body"].encode(), received_at=sent_at(sent))
    phone = found.batches()[0]

    assert phone.device_id == "b5372db0c21e11e48dfcaa07a5b093db"
    assert [(row["token"][:4], row["type"]) for row in records(phone)[Kind.TOKEN]] == [
        ("ff15", "APNS")
    ]
    assert phone.info == {
        "firmware_name": "iOS",
        "firmware_version": "9",
        "phone_model": "iPhone7,2",
        "phone_manufacturer": "Apple",
        "screen_width": 320,
        "screen_height": 568,
        "application_version_code": 3,
        "application_version_name": "1.2",
        "carrier_name": "T-Mobile",
        "network_type": "mobile",
        "locale": "fr-FR",
        "time_zone_offset": 60,
        "service_version": "analytics-python/2.4.0",
    }
