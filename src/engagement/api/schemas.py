"""This module holds what both versions' requests and answers have in common."""

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, PlainSerializer
from pydantic.alias_generators import to_camel
from starlette.responses import Response

DESCRIPTION_CHARACTERS_MAX = 1_024


def rfc3339(instant: datetime) -> str:
    """A UTC instant with milliseconds and `Z`."""
    return instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")


Instant = Annotated[datetime, PlainSerializer(rfc3339, return_type=str, when_used="json")]
"""An instant in an answer."""


def _in_utc(instant: datetime) -> datetime:
    try:
        return instant.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("must be an instant between the years 1 and 9999 in UTC") from error


UtcInstant = Annotated[AwareDatetime, AfterValidator(_in_utc)]
"""An instant in a request, with its offset."""


class Answer(BaseModel):
    """A body that we send: camelCase names, absent values left out."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class Question(BaseModel):
    """A body that we are sent; names that are not known are refused."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid")


class ErrorBody(Answer):
    """What went wrong."""

    code: str = Field(description="The stable code of the failure.")
    message: str = Field(description="What was wanted and what was got.")


class ApiError(Answer):
    """Every answer that is not a success."""

    error: ErrorBody


FAILURES: dict[int | str, dict[str, Any]] = {
    401: {"model": ApiError, "description": "No access token, or one that is not accepted."},
    "default": {"model": ApiError, "description": "`4xx`: bad request; `5xx`: server error."},
}
"""What every operation on resources may answer besides success."""


def answered(body: BaseModel, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A body as the answer, encoded once."""
    return Response(
        body.model_dump_json(by_alias=True, exclude_none=True),
        status_code=status,
        media_type="application/json",
        headers=headers,
    )
