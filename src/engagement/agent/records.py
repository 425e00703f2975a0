"""Makes the records that an agent reports, and refuses at once what a server would."""

from collections.abc import Mapping
from datetime import datetime

from engagement.agent.checks import (
    check_extras,
    check_integer,
    check_text,
    compact,
    encode_tags,
    quote,
)
from engagement.exceptions import BadInputError
from engagement.model.exports import FEEDBACK_STATUSES, CampaignType
from engagement.model.instants import format_rfc3339
from engagement.model.limits import (
    NAME_CHARACTERS_MAX,
    STACK_CHARACTERS_MAX,
    TOKEN_CHARACTERS_MAX,
    TOKEN_TYPE_CHARACTERS_MAX,
)
from engagement.model.records import Kind

Extras = Mapping[str, object]
"""What an app says about a record: keys with what JSON can hold."""


def record_with_name(
    kind: Kind, name: str, at: datetime, extras: Extras | None = None, **ids: str | None
) -> str:
    """The record of an activity, event, error or job, as JSON; ids that are None are left out.

    Raises:
        BadInputError: The name or the extras cannot be kept as they are.
    """
    check_text(name, "name", NAME_CHARACTERS_MAX)
    if extras is not None:
        check_extras(extras)
        extras = dict(extras)
    return _record(kind.value, at, name=name, extras=extras, **ids)


def add_end(record: str, at: datetime) -> str:
    """The record of an activity or job that has ended."""
    return f'{record[:-1]},"end":"{format_rfc3339(at)}"}}'


def crash_record(name: str, stack: str, at: datetime, *, session_id: str | None) -> str:
    """The record of a crash, as JSON.

    Raises:
        BadInputError: The name or the stack cannot be kept as they are.
    """
    check_text(name, "name", NAME_CHARACTERS_MAX)
    check_text(stack, "stack", STACK_CHARACTERS_MAX, shortest=0, may_have_control=True)
    return _record(Kind.CRASH.value, at, name=name, stack=stack, sessionId=session_id)


def tags_record(tags: Mapping[str, object], at: datetime) -> str:
    """The record of tags that an app sets, as JSON.

    Raises:
        BadInputError: A key or a value cannot be kept as it is.
    """
    return _record("tags", at, tags=encode_tags(tags))


def token_record(token: str, token_type: str, at: datetime, *, is_valid: bool) -> str:
    """The record of a push token that the device got, or that is taken back, as JSON.

    Raises:
        BadInputError: The token or its type cannot be kept as it is.
    """
    try:
        check_text(token, "token", TOKEN_CHARACTERS_MAX)
    except BadInputError as error:
        # The usual message quotes the value, and a token is for the push service alone to see.
        raise BadInputError(
            f"token must be a string of 1 to {TOKEN_CHARACTERS_MAX} whole characters without "
            "control characters."
        ) from error
    check_text(token_type, "token_type", TOKEN_TYPE_CHARACTERS_MAX)
    return _record(Kind.TOKEN.value, at, token=token, tokenType=token_type, valid=is_valid)


def feedback_record(campaign_type: str, campaign_id: int, status: str, at: datetime) -> str:
    """The record of what became of a push campaign on the device, as JSON.

    Raises:
        BadInputError: The type, the id or the status is none that exists.
    """
    _check_choice("campaign_type", campaign_type, tuple(CampaignType))
    check_integer(campaign_id, "campaign_id", least=0)
    _check_choice("status", status, FEEDBACK_STATUSES)
    fields = {"campaignType": campaign_type, "campaignId": campaign_id, "status": status}
    return _record(Kind.FEEDBACK.value, at, **fields)


def _record(type_: str, at: datetime, **fields: object) -> str:
    given = {name: value for name, value in fields.items() if value is not None}
    return compact({"type": type_, "timestamp": format_rfc3339(at), **given})


def _check_choice(field: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise BadInputError(f"{field} must be one of {', '.join(choices)}, got {quote(value)}.")
