"""Calls a server: with a token, again where that helps, its error raised."""

import json
from dataclasses import replace
from typing import Any, TypeVar
from urllib.parse import urlencode

from engagement.client.asynchronous.credentials import AsyncCredentials
from engagement.client.asynchronous.sending import AsyncRetryingSender
from engagement.client.calls import API_VERSION, Call
from engagement.client.refusals import refusal
from engagement.client.responses import ANSWER_BYTES_MAX, HttpResponse, NoResponseError
from engagement.exceptions import (
    EngagementError,
    IllegalStateError,
    ServerError,
    ServerUnreachableError,
)
from engagement.model.http import retry_after_seconds

UNAUTHENTICATED = 401

Result = TypeVar("Result")


class AsyncServerConnection:
    """Calls one server in one caller's name."""

    def __init__(
        self, server: str, credentials: AsyncCredentials, sender: AsyncRetryingSender
    ) -> None:
        self._server = server
        self._credentials = credentials
        self._sender = sender

    async def call(self, call: Call[Result]) -> Result:
        """Return what the server answers.

        Raises:
            EngagementError: The error that the server names.
            ServerError: It failed, or its answer cannot be read.
            ServerUnreachableError: No answer came, however often it was asked.
        """
        result, _ = await self.call_and_hear(call)
        return result

    async def call_and_hear(self, call: Call[Result]) -> tuple[Result, float | None]:
        """Return what the server answers, and how many seconds it wants to be left alone then.

        Raises:
            EngagementError: As `call`.
        """
        response = await self._send_authorized(call)
        if response.is_success:
            seconds = retry_after_seconds(response.headers.get("retry-after", ""))
            return _parse(call, response), seconds
        error = refusal(response)
        if (
            call.proof is not None
            and response.follows_lost_try
            and isinstance(error, IllegalStateError)
        ):
            result, seconds = await self.call_and_hear(call.proof.look)
            if call.proof.holds(result):
                return result, seconds
        raise error

    async def _send_authorized(self, call: Call[Any]) -> HttpResponse:
        token = await self._credentials.token(self._server, self._sender)
        response = await self._send(call, token)
        if response.status != UNAUTHENTICATED or not self._credentials.forget(token):
            return response
        token = await self._credentials.token(self._server, self._sender)
        second = await self._send(call, token)
        return replace(
            second, follows_lost_try=response.follows_lost_try or second.follows_lost_try
        )

    async def _send(self, call: Call[Any], token: str) -> HttpResponse:
        headers = {"Authorization": f"Bearer {token}", "Accept": "application/json", **call.headers}
        content = None
        if call.json is not None:
            headers["Content-Type"] = "application/json"
            content = json.dumps(call.json).encode()
        query = urlencode([("api-version", API_VERSION), *call.query])
        url = f"{self._server}{call.path}?{query}"
        try:
            return await self._sender.send(call.method, url, headers=headers, content=content)
        except NoResponseError as error:
            raise ServerUnreachableError(f"The server must answer, but: {error}.") from error


def _parse(call: Call[Result], response: HttpResponse) -> Result:
    if len(response.body) > ANSWER_BYTES_MAX:
        raise ServerError(f"An answer may have {ANSWER_BYTES_MAX:,} bytes, got more.")
    try:
        return call.parse(response.body)
    except EngagementError:
        raise
    except (AttributeError, LookupError, TypeError, ValueError, RecursionError) as error:
        raise ServerError(
            f"The server's answer to {call.method} {call.path[:200]} cannot be read: "
            f"{type(error).__name__}."
        ) from error
