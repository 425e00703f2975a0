"""The endpoint for native batches, answered only when they are durable."""

import json
from collections.abc import Mapping

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Receive, Scope

from engagement import operations
from engagement.model.refused import SenderProtocol
from engagement.operations import Collected
from engagement.server.collection.admission import Admission, key_of
from engagement.server.errors import Problem

PATH = "/collect/v1/batch"
INLINE_BYTES_MAX = 20 * 1024
"""The costliest batch of this size takes under 5 ms; a usual one of 100 logs a tenth of that."""


class NativeEndpoint:
    """Takes in native batches."""

    headers: Mapping[str, str] = {}

    def __init__(self, admission: Admission) -> None:
        self._admission = admission

    def route(self, path: str) -> str | None:
        """Return the path of native batches, if it is this one."""
        return PATH if path == PATH else None

    async def answer(self, scope: Scope, receive: Receive) -> Response:
        """Answer 202 with the records that were refused, after the others are on disk."""
        if scope["method"] != "POST":
            raise Problem(405, "MethodNotAllowed", "Batches are posted.", {"Allow": "POST"})
        headers = Headers(scope=scope)
        app = await self._admission.app(key_of(headers), scope)
        body = await self._admission.body(receive, headers)
        encoding = headers.get("content-encoding")

        def collect() -> Collected:
            return operations.collect_batch(
                self._admission.runtime, app.app_id, body, content_encoding=encoding
            )

        read = await self._admission.run(scope, body, INLINE_BYTES_MAX, collect)
        collected = await self._admission.store(SenderProtocol.NATIVE, app, read)
        if collected.unreadable is not None:
            raise collected.unreadable
        return Response(_encode_receipt(collected), status_code=202, media_type="application/json")


def _encode_receipt(collected: Collected) -> bytes:
    refused = [
        {"index": refusal.index, "code": refusal.code, "message": refusal.message}
        for refusal in collected.refused
    ]
    return json.dumps({"accepted": collected.accepted, "refused": refused}).encode()
