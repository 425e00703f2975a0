"""The endpoints for tracking messages, as SDKs of Segment and RudderStack send them."""

import json
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Receive, Scope

from engagement import operations
from engagement.exceptions import NotAuthenticatedError
from engagement.model.apps import App
from engagement.model.refused import SenderProtocol
from engagement.operations import Collected
from engagement.server.collection.admission import Admission, key_of
from engagement.server.errors import Problem

MESSAGE_TYPES = ("track", "screen", "page", "identify", "alias", "group")
_BATCH_PATHS = ("/v1/batch", "/v1/b", "/v1/import")
TYPE_OF_PATH: dict[str, str | None] = {
    **dict.fromkeys(_BATCH_PATHS),
    **{f"/v1/{name}": name for name in MESSAGE_TYPES},
    **{f"/v1/{name[0]}": name for name in MESSAGE_TYPES},
}
"""For each path the type of its message; None where each message says its own."""
_ANY_ORIGIN: Mapping[str, str] = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "Retry-After",
}
"""Web pages of anybody report here, and read when to come again; no cookie is looked at."""
_SENT_HEADERS = (
    "Authorization",
    "Content-Type",
    "Content-Encoding",
    "AnonymousId",
    "X-Retry-Count",
)
"""What SDKs on web pages say; a header that is missing here would stop them."""
_PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, POST",
    "Access-Control-Allow-Headers": ", ".join(_SENT_HEADERS),
    "Access-Control-Max-Age": "86400",
}
INLINE_BYTES_MAX = 2 * 1024
"""The costliest body of this size takes under 5 ms; most of one message are shorter."""
_SUCCESS = b'{"success":true}'


class TrackingEndpoint:
    """Takes in tracking messages: 200 for every body of a known key, once it is durable.

    SDKs throw away what is answered with another 4xx, or send it for ever; so what cannot be read
    is kept aside and counts as delivered.
    """

    headers = _ANY_ORIGIN

    def __init__(self, admission: Admission) -> None:
        self._admission = admission

    def route(self, path: str) -> str | None:
        """Return the path, if it is one of any SDK."""
        return path if path in TYPE_OF_PATH else None

    async def answer(self, scope: Scope, receive: Receive) -> Response:
        """Answer 200 after the messages are on disk."""
        if scope["method"] == "OPTIONS":
            return Response(status_code=204, headers=_PREFLIGHT)
        if scope["method"] != "POST":
            raise Problem(405, "MethodNotAllowed", "Messages are posted.", {"Allow": "POST"})
        headers = Headers(scope=scope)
        try:
            await self._take_in(scope, receive, headers)
        except NotAuthenticatedError:
            # The words by which the SDKs of RudderStack know that it is of no use to try again.
            return Response("invalid write key", 401, media_type="text/plain")
        return Response(_SUCCESS, 200, media_type="application/json")

    async def _take_in(self, scope: Scope, receive: Receive, headers: Headers) -> None:
        admission, key = self._admission, key_of(headers)
        app = await admission.app(key, scope) if key else None
        body = await admission.body(receive, headers)
        apps = await admission.apps_of_body(body, scope) if app is None else {}

        def collect() -> tuple[App, Collected]:
            posted = operations.read_posted(
                admission.runtime,
                body,
                content_encoding=headers.get("content-encoding"),
                message_type=TYPE_OF_PATH[scope["path"]],
            )
            owner = app or apps.get(posted.write_key or "")
            if owner is None:
                raise admission.refuse(scope, posted.write_key)
            return owner, operations.collect_messages(admission.runtime, owner.app_id, posted)

        owner, collected = await admission.run(scope, body, INLINE_BYTES_MAX, collect)
        await admission.store(SenderProtocol.TRACKING, owner, collected)


class SdkSettingsEndpoint:
    """Tells SDKs that ask before they send anything to send it here.

    The same for every key: an SDK that got no answer would send to where it was made for.
    """

    headers = _ANY_ORIGIN

    def __init__(self, public_url: str) -> None:
        self._host = urlsplit(public_url).netloc

    def route(self, path: str) -> str | None:
        """Return the template, if SDKs of Segment or RudderStack look there for settings."""
        if path == "/sourceConfig":
            return path
        return "/projects/{key}/settings" if _SETTINGS.fullmatch(path) else None

    async def answer(self, scope: Scope, receive: Receive) -> Response:
        """Answer with the least settings with which an SDK sends everything, and to this server."""
        del receive
        if scope["method"] == "OPTIONS":
            return Response(status_code=204, headers=_PREFLIGHT)
        if scope["method"] not in {"GET", "HEAD"}:
            allowed = {"Allow": "GET, HEAD"}
            raise Problem(405, "MethodNotAllowed", "Settings are read.", allowed)
        found = _SETTINGS.fullmatch(scope["path"])
        content = self._segment(found["key"]) if found else _RUDDERSTACK
        return Response(json.dumps(content), 200, media_type="application/json")

    def _segment(self, key: str) -> dict[str, object]:
        destination = {"apiKey": key, "apiHost": f"{self._host}/v1"}
        return {
            "integrations": {"Segment.io": destination},
            "plan": {},
            "edgeFunction": {},
            "middlewareSettings": {},
            # Or the SDK tells Segment how it fares.
            "metrics": {"sampleRate": 0},
        }


_SETTINGS = re.compile(r"(?:/v1)?/projects/(?P<key>[^/]{1,256})/settings")
_RUDDERSTACK = {
    "source": {
        "id": "engagement",
        "name": "engagement",
        "enabled": True,
        "config": {},
        "updatedAt": "2026-01-01T00:00:00.000Z",
        "destinations": [],
    }
}
