"""Asks the server one thing: with a token, again where that helps, its error raised."""

import json
from typing import Any, TypeVar
from urllib.parse import urlencode

from engagement.client.calls import API_VERSION, Call
from engagement.client.credentials import Credentials
from engagement.client.refusals import refusal
from engagement.client.retrying import send_repeatedly
from engagement.client.steps import ANSWER_BYTES_MAX, Answer, Lost, Send, Steps
from engagement.exceptions import (
    EngagementError,
    IllegalStateError,
    ServerError,
    ServerUnreachableError,
)
from engagement.model.servers import retry_after_seconds

UNAUTHENTICATED = 401

Result = TypeVar("Result")


class Exchange:
    """Asks one server in one caller's name."""

    def __init__(self, server: str, credentials: Credentials, *, retries: int) -> None:
        self._server = server
        self._credentials = credentials
        self.retries = retries

    def ask(self, call: Call[Result]) -> Steps[Result]:
        """What the server answers.

        Raises:
            EngagementError: The error that the server names.
            ServerError: It failed, or its answer cannot be read.
            ServerUnreachableError: No answer came, however often it was asked.
        """
        answer, _ = yield from self.ask_and_hear(call)
        return answer

    def ask_and_hear(self, call: Call[Result]) -> Steps[tuple[Result, float | None]]:
        """What the server answers, and how many seconds it wants to be left alone then.

        Raises:
            EngagementError: As `ask`.
        """
        answer, is_unsure = yield from self._answered(call)
        if answer.is_success:
            return _parsed(call, answer), retry_after_seconds(answer.headers.get("retry-after", ""))
        error = refusal(answer)
        if call.proof is not None and is_unsure and isinstance(error, IllegalStateError):
            seen, seconds = yield from self.ask_and_hear(call.proof.look)
            if call.proof.holds(seen):
                return seen, seconds
        raise error

    def _answered(self, call: Call[Any]) -> Steps[tuple[Answer, bool]]:
        """The answer, and whether an earlier try may have been carried out."""
        token = yield from self._credentials.token(self._server, retries=self.retries)
        answer, is_unsure = yield from self._sent(call, token)
        if answer.status == UNAUTHENTICATED and self._credentials.forget(token):
            token = yield from self._credentials.token(self._server, retries=self.retries)
            answer, is_unsure_too = yield from self._sent(call, token)
            is_unsure = is_unsure or is_unsure_too
        return answer, is_unsure

    def _sent(self, call: Call[Any], token: str) -> Steps[tuple[Answer, bool]]:
        headers = {"Authorization": f"Bearer {token}", "Accept": "application/json", **call.headers}
        body = None
        if call.json is not None:
            headers["Content-Type"] = "application/json"
            body = json.dumps(call.json).encode()
        query = urlencode([("api-version", API_VERSION), *call.query])
        url = f"{self._server}{call.path}?{query}"
        send = Send(method=call.method, url=url, headers=headers, body=body)
        outcome, is_unsure = yield from send_repeatedly(send, retries=self.retries)
        if isinstance(outcome, Lost):
            raise ServerUnreachableError(f"The server must answer, but: {outcome.reason}.")
        return outcome, is_unsure


def _parsed(call: Call[Result], answer: Answer) -> Result:
    if len(answer.body) > ANSWER_BYTES_MAX:
        raise ServerError(f"An answer may have {ANSWER_BYTES_MAX:,} bytes, got more.")
    try:
        return call.parse(answer.body)
    except EngagementError:
        raise
    except (AttributeError, LookupError, TypeError, ValueError, RecursionError) as error:
        raise ServerError(
            f"The server's answer to {call.method} {call.path[:200]} cannot be read: "
            f"{type(error).__name__}."
        ) from error
