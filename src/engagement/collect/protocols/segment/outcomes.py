"""Makes of one tracking message what is kept of it, or the reason to refuse it."""

from dataclasses import dataclass
from datetime import datetime

import msgspec

from engagement.collect.limits import (
    RefusedRecordError,
    check_age,
    earliest_of,
    guid,
    has_control,
    quote_value,
    to_microseconds,
)
from engagement.collect.protocols.segment.bodies import BrokenMessage
from engagement.collect.protocols.segment.context import ContextReader, MessageContext
from engagement.collect.protocols.segment.mapping import TrackingEvent, map_event, token_record
from engagement.collect.protocols.segment.repair import Sanitiser
from engagement.collect.protocols.segment.wire import Message, event_times, text_of, time_of
from engagement.collect.records import RecordReader, Row
from engagement.model.limits import BATCH_ID_CHARACTERS_MAX, ID_CHARACTERS_MAX
from engagement.model.records import NIL_GUID, Kind, derive_guid


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedMessage:
    """A message that was not accepted."""

    index: int
    """Its place in the body, from 0."""
    message_id: str
    """Its id, as `Messages.ids` has it."""
    code: str
    """Why, as a stable word."""
    message: str
    """Why, in a sentence."""
    body: bytes
    """A body that holds this message alone, to be read with the same time of receipt."""


class MessageSender(msgspec.Struct, kw_only=True, gc=False, frozen=True):
    """Who sent a message, as far as batches are told apart by it."""

    device_id: str
    """The device, 32 lower-case hexadecimal digits."""
    user_id: str | None
    """Who uses the device."""
    info_id: str | None
    """Of the technical information."""
    location_id: str | None
    """Of the place."""


class KeptMessage(msgspec.Struct, kw_only=True, gc=False, frozen=True):
    """A message that can be kept."""

    message_id: str
    """Its id, as `Messages.ids` has it."""
    sender: MessageSender
    """Who sent it."""
    info: dict[str, str | int] | None
    """Technical information, by the names of `INFO_COLUMNS`."""
    location: dict[str, str] | None
    """Where the device is, by the names of `LOCATION_COLUMNS`."""
    rows: dict[Kind, list[Row]]
    """Values of each record in the order of `RECORD_COLUMNS`; none if it only names a user."""
    first_at: int
    """When it began, in microseconds since 1970."""
    last_at: int
    """When it happened, in microseconds since 1970."""


MessageOutcome = KeptMessage | RefusedMessage


