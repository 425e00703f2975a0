"""Requests of SDKs that cannot run here, as their sources make them."""

import gzip
import json
from dataclasses import dataclass
from typing import Any

import httpx

from support.sdk_messages import Json, derived_id
from support.waiting import WAIT_SECONDS_MAX

GUID = "0f8fad5b-d9cb-469f-a165-70867728950e"
DEVICE = GUID.replace("-", "")
WEB = derived_id("device", "ajs-7")
AT = "2025-06-01T10:00:00.000Z"
SENT_AT = "2025-06-01T10:00:01.000Z"
EMPTY_METADATA: dict[str, Any] = {"bundled": [], "unbundled": [], "bundledIds": []}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How an SDK asks, and what becomes of what it tells."""

    path: str
    """Where to."""
    headers: dict[str, str]
    """What it says of the body."""
    body: Json
    """What it tells, without a key."""
    expected: dict[str, list[Json]]
    """Some fields of each exported record, by type."""
    key_in_body: bool = True
    """Whether the body holds the key."""
    key_in_header: bool = False
    """Whether basic authentication holds the key."""
    is_gzip: bool = False
    """Whether the body is compressed."""
    is_chunked: bool = False
    """Whether the body is sent without its length."""

    def send(self, address: str, key: str) -> httpx.Response:
        """The answer to the request."""
        content = self.body | ({"writeKey": key} if self.key_in_body else {})
        body = json.dumps(content, ensure_ascii=False).encode()
        headers = dict(self.headers)
        if self.is_gzip:
            body = gzip.compress(body)
            headers["Content-Encoding"] = "gzip"
        half = len(body) // 2
        return httpx.post(
            address + self.path,
            content=iter([body[:half], body[half:]]) if self.is_chunked else body,
            headers=headers,
            auth=(key, "") if self.key_in_header else None,
            trust_env=False,
            timeout=WAIT_SECONDS_MAX,
        )


KOTLIN: Json = {
    "anonymousId": "an-1",
    "userId": "",  # what it says before anybody has signed in
    "timestamp": AT,
    "integrations": {},
    "_metadata": EMPTY_METADATA,
    "context": {
        "app": {"name": "Shop", "version": "2.0", "namespace": "org.example.shop", "build": "7"},
        "device": {
            "id": GUID,
            "manufacturer": "samsung",
            "model": "SM-G991B",
            "name": "o1s",
            "type": "android",
            "token": "push-1",
        },
        "os": {"name": "Android", "version": "13"},
        "screen": {"width": 1080, "height": 2176, "density": 2.75},
        "network": {"wifi": False, "bluetooth": False, "cellular": True},
        "locale": "de-DE",
        "timezone": "Asia/Kolkata",
        "userAgent": "Dalvik/2.1.0",
        "instanceId": "6f1c",
        "library": {"name": "analytics-kotlin", "version": "1.24.1"},
    },
}
NEXT: Json = {
    "anonymousId": "ajs-7",
    "userId": None,
    "timestamp": AT,
    "integrations": {},
    "context": {
        "page": {"path": "/", "referrer": "", "search": "", "title": "Shop", "url": "http://x/"},
        "userAgent": "Mozilla/5.0",
        "locale": "en-GB",
        "timezone": "UTC",
        "library": {"name": "analytics.js", "version": "npm:next-1.84.3"},
    },
    "_metadata": EMPTY_METADATA,
}
WEB_HEADERS = {"Content-Type": "text/plain", "Origin": "https://shop.example"}
SHAPES = {
    "analytics-kotlin": Shape(
        path="/v1/b",
        headers={"Content-Type": "text/plain", "User-Agent": "analytics-kotlin/1.24.1"},
        is_gzip=True,
        is_chunked=True,
        body={
            "batch": [
                KOTLIN
                | {
                    "type": "screen",
                    "messageId": "k1",
                    "name": "Übersicht",
                    "category": "",
                    "properties": {"tab": 2},
                },
                KOTLIN
                | {
                    "type": "track",
                    "messageId": "k2",
                    "event": "Application Opened",
                    "properties": {"from_background": False, "version": "2.0"},
                },
            ],
            "sentAt": SENT_AT,
        },
        expected={
            "Activity": [{"deviceId": DEVICE, "name": "Übersicht", "extras": {"tab": 2}}],
            "Event": [
                {
                    "deviceId": DEVICE,
                    "name": "Application Opened",
                    "extras": {"from_background": False, "version": "2.0"},
                }
            ],
            "Device": [
                {
                    "deviceId": DEVICE,
                    "userId": None,
                    "firmwareName": "Android",
                    "firmwareVersion": "13",
                    "phoneManufacturer": "samsung",
                    "phoneModel": "SM-G991B",
                    "networkType": "mobile",
                    "locale": "de-DE",
                    "timeZoneOffset": 330,
                    "applicationVersionName": "2.0",
                    "applicationVersionCode": 7,
                    "screenWidth": 1080,
                    "screenHeight": 2176,
                    "serviceVersion": "analytics-kotlin/1.24.1",
                    "nativePushEnabled": True,
                }
            ],
            "Token": [{"deviceId": DEVICE, "token": "push-1", "type": "GCM"}],
        },
    ),
    "analytics-react-native": Shape(
        path="/v1/b",
        headers={"Content-Type": "application/json; charset=utf-8"},
        body={
            "batch": [
                {
                    "type": "identify",
                    "messageId": "r1",
                    "anonymousId": "an-2",
                    "userId": "bob",
                    "timestamp": AT,
                    "traits": {"plan": "free"},
                    "integrations": {},
                    "context": {
                        "device": {
                            "id": GUID,
                            "manufacturer": "Apple",
                            "model": "iPhone15,2",
                            "name": "iPhone",
                            "type": "ios",
                            "token": "ff15",
                        },
                        "os": {"name": "iOS", "version": "18.1"},
                        "network": {"wifi": True, "cellular": False},
                        "timezone": "America/Phoenix",
                        "library": {"name": "@segment/analytics-react-native", "version": "2.24.1"},
                    },
                }
            ],
            "sentAt": SENT_AT,
        },
        expected={
            "Tag": [{"deviceId": DEVICE, "userId": "bob", "key": "plan", "value": "free"}],
            "Token": [{"deviceId": DEVICE, "token": "ff15", "type": "APNS"}],
            "Device": [
                {
                    "deviceId": DEVICE,
                    "userId": "bob",
                    "networkType": "wifi",
                    "timeZoneOffset": -420,
                    "serviceVersion": "@segment/analytics-react-native/2.24.1",
                }
            ],
        },
    ),
    "analytics-next": Shape(
        path="/v1/t",
        headers=WEB_HEADERS,
        key_in_header=True,
        body=NEXT
        | {
            "type": "track",
            "messageId": "ajs-next-1",
            "event": "Clicked",
            "properties": {"label": "Kaufen €"},
            "sentAt": SENT_AT,
        },
        expected={
            "Event": [{"deviceId": WEB, "name": "Clicked", "extras": {"label": "Kaufen €"}}],
            "Device": [{"deviceId": WEB, "userId": None, "locale": "en-GB", "timeZoneOffset": 0}],
        },
    ),
    "analytics-next in batches": Shape(
        path="/v1/b",
        headers=WEB_HEADERS,
        body={
            "batch": [
                NEXT
                | {
                    "type": "page",
                    "messageId": "ajs-next-2",
                    "name": None,
                    "category": None,
                    "properties": {"title": "Shop", "path": "/", "url": "http://x/"},
                }
            ],
            "sentAt": SENT_AT,
        },
        expected={
            "Activity": [
                {
                    "deviceId": WEB,
                    "name": "Shop",
                    "extras": {"title": "Shop", "path": "/", "url": "http://x/"},
                }
            ]
        },
    ),
    "rudder-sdk-android": Shape(
        path="/v1/batch",
        headers={"Content-Type": "application/json", "AnonymousId": "YW4tMw=="},
        is_gzip=True,
        key_in_body=False,
        key_in_header=True,
        body={
            "sentAt": SENT_AT,
            "batch": [
                {
                    "messageId": "a1",
                    "channel": "mobile",
                    "type": "track",
                    "event": "Application Installed",
                    "anonymousId": "an-3",
                    "originalTimestamp": AT,
                    "integrations": {"All": True},
                    "properties": {"version": "1.0", "build": 1},
                    "context": {
                        "app": {"build": "1", "name": "Shop", "namespace": "x", "version": "1.0"},
                        "device": {
                            "id": GUID,
                            "manufacturer": "Google",
                            "model": "Pixel 8",
                            "name": "shiba",
                            "type": "Android",
                        },
                        "os": {"name": "Android", "version": "14"},
                        "network": {"carrier": "Orange F", "bluetooth": False, "wifi": True},
                        "screen": {"density": 420, "height": 2400, "width": 1080},
                        "library": {
                            "name": "com.rudderstack.android.sdk.core",
                            "version": "1.27.0",
                        },
                        "locale": "fr-FR",
                        "timezone": "Europe/Paris",
                        "traits": {"anonymousId": "an-3"},
                        "sessionId": 1748772000,
                        "sessionStart": True,
                    },
                }
            ],
        },
        expected={
            "Event": [
                {
                    "deviceId": DEVICE,
                    "name": "Application Installed",
                    "sessionId": derived_id("session", DEVICE, "1748772000"),
                    "extras": {"version": "1.0", "build": 1},
                }
            ],
            "Device": [{"deviceId": DEVICE, "carrierName": "Orange F", "networkType": "wifi"}],
        },
    ),
    "a hand-made call": Shape(
        path="/v1/screen",
        headers={"Content-Type": "application/json"},
        key_in_body=False,
        key_in_header=True,
        body={"userId": 97980, "name": "Cart"},
        expected={
            "Activity": [{"deviceId": derived_id("device", "97980"), "name": "Cart"}],
            "Device": [{"deviceId": derived_id("device", "97980"), "userId": "97980"}],
        },
    ),
}
