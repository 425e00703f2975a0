"""This module decides which logs a tracking message becomes."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import msgspec

from engagement.collect.limits import (
    INTEGER_MAX,
    STACK_CHARACTERS_MAX,
    RefusedLogError,
    shown,
)
from engagement.collect.logs import (
    ActivityLog,
    CrashLog,
    ErrorLog,
    EventLog,
    FeedbackLog,
    JobLog,
    Log,
    TagsLog,
    TokenLog,
)
from engagement.collect.tracking.context import Context
from engagement.collect.tracking.repair import Sanitiser
from engagement.collect.tracking.wire import Message, members, text_of
from engagement.model.exports import CampaignType

CRASH_NAME = "Application Crashed"
ERROR_NAMES = frozenset({"Error", "Error Occurred"})
PUSH_STATUSES = {
    "Push Notification Received": "SystemNotificationDisplayed",
    "Push Notification Tapped": "SystemNotificationActioned",
    "Push Notification Bounced": "Dropped",
}
"""What became of a campaign, by the name of the event that tells it."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NOTHING = msgspec.Raw()
_FALSE = (b"", b"null", b"false", b"0", b'""')
_NUMBER_STARTS = tuple(b"-0123456789"[at : at + 1] for at in range(11))
_CAMPAIGN_ID = re.compile(r"[0-9]{1,19}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """What a message tells, and when that was."""

    message: Message
    """The message."""
    context: Context
    """What it says of its device."""
    at: int
    """When it happened by our clock, in microseconds since 1970."""

    @property
    def type(self) -> str:
        """What it calls itself, in lower case."""
        return (self.message.type or "").lower()

    @property
    def timestamp(self) -> str:
        """When it happened, as a log has it."""
        return _timestamp(self.at)


class _Properties(msgspec.Struct, rename="camel", gc=False, frozen=True):
    """The properties that decide what a message becomes."""

    name: msgspec.Raw = _NOTHING
    title: msgspec.Raw = _NOTHING
    path: msgspec.Raw = _NOTHING
    error: msgspec.Raw = _NOTHING
    dollar_error: msgspec.Raw = msgspec.field(name="$error", default=_NOTHING)
    exception: msgspec.Raw = _NOTHING
    stack: msgspec.Raw = _NOTHING
    stack_trace: msgspec.Raw = _NOTHING
    stacktrace: msgspec.Raw = _NOTHING
    duration: msgspec.Raw = _NOTHING
    duration_ms: msgspec.Raw = msgspec.field(name="duration_ms", default=_NOTHING)
    campaign: msgspec.Raw = _NOTHING
    azme_campaign_id: msgspec.Raw = msgspec.field(name="azme_campaign_id", default=_NOTHING)


_PROPERTIES = msgspec.json.Decoder(_Properties)
_NO_PROPERTIES = _Properties()


def logs_of(happening: Happening, sanitiser: Sanitiser) -> list[Log]:
    """The logs that a message becomes, besides its device's token; none if it only names a user.

    Raises:
        RefusedLogError: It cannot become any.
    """
    make = _MAKERS.get(happening.type)
    if make is None:
        raise RefusedLogError(
            "unknown_type",
            f"type must be one of {', '.join(_MAKERS)}, got {shown(happening.message.type)}.",
        )
    return make(happening, sanitiser)


def token_log(happening: Happening, token: tuple[str, str]) -> Log:
    """The log that tells a device's token."""
    text, token_type = token
    return TokenLog(timestamp=happening.timestamp, token=text, token_type=token_type)


def _track(happening: Happening, sanitiser: Sanitiser) -> list[Log]:
    name = sanitiser.name(happening.message.event or "")
    told = _properties(happening)
    if name == CRASH_NAME:
        return [_crash(happening, told, sanitiser)]
    timestamp = happening.timestamp
    if name in PUSH_STATUSES:
        campaign_id = _campaign_id(told)
        if campaign_id is not None:
            return [
                FeedbackLog(
                    timestamp=timestamp,
                    campaign_type=CampaignType.NATIVE_PUSH.value,
                    campaign_id=campaign_id,
                    status=PUSH_STATUSES[name],
                )
            ]
    extras = sanitiser.extras(bytes(happening.message.properties))
    session_id = happening.context.session_id
    if name in ERROR_NAMES or _tells_error(told):
        return [ErrorLog(timestamp=timestamp, name=name, session_id=session_id, extras=extras)]
    start = _start(happening.at, told)
    if start is not None:
        return [JobLog(timestamp=_timestamp(start), name=name, end=timestamp, extras=extras)]
    return [EventLog(timestamp=timestamp, name=name, session_id=session_id, extras=extras)]


def _screen(happening: Happening, sanitiser: Sanitiser) -> list[Log]:
    """An activity, named by the first of the message's own name and what stands for it."""
    message = happening.message
    name = sanitiser.name(message.name or "")
    if not name:
        told = _properties(happening)
        substitutes = [text_of(told.name), message.category]
        if happening.type == "page":
            substitutes[1:1] = [text_of(told.title), text_of(told.path)]
        names = (sanitiser.name(one) for one in substitutes if one)
        name = next(filter(None, names), "")
    return [
        ActivityLog(
            timestamp=happening.timestamp,
            name=name,
            session_id=happening.context.session_id,
            extras=sanitiser.extras(bytes(message.properties)),
        )
    ]


def _identify(happening: Happening, sanitiser: Sanitiser) -> list[Log]:
    tags = sanitiser.tags(
        sanitiser.members(happening.context.traits),
        sanitiser.members(bytes(happening.message.traits)),
    )
    return [] if tags is None else [TagsLog(timestamp=happening.timestamp, tags=tags)]


def _group(happening: Happening, sanitiser: Sanitiser) -> list[Log]:
    message = happening.message
    if not message.group_id:
        raise RefusedLogError("bad_field", "groupId must be a text or a number, got none.")
    traits = sanitiser.members(bytes(message.traits))
    tags = sanitiser.tags(
        {"group_id": message.group_id}
        | {f"group_{key}": value for key, value in traits.items() if key != "id"}
    )
    return [] if tags is None else [TagsLog(timestamp=happening.timestamp, tags=tags)]


def _alias(happening: Happening, _: Sanitiser) -> list[Log]:
    if not happening.message.user_id:
        raise RefusedLogError("bad_field", "userId of an alias must be a text, got none.")
    return []


_MAKERS: dict[str, Callable[[Happening, Sanitiser], list[Log]]] = {
    "track": _track,
    "screen": _screen,
    "page": _screen,
    "identify": _identify,
    "group": _group,
    "alias": _alias,
}


def _crash(happening: Happening, told: _Properties, sanitiser: Sanitiser) -> Log:
    reasons = (text_of(one) for one in (told.exception, told.error, told.name))
    stacks = (text_of(one) for one in (told.stack, told.stack_trace, told.stacktrace))
    return CrashLog(
        timestamp=happening.timestamp,
        name=sanitiser.name(next(filter(None, reasons), "")) or CRASH_NAME,
        stack=sanitiser.cut(next(filter(None, stacks), ""), STACK_CHARACTERS_MAX),
        session_id=happening.context.session_id,
    )


def _properties(happening: Happening) -> _Properties:
    raw = bytes(happening.message.properties)
    return _PROPERTIES.decode(raw) if raw.startswith(b"{") else _NO_PROPERTIES


def _tells_error(told: _Properties) -> bool:
    return any(bytes(one) not in _FALSE for one in (told.error, told.dollar_error, told.exception))


def _start(at: int, told: _Properties) -> int | None:
    """When something started that ended at an instant, if its duration is told and can be true."""
    for raw, milliseconds in ((told.duration_ms, 1), (told.duration, 1000)):
        text = bytes(raw)
        if text.startswith(_NUMBER_STARTS):
            duration = float(text) * milliseconds * 1000
            if 0 <= duration <= at:
                return at - round(duration)
    return None


def _campaign_id(told: _Properties) -> int | None:
    campaign = members(told.campaign)
    for raw in (told.azme_campaign_id, *map(campaign.get, ("id", "name", "content"))):
        text = text_of(raw) or ""
        if _CAMPAIGN_ID.fullmatch(text) is not None and int(text) <= INTEGER_MAX:
            return int(text)
    return None


def _timestamp(at: int) -> str:
    return (_EPOCH + timedelta(microseconds=at)).isoformat(timespec="milliseconds")