class OutcomeReader:
    """Reads the messages of one body, one after another."""

    def __init__(
        self, received_at: datetime, sent_at: msgspec.Raw, *, age_days_max: int | None = None
    ) -> None:
        """Read for a body.

        Args:
            received_at: When it came, aware.
            sent_at: When it was sent by the device's clock, as JSON, or nothing.
            age_days_max: Messages that are older when they come are refused, if given.
        """
        self.sanitiser = Sanitiser()
        """Counts what is repaired."""
        self._received = to_microseconds(received_at)
        self._earliest = earliest_of(received_at, age_days_max)
        self._sent_at_text = bytes(sent_at)
        self._sent_at = time_of(text_of(sent_at))
        self._contexts = ContextReader(self.sanitiser)
        self._devices: dict[str, str] = {}
        self._tokens: set[tuple[str, tuple[str, str]]] = set()

    def message_id(self, raw: msgspec.Raw, message: Message | None) -> str:
        """The id by which a message is told from others, at most 100 characters.

        It is the sender's, if there is one. Else it depends on the content, and where this names
        no time, also on when the message came, so that the same click is not taken for the last.
        """
        sent_id = None if message is None else message.message_id
        if sent_id:
            is_fit = len(sent_id) <= BATCH_ID_CHARACTERS_MAX and not has_control(sent_id)
            return sent_id if is_fit else derive_guid("message", sent_id)
        is_timeless = message is None or self._happened_at(message)[0] is None
        came = (str(self._received),) if is_timeless else ()
        return derive_guid("message", bytes(raw).decode(), *came)

    def outcome(
        self, index: int, message_id: str, raw: msgspec.Raw, message: Message | None
    ) -> MessageOutcome:
        """What becomes of a message.

        Args:
            index: Its place in the body.
            message_id: Its id.
            raw: It as it was sent.
            message: It; None if it is no JSON object.
        """
        try:
            return self._kept(message_id, _object(raw, message))
        except RefusedRecordError as error:
            return self._refused(index, message_id, bytes(raw), error)

    def refuse_broken(self, index: int, broken: BrokenMessage) -> RefusedMessage:
        """The refusal of a message that cannot be read, whose id depends on its text alone.

        Args:
            index: Its place in the body.
            broken: It.
        """
        message_id = derive_guid("message", broken.raw.decode(errors="backslashreplace"))
        error = RefusedRecordError(broken.code, broken.message)
        return self._refused(index, message_id, broken.raw, error)

    def _refused(
        self, index: int, message_id: str, raw: bytes, error: RefusedRecordError
    ) -> RefusedMessage:
        sent = b',"sentAt":' + self._sent_at_text if self._sent_at_text else b""
        return RefusedMessage(
            index=index,
            message_id=message_id,
            code=error.code,
            message=error.message,
            body=b'{"batch":[' + raw + b"]" + sent + b"}",
        )

    def _kept(self, message_id: str, message: Message) -> KeptMessage:
        message_type = (message.type or "").lower()
        context = self._contexts.read(message.context)
        device_id = self._device_id(message, message_type, context)
        at, device_at = self._happened_at(message)
        if at is None:
            self.sanitiser.repaired += 1
            at = self._received
        check_age(at, self._earliest, "timestamp")
        device_at = at if device_at is None else device_at
        reader = RecordReader(
            message_id,
            device_id,
            clock_shift=at - device_at,
            latest=None,
            extras_of=bytes,  # the sanitiser leaves them as `compact_extras` would
        )
        event = TrackingEvent(
            message=message, type=message_type, context=context, at=at, device_at=device_at
        )
        made = map_event(event, self.sanitiser)
        if made is not None:
            began, record = made
            check_age(began, self._earliest, "timestamp")
            reader.keep(0, record, began, device_at=began - at + device_at)
        if context.token is not None and (device_id, context.token) not in self._tokens:
            reader.keep(0, token_record(context.token), at, device_at=at)
            self._tokens.add((device_id, context.token))
        info, info_id = self._contexts.info(context, at)
        user_id = message.user_id or None
        return KeptMessage(
            message_id=message_id,
            sender=MessageSender(
                device_id=device_id,
                user_id=user_id and self.sanitiser.cut(user_id, ID_CHARACTERS_MAX),
                info_id=info_id,
                location_id=context.location_id,
            ),
            info=info,
            location=context.location,
            rows=reader.rows,
            first_at=at if reader.first_at is None else reader.first_at,
            last_at=at,
        )

    def _device_id(self, message: Message, message_type: str, context: MessageContext) -> str:
        """The device that a message is of; an alias is of what its user was known as before.

        Raises:
            RefusedRecordError: The message names none.
        """
        before = message.previous_id if message_type == "alias" else None
        for text in (context.device_id, message.anonymous_id, before, message.user_id):
            if text:
                device_id = self._devices.get(text)
                if device_id is None:
                    device_id = self._devices[text] = guid(text, "device")
                # A phone whose id may not be read sends zeros, as all such phones do.
                if device_id != NIL_GUID:
                    return device_id
        raise RefusedRecordError(
            "no_device", "A message must have context.device.id, anonymousId or userId, got none."
        )

    def _happened_at(self, message: Message) -> tuple[int | None, int | None]:
        return event_times(message, self._sent_at, self._received)


def _object(raw: msgspec.Raw, message: Message | None) -> Message:
    if message is None:
        got = quote_value(bytes(raw).decode())
        raise RefusedRecordError("bad_field", f"A message must be a JSON object, got {got}.")
    return message
