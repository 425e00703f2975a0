"""Turns an answer that is not a success into the error that it names."""

import json

from engagement.client.responses import HttpResponse
from engagement.error_codes import code_of_name
from engagement.exceptions import (
    BadInputError,
    EngagementError,
    ErrorCode,
    ForbiddenError,
    NotAuthenticatedError,
    RequestTooLargeError,
    ServerError,
    ServerUnreachableError,
    TooManyRequestsError,
    class_of_code,
)

MESSAGE_CHARACTERS_MAX = 1_024
UNAVAILABLE_STATUSES = frozenset({502, 503, 504})
_OF_STATUS: dict[int, type[EngagementError]] = {
    400: BadInputError,
    401: NotAuthenticatedError,
    403: ForbiddenError,
    413: RequestTooLargeError,
    429: TooManyRequestsError,
}
"""For codes that are HTTP's own; of any other status the server is to blame."""


def refusal(response: HttpResponse) -> EngagementError:
    """Return the error that an answer names, of the class that raised it on the server."""
    name, message = _code_and_message(response)
    code = code_of_name(name)
    if code is None or code is ErrorCode.INTERNAL:
        return _of_status(response, name, message)
    # The server knows whether a container's refusal may pass.
    kind = class_of_code(code, may_pass=response.status in UNAVAILABLE_STATUSES)
    return kind(message, code=code)


def token_refusal(response: HttpResponse) -> EngagementError:
    """Return the error of an answer to a token request, whose shape is that of RFC 6749."""
    if response.status not in {400, 401, 404}:
        return refusal(response)
    content = _content(response)
    why = content.get("error_description") or _code_and_message(response)[1]
    return NotAuthenticatedError(f"The server gives no token: {str(why)[:MESSAGE_CHARACTERS_MAX]}")


def _of_status(response: HttpResponse, name: str, message: str) -> EngagementError:
    kind = _OF_STATUS.get(response.status) if name else None
    if response.status in {401, 429}:
        kind = _OF_STATUS[response.status]
    if kind is not None:
        return kind(message)
    request_id = response.headers.get("x-ms-request-id", "")[:100]
    named = f" to the request {request_id}" if request_id else ""
    wrong = ServerUnreachableError if response.status in UNAVAILABLE_STATUSES else ServerError
    return wrong(f"The server answered {response.status}{named}: {message}")


def _code_and_message(response: HttpResponse) -> tuple[str, str]:
    """Code and message of the published error shape; no code if it is something else."""
    error = _content(response).get("error")
    if not isinstance(error, dict) or not isinstance(error.get("code"), str):
        return "", "The answer does not say why."
    message = error.get("message")
    text = message if isinstance(message, str) and message else error["code"]
    return error["code"], text[:MESSAGE_CHARACTERS_MAX]


def _content(response: HttpResponse) -> dict[str, object]:
    try:
        content = json.loads(response.body)
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
