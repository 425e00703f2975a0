"""Decides which records a tracking message becomes."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import msgspec

from engagement.collect.limits import RefusedRecordError, quote_value
from engagement.collect.protocols.segment.context import MessageContext
from engagement.collect.protocols.segment.repair import Sanitiser
from engagement.collect.protocols.segment.wire import (
    NUMBER_STARTS,
    Message,
    integer_of,
    members,
    text_of,
)
from engagement.collect.records import (
    ActivityRecord,
    CrashRecord,
    ErrorRecord,
    EventRecord,
    FeedbackRecord,
    JobRecord,
    SentRecord,
    TagsRecord,
    TokenRecord,
)
from engagement.model.exports import CampaignType
from engagement.model.limits import INTEGER_MAX, STACK_CHARACTERS_MAX

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
_ELSEWHERE = ""
"""Stands for the time of a record whose time is told beside it."""
_FALSE = (b"null", b"false", b"0", b'""')


TimedRecord = tuple[int, SentRecord]
"""When a record happened by our clock, in microseconds since 1970, and it without its time."""


class TrackingEvent(msgspec.Struct, kw_only=True, gc=False, frozen=True):
    """What a message tells, and when that was; a struct, since one is made for every message."""

    message: Message
    """The message."""
    type: str
    """What it calls itself, in lower case."""
    context: MessageContext
    """What it says of its device."""
    at: int
    """When it happened by our clock, in microseconds since 1970."""
    device_at: int
    """When it happened by the device's clock, likewise."""


class _Properties(msgspec.Struct, gc=False, frozen=True):
    """The properties that decide what a message becomes."""

    name: msgspec.Raw = _NOTHING
    title: msgspec.Raw = _NOTHING
    path: msgspec.Raw = _NOTHING
    error: msgspec.Raw = _NOTHING
    dollar_error: msgspec.Raw = msgspec.field(name="$error", default=_NOTHING)
    exception: msgspec.Raw = _NOTHING
    stack: msgspec.Raw = _NOTHING
    stack_trace: msgspec.Raw = _NOTHING
    camel_stack_trace: msgspec.Raw = msgspec.field(name="stackTrace", default=_NOTHING)
    duration: msgspec.Raw = _NOTHING
    duration_ms: msgspec.Raw = _NOTHING
    campaign: msgspec.Raw = _NOTHING
    azme_campaign_id: msgspec.Raw = _NOTHING


_PROPERTIES = msgspec.json.Decoder(_Properties)
_NO_PROPERTIES = _Properties()


def map_event(event: TrackingEvent, sanitiser: Sanitiser) -> TimedRecord | None:
    """The record that a message becomes, besides its device's token; None if it only names a user.

    Raises:
        RefusedRecordError: It cannot become one.
    """
    make = _MAKERS.get(event.type)
    if make is None:
        raise RefusedRecordError(
            "unknown_type",
            f"type must be one of {', '.join(_MAKERS)}, got {quote_value(event.message.type)}.",
        )
    return make(event, sanitiser)


def token_record(token: tuple[str, str]) -> SentRecord:
    """The record that tells a device's token."""
    text, token_type = token
    return TokenRecord(timestamp=_ELSEWHERE, token=text, token_type=token_type)


def _track(event: TrackingEvent, sanitiser: Sanitiser) -> TimedRecord:
    at, message = event.at, event.message
    name = sanitiser.name(message.event or "")
    properties = _properties(message)
    if name == CRASH_NAME:
        return at, _crash(event, properties, sanitiser)
    if name in PUSH_STATUSES:
        campaign_id = _campaign_id(properties)
        if campaign_id is not None:
            return at, _feedback(PUSH_STATUSES[name], campaign_id)
    extras = sanitiser.extras(bytes(message.properties))
    session_id = event.context.session_id
    if name in ERROR_NAMES or _is_told(
        properties.error, properties.dollar_error, properties.exception
    ):
        return at, ErrorRecord(_ELSEWHERE, name, session_id, extras=extras)
    if properties.duration or properties.duration_ms:
        start = _start(at, properties)
        if start is not None:
            return start, JobRecord(
                _ELSEWHERE, name, end=_timestamp(event.device_at), extras=extras
            )
    return at, EventRecord(_ELSEWHERE, name, session_id, extras=extras)


