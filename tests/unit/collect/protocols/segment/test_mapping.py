"""Tests which records each tracking message becomes, and of which device."""

from typing import Any

import pytest

from engagement.model.records import Kind, derive_guid
from support.tracking_messages import (
    DEVICE,
    HAPPENED,
    RECEIVED,
    body,
    message,
    only_batch,
    records_of,
    refusal,
)

PHONE = {
    "device": {
        "id": "B5372DB0-C21E-11E4-8DFC-AA07A5B093DB", "manufacturer": "Apple",
        "model": "iPhone7,2", "name": "maguro", "type": "ios", "advertisingId": "private",
    },
    "os": {"name": "iOS", "version": 9.1},
    "app": {"name": "Shop", "version": "1.2", "build": "34"},
    "network": {"carrier": "T-Mobile", "cellular": True, "wifi": False},
    "locale": "fr-FR", "timezone": "Europe/Paris",
    "screen": {"width": 411.43, "height": 568, "density": 2},
    "library": {"name": "analytics-swift", "version": "1.5"},
    "location": {"latitude": 48.8, "country": "France", "city": "Paris"},
}  # fmt: skip


def test_track_becomes_an_event() -> None:
    assert records_of(message(event="Order Completed", properties={"total": 10})) == {
        Kind.EVENT: [
            {
                "session_id": None,
                "job_id": None,
                "name": "Order Completed",
                "timestamp": HAPPENED,
                "extras": '{"total":10}',
                "device_timestamp": None,
            }
        ]
    }


@pytest.mark.parametrize("name", ["Application Opened", "Application Backgrounded"])
def test_life_of_the_application_is_events(name: str) -> None:
    assert [record["name"] for record in records_of(message(event=name))[Kind.EVENT]] == [name]


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"type": "screen", "name": "Home", "category": "Shop"}, "Home"),
        ({"type": "screen", "name": None, "properties": {"name": "Home"}}, "Home"),
        ({"type": "screen", "category": "Shop", "properties": {"title": "T"}}, "Shop"),
        ({"type": "page", "name": " ", "properties": {"title": "T", "path": "/p"}}, "T"),
        ({"type": "page", "category": "Docs", "properties": {"title": "", "path": "/p"}}, "/p"),
        ({"type": "page", "category": "Docs"}, "Docs"),
        ({"type": "Screen", "name": 7}, "7"),
    ],
)
def test_screen_and_page_become_activities_without_end(fields: dict[str, Any], name: str) -> None:
    (activity,) = records_of(message(**fields))[Kind.ACTIVITY]

    assert (activity["name"], activity["timestamp"]) == (name, HAPPENED)
    assert (activity["end"], activity["session_id"]) == (None, None)


def test_identify_becomes_tags_and_names_the_user() -> None:
    traits = {"plan": "pro", "age": 36, "vip": True, "coupon": None}
    batch = only_batch(body(message(type="identify", userId=42, traits=traits)))

    assert (batch.device_id, batch.user_id) == (DEVICE, "42")
    assert batch.rows == {
        Kind.TAG: [
            ("plan", "pro", "string", HAPPENED),
            ("age", "36", "integer", HAPPENED),
            ("vip", "true", "boolean", HAPPENED),
            ("coupon", None, None, HAPPENED),
        ]
    }


def test_traits_in_the_context_are_tags_too_unless_the_message_has_the_same() -> None:
    context = {"traits": {"plan": "free", "age": 3}}
    tags = records_of(message(type="identify", traits={"plan": "pro"}, context=context))[Kind.TAG]

    assert {tag["key"]: tag["value"] for tag in tags} == {"plan": "pro", "age": "3"}


def test_identify_without_traits_only_names_the_user() -> None:
    batch = only_batch(body(message(type="identify", userId="u1", traits=None)))

    assert (batch.rows, batch.user_id) == ({}, "u1")
    assert (batch.first_at, batch.last_at) == (HAPPENED, HAPPENED)


def test_group_becomes_tags_with_a_prefix() -> None:
    traits = {"name": "Acme", "id": "other"}
    tags = records_of(message(type="group", groupId="g1", traits=traits))[Kind.TAG]

    assert [(tag["key"], tag["value"]) for tag in tags] == [
        ("group_id", "g1"),
        ("group_name", "Acme"),
    ]


def test_alias_names_the_user_of_the_device_that_was_known_before() -> None:
    server = only_batch(body(message(type="alias", anonymousId=None, previousId="a1", userId="u")))
    phone = only_batch(body(message(type="alias", previousId="other", userId="u")))

    for batch in (server, phone):
        assert (batch.device_id, batch.user_id, batch.rows) == (DEVICE, "u", {})
        assert batch.last_at == HAPPENED


