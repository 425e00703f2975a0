"""Reads the body of a request within limits of size and time."""

import asyncio
import time

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive

from engagement.server.errors import Problem

BODY_SECONDS_MAX = 30
SLOW_SECONDS_MAX = 10
"""For so long a body may come at any pace; then it must have come at least at the slowest one."""
SLOWEST_BYTES_PER_SECOND = 500
"""A phone far from its mast sends more; who sends less holds a place that others need."""


class LimitedBody:
    """A request's body that is neither too large nor too slow."""

    def __init__(self, receive: Receive, headers: Headers, *, bytes_max: int) -> None:
        self._receive = receive
        self._bytes_max = bytes_max
        self._bytes = 0
        self._started = time.monotonic()
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
        # What has come buys time: whoever sends at the slowest pace or faster is never cut off
        # before the end.
        seconds = max(SLOW_SECONDS_MAX, self._bytes / SLOWEST_BYTES_PER_SECOND)
        deadline = self._started + min(BODY_SECONDS_MAX, seconds)
        try:
            async with asyncio.timeout(max(0, deadline - time.monotonic())):
                return await self._receive()
        except TimeoutError as error:
            raise Problem(
                408,
                "RequestTimeout",
                f"A request's body must arrive in {BODY_SECONDS_MAX} s, and after "
                f"{SLOW_SECONDS_MAX} s at {SLOWEST_BYTES_PER_SECOND} bytes a second or more.",
            ) from error

    def _too_large(self) -> Problem:
        return Problem(
            413,
            "RequestEntityTooLarge",
            f"A request's body may have {self._bytes_max} bytes, got more.",
        )