def _screen(event: TrackingEvent, sanitiser: Sanitiser) -> TimedRecord:
    """An activity, named by the first of the message's own name and what stands for it."""
    message = event.message
    name = sanitiser.name(message.name or "")
    if not name:
        properties = _properties(message)
        substitutes = [text_of(properties.name), message.category]
        if event.type == "page":
            substitutes[1:1] = [text_of(properties.title), text_of(properties.path)]
        name = next(filter(None, (sanitiser.name(value) for value in substitutes if value)), "")
    extras = sanitiser.extras(bytes(message.properties))
    session_id = event.context.session_id
    return event.at, ActivityRecord(_ELSEWHERE, name, session_id=session_id, extras=extras)


def _identify(event: TrackingEvent, sanitiser: Sanitiser) -> TimedRecord | None:
    tags = sanitiser.tags(
        sanitiser.members(event.context.traits),
        sanitiser.members(bytes(event.message.traits)),
    )
    return None if tags is None else (event.at, TagsRecord(_ELSEWHERE, tags))


def _group(event: TrackingEvent, sanitiser: Sanitiser) -> TimedRecord | None:
    message = event.message
    if not message.group_id:
        raise RefusedRecordError("bad_field", "groupId must be a text or a number, got none.")
    traits = sanitiser.members(bytes(message.traits))
    named = {f"group_{key}": value for key, value in traits.items() if key != "id"}
    tags = sanitiser.tags({"group_id": message.group_id} | named)
    return None if tags is None else (event.at, TagsRecord(_ELSEWHERE, tags))


def _alias(event: TrackingEvent, _: Sanitiser) -> None:
    if not event.message.user_id:
        raise RefusedRecordError(
            "bad_field", "userId of an alias must be a text or a number, got none."
        )


_MAKERS: dict[str, Callable[[TrackingEvent, Sanitiser], TimedRecord | None]] = {
    "track": _track,
    "screen": _screen,
    "page": _screen,
    "identify": _identify,
    "group": _group,
    "alias": _alias,
}


def _crash(event: TrackingEvent, properties: _Properties, sanitiser: Sanitiser) -> SentRecord:
    reasons = (
        text_of(value) for value in (properties.exception, properties.error, properties.name)
    )
    stacks = (
        text_of(value)
        for value in (properties.stack, properties.stack_trace, properties.camel_stack_trace)
    )
    return CrashRecord(
        _ELSEWHERE,
        sanitiser.name(next(filter(None, reasons), "")) or CRASH_NAME,
        sanitiser.cut(next(filter(None, stacks), ""), STACK_CHARACTERS_MAX),
        event.context.session_id,
    )


def _feedback(status: str, campaign_id: int) -> SentRecord:
    digits = msgspec.Raw(str(campaign_id).encode())
    return FeedbackRecord(_ELSEWHERE, CampaignType.NATIVE_PUSH.value, digits, status)


def _properties(message: Message) -> _Properties:
    raw = message.properties
    return _PROPERTIES.decode(raw) if bytes(raw).startswith(b"{") else _NO_PROPERTIES


def _is_told(*values: msgspec.Raw) -> bool:
    """Whether one of the values is there, and is not what JavaScript takes for false."""
    return any(bytes(value) not in _FALSE for value in filter(None, values))


def _start(at: int, properties: _Properties) -> int | None:
    """When something started that ended at an instant, if its duration is told and can be true."""
    for raw, milliseconds in ((properties.duration_ms, 1), (properties.duration, 1000)):
        text = bytes(raw)
        if text.startswith(NUMBER_STARTS):
            duration = float(text) * milliseconds
            if 0 <= duration <= at // 1000:
                return at - round(duration) * 1000
    return None


def _campaign_id(properties: _Properties) -> int | None:
    campaign = members(properties.campaign)
    for raw in (properties.azme_campaign_id, *map(campaign.get, ("id", "name", "content"))):
        campaign_id = integer_of(raw)
        if campaign_id is not None and 0 <= campaign_id <= INTEGER_MAX:
            return campaign_id
    return None


def _timestamp(at: int) -> str:
    return (_EPOCH + timedelta(microseconds=at)).isoformat(timespec="milliseconds")