def test_crash_keeps_its_stack() -> None:
    context = {"sessionId": 1700000000}
    crash = message(event="Application Crashed", context=context)
    crash["properties"] = {"exception": "NullPointerException", "stack": "at A\nat B"}
    bare = message(messageId="m2", event="Application Crashed", context=context)
    session_id = derive_guid("session", DEVICE, "1700000000")

    assert records_of(crash, bare) == {
        Kind.CRASH: [
            {
                "session_id": session_id,
                "name": "NullPointerException",
                "timestamp": HAPPENED,
                "stack": "at A\nat B",
                "device_timestamp": None,
            },
            {
                "session_id": session_id,
                "name": "Application Crashed",
                "timestamp": HAPPENED,
                "stack": "",
                "device_timestamp": None,
            },
        ]
    }


@pytest.mark.parametrize(
    ("event", "properties"),
    [
        ("Error", None),
        ("Error Occurred", {}),
        ("Upload", {"error": "timeout"}),
        ("Upload", {"$error": {"code": 5}}),
        ("Upload", {"exception": True, "duration": 3}),
    ],
)
def test_errors_are_told_by_name_or_property(event: str, properties: object) -> None:
    rows = records_of(message(event=event, properties=properties))

    assert [item["name"] for item in rows.pop(Kind.ERROR)] == [event]
    assert rows == {}


@pytest.mark.parametrize("error", [None, False, 0, ""])
def test_error_that_is_none_is_an_event(error: object) -> None:
    assert Kind.EVENT in records_of(message(properties={"error": error, "exception": None}))


@pytest.mark.parametrize(
    ("properties", "milliseconds"),
    [
        ({"duration": 2}, 2000),
        ({"duration": 0.0015}, 2),
        ({"duration_ms": 250.0}, 250),
        ({"duration_ms": 0, "duration": 7}, 0),
        ({"duration_ms": "250", "duration": 1e0}, 1000),
    ],
)
def test_duration_makes_a_job_that_ended_then(properties: object, milliseconds: int) -> None:
    (job,) = records_of(message(event="Upload", properties=properties))[Kind.JOB]

    assert (job["start"], job["end"]) == (HAPPENED - milliseconds * 1000, HAPPENED)
    assert job["name"] == "Upload"
    assert job["job_id"] == derive_guid("m1", DEVICE, "0")


@pytest.mark.parametrize("duration", [-1, 1e300, "2", None, True, [1]])
def test_duration_that_cannot_be_is_an_event(duration: object) -> None:
    assert Kind.EVENT in records_of(message(properties={"duration": duration}))


@pytest.mark.parametrize(
    ("event", "status"),
    [
        ("Push Notification Received", "SystemNotificationDisplayed"),
        ("Push Notification Tapped", "SystemNotificationActioned"),
        ("Push Notification Bounced", "Dropped"),
    ],
)
@pytest.mark.parametrize(
    "properties",
    [
        {"azme_campaign_id": 7},
        {"campaign": {"id": "7", "name": "8"}},
        {"campaign": {"name": "7", "medium": "Push"}},
        {"campaign": {"name": "Spring", "content": 7}},
    ],
)
def test_push_of_a_numbered_campaign_is_feedback(
    event: str, status: str, properties: object
) -> None:
    assert records_of(message(event=event, properties=properties)) == {
        Kind.FEEDBACK: [
            {
                "campaign_type": "NativePush",
                "campaign_id": 7,
                "status": status,
                "occurred_at": HAPPENED,
            }
        ]
    }


@pytest.mark.parametrize(
    "properties",
    [None, {}, {"campaign": "7"}, {"campaign": {"name": "Spring"}}, {"azme_campaign_id": 2**63}],
)
def test_push_of_a_campaign_without_number_is_an_event(properties: object) -> None:
    sent = message(event="Push Notification Tapped", properties=properties)

    assert [record["name"] for record in records_of(sent)[Kind.EVENT]] == [
        "Push Notification Tapped"
    ]


@pytest.mark.parametrize(
    ("system", "device_type", "token_type"),
    [("Android", None, "GCM"), (None, "android", "GCM"), ("iPadOS", "ios", "APNS")],
)
def test_token_is_kept_once_a_body_with_the_type_of_its_system(
    system: str | None, device_type: str | None, token_type: str
) -> None:
    context = {"device": {"token": "T", "type": device_type}, "os": {"name": system}}
    rows = records_of(message(context=context), message(messageId="m2", context=context))

    assert len(rows[Kind.EVENT]) == 2
    assert rows[Kind.TOKEN] == [
        {"token": "T", "type": token_type, "registered_at": HAPPENED, "valid": True}
    ]


@pytest.mark.parametrize(
    "device",
    [{"token": "T", "type": "windows"}, {"token": "x" * 4097, "type": "ios"}, {"token": "a\nb"}],
)
def test_token_that_cannot_be_kept_costs_nothing_else(device: object) -> None:
    assert list(records_of(message(context={"device": device}))) == [Kind.EVENT]


