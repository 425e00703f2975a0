"""Decodes a batch: bytes to records, each checked, a bad one refused with a reason."""

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Generic, TypeVar

import msgspec

from engagement.collect.broken_json import (
    BYTE_ORDER_MARK,
    mark_non_finite,
    unmark_non_finite,
)
from engagement.collect.limits import (
    RefusedRecordError,
    clock_shift,
    earliest_of,
    guid,
    has_control,
    parse_instant,
    quote_value,
    to_microseconds,
    whole_number,
)
from engagement.collect.record_columns import keep_columns
from engagement.collect.records import RecordReader, Row, SentRecord
from engagement.collect.wellformed import check_body, replace_halves
from engagement.exceptions import CorruptInputError
from engagement.model.limits import (
    BATCH_ID_CHARACTERS_MAX,
    ID_CHARACTERS_MAX,
    INFO_CHARACTERS_MAX,
    INTEGER_MAX,
    INTEGER_MIN,
    RECORDS_PER_BATCH_MAX,
)
from engagement.model.records import (
    INFO_COLUMNS,
    LOCATION_COLUMNS,
    Column,
    ColumnType,
    Kind,
    content_id,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A record that was not accepted."""

    index: int
    """Its place in the batch's `logs`, from 0."""
    code: str
    """Why, as a stable word."""
    message: str
    """Why, in a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What a device sent at once, decoded and checked."""

    batch_id: str
    """The sender's id of it."""
    device_id: str
    """The device, 32 lower-case hexadecimal digits."""
    user_id: str | None
    """Who uses the device, if the app says so."""
    info: dict[str, str | int] | None
    """Technical information, by the names of `INFO_COLUMNS`; only what was sent."""
    info_id: str | None
    """Depends on `info` alone."""
    location: dict[str, str] | None
    """Where the device is, by the names of `LOCATION_COLUMNS`; only what was sent."""
    location_id: str | None
    """Depends on `location` alone."""
    columns: dict[Kind, Sequence[Sequence[object]]]
    """Values of all accepted records for each of `RECORD_COLUMNS`; only kinds that occur."""
    first_at: int | None
    """Earliest time of an accepted record, in microseconds since 1970."""
    last_at: int | None
    """Latest time of an accepted record, ends included, in microseconds since 1970."""
    accepted: int
    """Records accepted; one with several tags counts once."""
    refused: tuple[Refusal, ...]
    """Records refused, in their order."""
    record_ids: dict[Kind, list[str]] | None = None
    """The ids of the rows of each of `UNFOLDED_KINDS`, in their order; see `record_id_prefixes`.

    None if they follow from the batch's own id; the messages of a tracking batch have theirs.
    """

    @property
    def rows(self) -> dict[Kind, list[Row]]:
        """The same values, record by record."""
        return {kind: list(zip(*columns, strict=True)) for kind, columns in self.columns.items()}


_Log = TypeVar("_Log")


class _Envelope(msgspec.Struct, Generic[_Log], rename="camel", omit_defaults=True):
    """A batch as it is sent, its records looked into or not."""

    batch_id: Annotated[str, msgspec.Meta(min_length=1, max_length=BATCH_ID_CHARACTERS_MAX)]
    sent_at: str
    device_id: Annotated[str, msgspec.Meta(min_length=1, max_length=ID_CHARACTERS_MAX)]
    logs: Annotated[list[_Log], msgspec.Meta(max_length=RECORDS_PER_BATCH_MAX)]
    user_id: Annotated[str, msgspec.Meta(min_length=1, max_length=ID_CHARACTERS_MAX)] | None = None
    info: dict[str, msgspec.Raw] | None = None
    location: dict[str, msgspec.Raw] | None = None


_RawEnvelope = _Envelope[msgspec.Raw]
_ENVELOPE = msgspec.json.Decoder(_RawEnvelope)
_READ_ENVELOPE = msgspec.json.Decoder(_Envelope[SentRecord])
_TEXT = msgspec.json.Decoder(Annotated[str, msgspec.Meta(max_length=INFO_CHARACTERS_MAX)] | None)
_WHOLE = msgspec.json.Decoder(Annotated[int, msgspec.Meta(ge=INTEGER_MIN, le=INTEGER_MAX)] | None)
COLUMNS_BYTES_MIN = 1024
"""A shorter body has too few records for columns to save time."""
_NON_FINITE = b"#"
"""Comes behind the mark of a number that JSON does not have; digits come behind that of a half."""
_DIGITS_CUT = re.compile(r"(?<=\.[0-9]{3})[0-9]+")


def decode_batch(
    body: bytes, *, received_at: datetime, live: bool, age_days_max: int | None = None
) -> Batch:
    """Decode a native batch: all of its good records, and a reason for each bad one.

    Nothing is altered silently: what cannot be kept as it was sent is refused.

    Args:
        body: The batch as JSON.
        received_at: When it came, aware.
        live: Whether the device has just sent it. Then its clock is corrected by
            `received_at - sentAt` if this is more than `CLOCK_SKEW_KEPT_SECONDS_MAX`, and no time
            is kept later than `received_at`.
        age_days_max: Records that are older when they come are refused, if given.

    Raises:
        CorruptInputError: It is no batch; nothing of it can be accepted.
    """
    check_body(body)
    batch = None
    if len(body) >= COLUMNS_BYTES_MIN:
        batch = decode_columns(body, received_at, live=live, age_days_max=age_days_max)
    return batch or decode_each(body, received_at, live=live, age_days_max=age_days_max)


def decode_each(
    body: bytes, received_at: datetime, *, live: bool, age_days_max: int | None = None
) -> Batch:
    """Decode a batch as `decode_batch` does, once its body was checked, record by record.

    Only here is told what is wrong with which record.
    """
    envelope, mark = _envelope(body)
    sender = _Sender(envelope, received_at, live=live, age_days_max=age_days_max)
    reader = sender.new_reader()
    refused: list[Refusal] = []
    for index, raw in enumerate(envelope.logs):
        try:
            if mark is not None and mark in bytes(raw):
                raise _unreadable_log(bytes(raw), mark)
            reader.read(index, raw)
        except RefusedRecordError as error:
            refused.append(Refusal(index=index, code=error.code, message=error.message))
    return sender.batch(reader, refused)


def decode_columns(
    body: bytes, received_at: datetime, *, live: bool, age_days_max: int | None = None
) -> Batch | None:
    """Decode a batch to what `decode_each` makes of it, in less time; None if it may refuse some.

    Raises:
        CorruptInputError: As `decode_each` does.
    """
    try:
        envelope = _READ_ENVELOPE.decode(body.removeprefix(BYTE_ORDER_MARK))
    except msgspec.DecodeError:
        return None
    sender = _Sender(envelope, received_at, live=live, age_days_max=age_days_max)
    reader = sender.new_reader()
    return sender.batch(reader, ()) if keep_columns(reader, envelope.logs) else None


class _Sender:
    """What a batch says of its sender, checked."""

    def __init__(
        self,
        envelope: _Envelope[Any],
        received_at: datetime,
        *,
        live: bool,
        age_days_max: int | None,
    ) -> None:
        self._envelope = envelope
        self._device_id = guid(envelope.device_id, "device")
        self._info = _told(envelope.info, _INFO_SPELLINGS, "info")
        self._location = _told(envelope.location, _LOCATION_SPELLINGS, "location")
        sent_at = _sent_at(envelope.sent_at)
        if has_control(envelope.batch_id):
            raise CorruptInputError(
                f"batchId must have no control characters, got {quote_value(envelope.batch_id)}."
            )
        self._clock_shift = clock_shift(sent_at, to_microseconds(received_at)) if live else 0
        self._latest = received_at.astimezone(UTC) if live else None
        self._earliest = earliest_of(received_at, age_days_max)

    def new_reader(self) -> RecordReader:
        """Return what reads the records of the batch."""
        return RecordReader(
            self._envelope.batch_id,
            self._device_id,
            clock_shift=self._clock_shift,
            latest=self._latest,
            earliest=self._earliest,
        )

    def batch(self, reader: RecordReader, refused: Sequence[Refusal]) -> Batch:
        """Return the batch, given what was kept and what was refused of it."""
        info, location = self._info, self._location
        return Batch(
            batch_id=self._envelope.batch_id,
            device_id=self._device_id,
            user_id=self._envelope.user_id,
            info=info,
            info_id=content_id_of(info),
            location={key: str(value) for key, value in location.items()} if location else None,
            location_id=content_id_of(location),
            columns=reader.columns(),
            first_at=reader.first_at,
            last_at=reader.last_at,
            accepted=len(self._envelope.logs) - len(refused),
            refused=tuple(refused),
        )


def split_batch(
    body: bytes, batch_ids: Mapping[int, str], *, repeated_bytes_max: int
) -> list[bytes]:
    """Some records of a batch, each as a batch of its own, on one line.

    Decoded by itself, each becomes what its record became: the record's text and what the batch
    says of the device are kept as they were sent, and what nobody reads is left out.

    Args:
        body: A batch that can be decoded.
        batch_ids: The id of each new batch, by the place of its record in the body.
        repeated_bytes_max: What the batch says of the device's technology and place is left out if
            repeating it with every record would take more.
    """
    envelope, mark = _envelope(body)
    envelope.sent_at = _DIGITS_CUT.sub("", envelope.sent_at)
    envelope.info = _known(envelope.info, _INFO_SPELLINGS)
    envelope.location = _known(envelope.location, _LOCATION_SPELLINGS)
    repeated = len(msgspec.json.encode((envelope.info, envelope.location)))
    if repeated * len(batch_ids) > repeated_bytes_max:
        envelope.info = envelope.location = None
    sent = envelope.logs
    made = []
    for index, batch_id in batch_ids.items():
        text = bytes(sent[index]).replace(b"\n", b" ").replace(b"\r", b" ")
        if mark is not None:
            text = unmark_non_finite(text, mark + _NON_FINITE).replace(mark, rb"\u")
        envelope.batch_id, envelope.logs = batch_id, [msgspec.Raw(text)]
        made.append(msgspec.json.encode(envelope))
    return made


def _envelope(body: bytes) -> tuple[_RawEnvelope, bytes | None]:
    """The envelope, and what marks in records what a JSON reader stops at.

    A device that cuts a string in the middle of an emoji escapes half a character, which JSON
    allows and no Unicode text can hold; and some write the numbers `NaN` and `Infinity`, which
    JSON does not have. These are replaced by a mark, so that one record is refused instead of the
    whole batch.
    """
    body = body.removeprefix(BYTE_ORDER_MARK)
    try:
        try:
            return _ENVELOPE.decode(body), None
        except msgspec.ValidationError:
            raise
        except msgspec.DecodeError:
            # No value begins with a letter like this, so that what is wrong is always told alike.
            mark = b"m" + secrets.token_hex(16).encode()
            marked = mark_non_finite(replace_halves(body, mark.__add__), mark + _NON_FINITE)
            if marked == body:
                raise
            envelope = _ENVELOPE.decode(marked)
    except msgspec.DecodeError as error:
        raise CorruptInputError(
            f"A batch must be a JSON object with batchId, sentAt, deviceId and logs: {error}."
        ) from error
    texts = [envelope.batch_id, envelope.sent_at, envelope.device_id, envelope.user_id or ""]
    texts += [bytes(value).decode() for value in (envelope.info or {}).values()]
    texts += [bytes(value).decode() for value in (envelope.location or {}).values()]
    for text in texts:
        if mark.decode() in text:
            raise CorruptInputError(f"A batch: {_unreadable_log(text.encode(), mark).message}")
    return envelope, mark


def _unreadable_log(text: bytes, mark: bytes) -> RefusedRecordError:
    """Why a text with the mark in it cannot be kept."""
    if mark + _NON_FINITE in text:
        return RefusedRecordError(
            "non_finite_number", "Numbers must be finite, got NaN or Infinity, which JSON lacks."
        )
    return RefusedRecordError(
        "lone_surrogate", "Strings must hold whole characters, got half a surrogate pair."
    )


def _sent_at(text: str) -> int:
    try:
        return parse_instant(text, "sentAt")
    except RefusedRecordError as error:
        raise CorruptInputError(error.message) from error


def _told(
    fields: dict[str, msgspec.Raw] | None, spellings: dict[str, Column], field: str
) -> dict[str, str | int] | None:
    """What a batch says of its device, by column name; None if it says nothing that is known."""
    content: dict[str, str | int] = {}
    for spelling, column in spellings.items() if fields else ():
        raw = (fields or {}).get(spelling)
        if raw is None:
            continue
        decoder = _WHOLE if column.type is ColumnType.INTEGER else _TEXT
        try:
            value = decoder.decode(raw)
        except msgspec.DecodeError as error:
            # Some senders write every number with a point.
            value = whole_number(bytes(raw).decode()) if decoder is _WHOLE else None
            if value is None or not INTEGER_MIN <= value <= INTEGER_MAX:
                raise CorruptInputError(f"{field}.{spelling} cannot be read: {error}.") from error
        if value is not None:
            content[column.name] = value
    return content or None


def _known(
    fields: dict[str, msgspec.Raw] | None, spellings: dict[str, Column]
) -> dict[str, msgspec.Raw] | None:
    known = {name: raw for name, raw in (fields or {}).items() if name in spellings}
    return known or None


def content_id_of(content: Mapping[str, str | int] | None) -> str | None:
    """The id of what was told of a device; it depends on the content alone."""
    return content_id(msgspec.json.encode(content, order="sorted")) if content else None


def _spellings(columns: tuple[Column, ...], published: dict[str, str]) -> dict[str, Column]:
    """Each column by its name in a batch; the published spelling comes last, so that it wins."""
    names: dict[str, Column] = {}
    for column in columns:
        first, *others = column.name.split("_")
        names[first + "".join(word.title() for word in others)] = column
        if column.name in published:
            names[published[column.name]] = column
    return names


_INFO_SPELLINGS = _spellings(INFO_COLUMNS, {"android_api_level": "androidAPILevel"})
_LOCATION_SPELLINGS = _spellings(LOCATION_COLUMNS, {"country_code": "countrycode"})
