"""One of everything that a tracking SDK can say, and what exports hold of it."""

import hashlib
from typing import Any

Json = dict[str, Any]


def derived_id(*parts: str) -> str:
    """An id as `docs/reference/native-batches.md` derives it from a text that is no GUID."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


PHONE = "b5372db0c21e11e48dfcaa07a5b093db"
VISITOR = derived_id("device", "visitor-1")
BEFORE = derived_id("device", "ada before she signed up")
SESSION = derived_id("session", PHONE, "1748772000")
ADA = {"userId": "ada@example.org", "anonymousId": "anonymous-1"}


def _context() -> Json:
    """What an SDK on a phone says of it."""
    return {
        "device": {
            "id": "B5372DB0-C21E-11E4-8DFC-AA07A5B093DB",
            "manufacturer": "Google",
            "model": "Pixel 8",
            "type": "android",
            "token": "fGx0:APA91",
        },
        "os": {"name": "Android", "version": "14"},
        "app": {"name": "Shop", "version": "1.2.3", "build": "42"},
        "network": {"carrier": "Orange F", "wifi": True, "cellular": False},
        "screen": {"width": 1080, "height": 2400, "density": 2.625},
        "location": {"country": "FR", "city": "Paris"},
        "locale": "fr-FR",
        "timezone": "Europe/Paris",
        "sessionId": 1748772000,
    }


def at(second: float) -> str:
    """A second of the messages' minute."""
    return f"2025-06-01T10:00:{second:06.3f}Z"


def from_phone(second: int, message_type: str, **fields: Any) -> Json:
    """A message of a phone that Ada uses."""
    message = {"type": message_type, "timestamp": at(second), "context": _context()}
    return ADA | message | fields


MESSAGES: list[Json] = [
    from_phone(1, "screen", name="Home", properties={"from": "push", "first": True}),
    from_phone(
        2,
        "track",
        event="Order Completed",
        properties={
            "total": 79.9,
            "items": ["a", 1, None],
            "cart": {"count": 2, "coupon": {"code": "X"}},
            "résumé": "日本語 🎉",
            "largest": 9007199254740991,
            "nothing": None,
            "quoted": 'a"b\\c\n',
        },
    ),
    from_phone(
        3,
        "identify",
        traits={
            "plan": "pro",
            "age": 36,
            "vip": True,
            "score": 1.5,
            "signed_up": "2024-02-29T10:20:30.000Z",
            "address": {"city": "Paris"},
            "left": None,
        },
    ),
    from_phone(4, "group", groupId="g1", traits={"name": "ACME", "employees": 12}),
    from_phone(
        5,
        "track",
        event="Application Crashed",
        properties={"exception": "NullPointerException", "stack": "at main\n\tat start\n"},
    ),
    from_phone(6, "track", event="Error Occurred", properties={"code": 500}),
    from_phone(7, "track", event="Upload", properties={"duration": 1.5, "bytes": 100}),
    from_phone(
        8, "track", event="Push Notification Tapped", properties={"campaign": {"name": "7"}}
    ),
    {
        "type": "page",
        "timestamp": at(9),
        "anonymousId": "visitor-1",
        "name": "Docs",
        "properties": {"path": "/docs"},
    },
    {
        "type": "alias",
        "timestamp": at(10),
        "previousId": "ada before she signed up",
        "userId": "ada@example.org",
    },
]
"""One of everything that an SDK can say, each at a second of its own."""


TAGS = {
    "plan": ("pro", "string"),
    "age": (36, "integer"),
    "vip": (True, "boolean"),
    "score": ("1.5", "string"),
    "signed_up": ("2024-02-29", "date"),
    "address": ('{"city":"Paris"}', "string"),
    "group_id": ("g1", "string"),
    "group_name": ("ACME", "string"),
    "group_employees": (12, "integer"),
}
"""The values and types of the tags that the phone then has; a trait that is null leaves none."""