def test_context_becomes_info_and_location() -> None:
    batch = only_batch(body(message(context=PHONE)))

    assert batch.device_id == "b5372db0c21e11e48dfcaa07a5b093db"
    assert batch.info == {
        "firmware_name": "iOS",
        "firmware_version": "9.1",
        "phone_model": "iPhone7,2",
        "phone_manufacturer": "Apple",
        "screen_width": 411,
        "screen_height": 568,
        "application_version_code": 34,
        "application_version_name": "1.2",
        "carrier_name": "T-Mobile",
        "network_type": "mobile",
        "locale": "fr-FR",
        "time_zone_offset": 60,
        "service_version": "analytics-swift/1.5",
    }
    assert batch.location == {"country_code": "France", "locality": "Paris"}
    assert batch.info_id is not None
    assert batch.location_id is not None


@pytest.mark.parametrize(
    ("network", "network_type"),
    [
        ({"wifi": True, "cellular": True}, {"network_type": "wifi"}),
        ({"wifi": False, "cellular": True}, {"network_type": "mobile"}),
        ({"wifi": False, "cellular": False, "bluetooth": True}, None),
        ({"wifi": "true"}, None),
    ],
)
def test_network_type_is_wifi_before_mobile(network: object, network_type: object) -> None:
    assert only_batch(body(message(context={"network": network}))).info == network_type


def test_time_zone_offset_is_that_of_the_moment() -> None:
    winter, summer = (
        only_batch(body(message(context={"timezone": "Europe/Paris"}, timestamp=at))).info
        for at in ("2026-02-01T00:00:00Z", "2025-07-01T00:00:00Z")
    )

    assert (winter, summer) == ({"time_zone_offset": 60}, {"time_zone_offset": 120})


@pytest.mark.parametrize(
    "context",
    [
        None,
        "text",
        {"device": [], "os": 1, "app": None, "network": "wifi", "library": {"name": None}},
        {"timezone": "../../etc/passwd", "locale": {}, "screen": {"width": "wide"}},
        {
            "timezone": "America",
            "app": {"build": "1.2.3"},
            "screen": {"width": 10**30, "height": 2**63},
        },
    ],
)
def test_context_that_is_not_understood_costs_nothing(context: object) -> None:
    batch = only_batch(body(message(context=context)))

    assert (batch.info, batch.location, batch.device_id) == (None, None, DEVICE)


def test_long_values_of_the_context_are_shortened() -> None:
    batch = only_batch(
        body(
            message(
                userId="u" * 300, context={"locale": "l" * 300, "location": {"city": "é" * 300}}
            )
        )
    )

    assert batch.info == {"locale": "l" * 256}
    assert batch.location == {"locality": "é" * 256}
    assert batch.user_id == "u" * 256


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"context": {"device": {"id": "d1"}}}, "d1"),
        ({"context": {"device": {"id": ""}}}, "a1"),
        ({"context": {"device": {"id": "0" * 32}}}, "a1"),
        ({"anonymousId": None, "userId": 12345678901234567890123}, "12345678901234567890123"),
    ],
)
def test_device_is_the_first_id_that_tells_devices_apart(fields: dict[str, Any], text: str) -> None:
    assert only_batch(body(message(**fields))).device_id == derive_guid("device", text)


def test_session_id_of_the_sender_is_the_session() -> None:
    sent = [
        message(type=text, name="n", context={"sessionId": 1700000000})
        for text in ("track", "screen")
    ]
    rows = records_of(sent[0], sent[1] | {"messageId": "m2"})

    expected = derive_guid("session", DEVICE, "1700000000")
    assert [row["session_id"] for rows in rows.values() for row in rows] == [expected] * 2


@pytest.mark.parametrize(
    ("sent", "code", "what"),
    [
        (5, "bad_field", "a JSON object, got '5'"),
        ([], "bad_field", "a JSON object, got '[]'"),
        (message(type="merge"), "unknown_type", "alias, got 'merge'"),
        (message(type=None), "unknown_type", "alias, got None"),
        (message(event=None), "bad_name", "got 0"),
        (message(event=" \u0000 "), "bad_name", "got 0"),
        (message(type="page", event=None), "bad_name", "got 0"),
        (message(anonymousId=None), "no_device", "anonymousId or userId, got none"),
        (message(anonymousId="", userId=True), "no_device", "got none"),
        (message(type="group"), "bad_field", "groupId"),
        (message(type="alias", previousId="x"), "bad_field", "userId"),
    ],
)
def test_message_of_which_nothing_can_be_kept_is_refused_alone(
    sent: Any, code: str, what: str
) -> None:
    got = refusal({**sent, "messageId": "bad"} if isinstance(sent, dict) else sent)

    assert got[0] == code
    assert what in got[1]


def test_time_is_never_later_than_receipt() -> None:
    rows = records_of(message(timestamp="2026-03-01T13:00:00Z", properties={"duration": 1}))

    assert rows[Kind.JOB][0]["end"] == RECEIVED
