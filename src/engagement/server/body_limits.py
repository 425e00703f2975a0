"""Reads the body of a request within limits of size and time."""

import asyncio
import time
from typing import Any

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive

from engagement.server.errors import Problem

BODY_SECONDS_MAX = 30


class LimitedBody:
    """A request's body that is neither too large nor too slow."""

    def __init__(self, receive: Receive, headers: Headers, *, bytes_max: int) -> None:
        self._receive = receive
        self._bytes_max = bytes_max
        self._bytes = 0
        self._deadline = time.monotonic() + BODY_SECONDS_MAX
        self._is_whole = False
        declared = headers.get("content-length", "0")
        if not declared.isdigit() or int(declared[:19]) > bytes_max:
            raise self._too_large()

    async def receive(self) -> Message:
        """Return the next part of the body; after it, whatever comes."""
        if self._is_whole:
            return await self._receive()
        message = await self._next()
        if message["type"] == "http.request":
            self._bytes += len(message.get("body", b""))
            self._is_whole = not message.get("more_body", False)
            if self._bytes > self._bytes_max:
                raise self._too_large()
        return message

    async def read(self) -> bytes:
        """Return the whole body.

        Raises:
            ClientDisconnect: Whoever sent it went away.
        """
        parts: list[bytes] = []
        while not self._is_whole:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            parts.append(message.get("body", b""))
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def _next(self) -> Message:
        try:
            left: Any = self._deadline - time.monotonic()
            async with asyncio.timeout(max(0, left)):
                return await self._receive()
        except TimeoutError as error:
            raise Problem(
                408, "RequestTimeout", f"A request's body must arrive in {BODY_SECONDS_MAX} s."
            ) from error

    def _too_large(self) -> Problem:
        return Problem(
            413,
            "RequestEntityTooLarge",
            f"A request's body may have {self._bytes_max} bytes, got more.",
        )