PHONE_TOLD = {
    "appInfo": {
        "plan": "pro",
        "age": "36",
        "vip": "true",
        "score": "1.5",
        "signed_up": "2024-02-29",
        "address": '{"city":"Paris"}',
        "group_id": "g1",
        "group_name": "ACME",
        "group_employees": "12",
    },
    "firmwareName": "Android",
    "firmwareVersion": "14",
    "phoneModel": "Pixel 8",
    "phoneManufacturer": "Google",
    "screenWidth": 1080,
    "screenHeight": 2400,
    "applicationVersionCode": 42,
    "applicationVersionName": "1.2.3",
    "carrierName": "Orange F",
    "networkType": "wifi",
    "locale": "fr-FR",
    "timeZoneOffset": 120,
    "countrycode": "FR",
    "locality": "Paris",
}
"""What a device export says of the phone, besides who told it and when."""


def expected_exports(library: str, *, visit: str) -> dict[str, list[Json]]:
    """What the exports hold of these messages, by type.

    Args:
        library: What the SDK calls itself.
        visit: The visitor's session, of which the SDK knows nothing and the service makes one.
    """
    return _histories(visit) | _snapshots(library)


def _histories(visit: str) -> dict[str, list[Json]]:
    in_session = {"deviceId": PHONE, "sessionId": SESSION}
    in_visit = {"deviceId": VISITOR, "sessionId": visit}
    return {
        "Activity": [
            in_session
            | {"name": "Home", "timestamp": at(1), "extras": {"from": "push", "first": True}},
            in_visit | {"name": "Docs", "timestamp": at(9), "extras": {"path": "/docs"}},
        ],
        "Session": [
            in_session | {"start": at(1), "end": at(1)},
            in_visit | {"start": at(9), "end": at(9)},
        ],
        "Event": [
            in_session
            | {
                "name": "Order Completed",
                "timestamp": at(2),
                "extras": {
                    "total": 79.9,
                    "items": '["a",1,null]',
                    "cart_count": 2,
                    "cart_coupon": '{"code":"X"}',
                    "r_sum_": "日本語 🎉",
                    "largest": 9007199254740991,
                    "nothing": None,
                    "quoted": 'a"b\\c\n',
                },
            }
        ],
        "Crash": [
            in_session
            | {
                "name": "NullPointerException",
                "timestamp": at(5),
                "stack": "at main\n\tat start\n",
            }
        ],
        "Error": [
            in_session | {"name": "Error Occurred", "timestamp": at(6), "extras": {"code": 500}}
        ],
        "Job": [
            {
                "deviceId": PHONE,
                "name": "Upload",
                "start": at(5.5),
                "end": at(7),
                "extras": {"duration": 1.5, "bytes": 100},
            }
        ],
    }


def _snapshots(library: str) -> dict[str, list[Json]]:
    phone = {"deviceId": PHONE}
    ada = {"userId": "ada@example.org"}
    return {
        "Tag": [
            phone | ada | {"key": key, "value": value, "type": tag_type}
            for key, (value, tag_type) in TAGS.items()
        ],
        "Token": [phone | {"token": "fGx0:APA91", "type": "GCM"}],
        "Push": [
            phone
            | ada
            | {
                "campaignType": "NativePush",
                "campaignId": 7,
                "status": ["SystemNotificationActioned"],
            }
        ],
        "Device": [
            phone
            | ada
            | PHONE_TOLD
            | {
                "serviceVersion": library,
                "firstSeen": at(1),
                "lastSeen": at(8),
                "lastInfo": at(8),
                "lastLocation": at(8),
                "nativePushEnabled": True,
            },
            {"deviceId": VISITOR} | _seen_once(at(9), library),
            {"deviceId": BEFORE} | ada | _seen_once(at(10), library),
        ],
    }


def _seen_once(at: str, library: str) -> Json:
    """A device of which no more is known than who told of it."""
    seen = {"firstSeen": at, "lastSeen": at, "lastInfo": at}
    return seen | {"serviceVersion": library, "nativePushEnabled": False}
