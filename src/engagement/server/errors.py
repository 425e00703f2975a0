"""Turns what went wrong into an HTTP answer: one table, one shape."""

import json
import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import Response

from engagement.exceptions import (
    BadInputError,
    DatabaseDamagedError,
    DestinationError,
    EngagementError,
    ForbiddenError,
    HomeBusyError,
    IdempotencyKeyReusedError,
    IllegalStateError,
    NotAuthenticatedError,
    OverloadedError,
    RequestTooLargeError,
    StateBusyError,
    StorageFullError,
    StorageUnavailableError,
    TooManyRequestsError,
    TooManyTasksError,
    TransientDestinationError,
    UnknownAppError,
    UnknownAppKeyError,
    UnknownClientError,
    UnknownDeviceError,
    UnknownRefusedRecordError,
    UnknownTaskError,
    UnsupportedEncodingError,
    WorkerLostError,
)
from engagement.storage_failures import find_failure

STATUSES: tuple[tuple[type[EngagementError], int], ...] = (
    (NotAuthenticatedError, 401),
    (ForbiddenError, 403),
    (UnknownAppError, 404),
    (UnknownTaskError, 404),
    (UnknownClientError, 404),
    (UnknownAppKeyError, 404),
    (UnknownDeviceError, 404),
    (UnknownRefusedRecordError, 404),
    (RequestTooLargeError, 413),
    (UnsupportedEncodingError, 415),
    (IllegalStateError, 409),
    (IdempotencyKeyReusedError, 409),
    (TooManyRequestsError, 429),
    (TooManyTasksError, 429),
    (BadInputError, 400),
    (TransientDestinationError, 503),
    (DestinationError, 400),
    (OverloadedError, 503),
    (StorageUnavailableError, 503),
    (StorageFullError, 507),
    (DatabaseDamagedError, 503),
    (HomeBusyError, 503),
    (StateBusyError, 503),
    (WorkerLostError, 503),
)
"""The first that fits holds; what fits none is our fault, 500."""
RETRY_SECONDS = 5
OVERLOAD_SECONDS = 1
"""A queue that is full now is empty soon; a disk that is full is not."""
_COME_AGAIN = {429, 503, 507}
_NAME = re.compile(r"\$?\w[\w-]{0,39}", re.ASCII)
MESSAGE_CHARACTERS_MAX = 1_024
FIELDS_NAMED_MAX = 5


class Problem(HTTPException):
    """An answer that is not a success, raised where HTTP itself is what is wrong."""

    def __init__(
        self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(status, message, headers)
        self.code = code


def answer_to(error: BaseException) -> Response:
    """Return the answer to a request that ended so; faults of ours say nothing more."""
    reason = problem_of(error)
    return problem(reason.status_code, reason.code, reason.detail, reason.headers)


def problem_of(error: BaseException) -> Problem:
    """Return what an answer says of an error, as JSON or as a page; of faults of ours, nothing."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, HTTPException):
        code = HTTPStatus(error.status_code).phrase.replace(" ", "").replace("-", "")
        return Problem(error.status_code, code, error.detail, error.headers)
    error = find_failure(error) or error
    status = next((status for kind, status in STATUSES if isinstance(error, kind)), 500)
    if status == 500 or not isinstance(error, EngagementError):  # noqa: PLR2004 - HTTP's own number
        return Problem(500, "InternalServerError", "The server failed; its log says why.")
    seconds = OVERLOAD_SECONDS if isinstance(error, OverloadedError) else RETRY_SECONDS
    headers = {"Retry-After": str(seconds)} if status in _COME_AGAIN else None
    return Problem(status, error.code.value, str(error), headers)


def problem(
    status: int, code: str, message: str, headers: Mapping[str, str] | None = None
) -> Response:
    """Return an answer of the published error shape, `{error: {code, message}}`."""
    body = {"error": {"code": code, "message": message[:MESSAGE_CHARACTERS_MAX]}}
    return Response(
        json.dumps(body).encode(),
        status_code=status,
        media_type="application/json",
        headers=dict(headers or {}),
    )


def invalid_fields(errors: Sequence[Any]) -> Problem:
    """Return the problem of a request with fields that cannot be; no value is repeated."""
    reasons = []
    for error in errors[:FIELDS_NAMED_MAX]:
        steps = [str(step) for step in error["loc"] if step not in {"body", "query", "path"}]
        # A name that is none may be a value in the wrong place, and a secret.
        place = ".".join(step if _NAME.fullmatch(step) else "a field" for step in steps)
        where = error["loc"][0] if error["loc"] else "request"
        reasons.append(f"{place or 'the body'} ({where}): {error['msg']}")
    return Problem(400, "BadRequest", "The request is not valid: " + "; ".join(reasons) + ".")
