"""The door for native batches, answered only when they are durable."""

import json
from collections.abc import Mapping

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Receive, Scope

from engagement import operations
from engagement.model.refused import SenderProtocol
from engagement.operations import Collected
from engagement.server.collection.admission import Intake, key_of
from engagement.server.errors import Problem

PATH = "/collect/v1/batch"


class NativeDoor:
    """Takes in native batches."""

    headers: Mapping[str, str] = {}

    def __init__(self, intake: Intake) -> None:
        self._intake = intake

    def route(self, path: str) -> str | None:
        """The one path of native batches."""
        return PATH if path == PATH else None

    async def answer(self, scope: Scope, receive: Receive) -> Response:
        """202 with the logs that were refused, after the others are on disk."""
        if scope["method"] != "POST":
            raise Problem(405, "MethodNotAllowed", "Batches are posted.", {"Allow": "POST"})
        headers = Headers(scope=scope)
        app = await self._intake.app(key_of(headers), scope)
        body = await self._intake.body(receive, headers)
        encoding = headers.get("content-encoding")

        def collect() -> Collected:
            return operations.collect_batch(
                self._intake.runtime, app.app_id, body, content_encoding=encoding
            )

        collected = await self._intake.taken_in(SenderProtocol.NATIVE, body, collect)
        if collected.unreadable is not None:
            raise collected.unreadable
        return Response(_said(collected), status_code=202, media_type="application/json")


def _said(collected: Collected) -> bytes:
    refused = [
        {"index": one.index, "code": one.code, "message": one.message} for one in collected.refused
    ]
    return json.dumps({"accepted": collected.accepted, "refused": refused}).encode()
