"""What both versions' requests and answers have in common."""

from datetime import date, datetime
from typing import Annotated, Any

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    model_validator,
)
from pydantic.alias_generators import to_camel
from starlette.responses import Response

from engagement.exceptions import InvalidExportError
from engagement.model.export_request import SURROGATE
from engagement.model.instants import format_rfc3339
from engagement.model.option_kinds import read_day_or_instant

ResponseInstant = Annotated[
    datetime, PlainSerializer(format_rfc3339, return_type=str, when_used="json")
]
"""An instant in an answer."""


def _read_instant(given: object) -> datetime:
    found = _read(given)
    if not isinstance(found, datetime):
        raise ValueError("must have a time of day and an offset, got a day")  # noqa: TRY004 - pydantic's way
    return found


def _read_day(given: object) -> date:
    """A day; also its midnight in UTC, as clients without a type for days write it."""
    found = _read(given)
    if isinstance(found, datetime):
        if found.time() != datetime.min.time():
            raise ValueError("must be a day, got a time of day too")
        return found.date()
    return found


def _read(given: object) -> date:
    if not isinstance(given, str):
        raise ValueError("must be a text")  # noqa: TRY004 - pydantic's way
    try:
        return read_day_or_instant("value", given)
    except InvalidExportError as error:
        raise ValueError("must be an ISO day or an RFC 3339 date-time") from error


UtcInstant = Annotated[AwareDatetime, BeforeValidator(_read_instant)]
"""An instant in a request, with its offset."""
UtcDay = Annotated[date, BeforeValidator(_read_day)]
"""A UTC day in a request."""


class Answer(BaseModel):
    """A body that we send: camelCase names, absent values left out."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class RequestBody(BaseModel):
    """A body that we are sent; no text in it, and no name, has half of a character."""

    model_config = ConfigDict(alias_generator=to_camel, extra="ignore")

    @model_validator(mode="before")
    @classmethod
    def check_characters(cls, content: Any) -> Any:
        """Refuse unpaired surrogates, which JSON can name and nothing can keep."""
        waiting = [content]
        while waiting:
            value = waiting.pop()
            if isinstance(value, dict):
                waiting += [*value, *value.values()]
            elif isinstance(value, list):
                waiting += value
            elif isinstance(value, str) and not value.isascii() and SURROGATE.search(value):
                raise ValueError("every text must have whole characters, got an unpaired surrogate")
        return content


class StrictBody(RequestBody):
    """A body in which names that are not known are refused."""

    model_config = ConfigDict(extra="forbid")


class AnyCaseBody(RequestBody):
    """A body whose properties are known in any case, as the service of 2014 took them.

    Of two that differ in nothing but their case the last one holds, as there.
    """

    @model_validator(mode="before")
    @classmethod
    def spell_names(cls, content: Any) -> Any:
        """Spell the names as published; others stay as they are."""
        if not isinstance(content, dict):
            return content
        aliases = [field.alias or key for key, field in cls.model_fields.items()]
        names: dict[str, str] = {alias.lower(): alias for alias in aliases}
        spelled: dict[str, Any] = {}
        for name, value in content.items():
            lower = name.lower()
            published = names[lower] if lower in names else name  # noqa: SIM401 - a type for mypy
            spelled.pop(published, None)
            spelled[published] = value
        return spelled


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


def json_response(
    body: BaseModel, status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    """Return a body as the response, encoded once."""
    return Response(
        body.model_dump_json(by_alias=True, exclude_none=True),
        status_code=status,
        media_type="application/json",
        headers=headers,
    )
