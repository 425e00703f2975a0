"""Turns one record of a batch into the rows that are kept of it."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import ClassVar

import msgspec

from engagement.collect.extras import compact_extras, tag_rows
from engagement.collect.limits import (
    RefusedRecordError,
    check_age,
    check_length,
    check_name,
    check_range,
    guid,
    has_control,
    parse_instant,
    quote_value,
    to_microseconds,
    whole_number,
)
from engagement.model.exports import FEEDBACK_STATUSES, CampaignType
from engagement.model.limits import (
    ID_CHARACTERS_MAX,
    INTEGER_MAX,
    STACK_CHARACTERS_MAX,
    TOKEN_CHARACTERS_MAX,
    TOKEN_TYPE_CHARACTERS_MAX,
)
from engagement.model.records import Kind, derive_guid

RECORD_TYPES = ("activity", "event", "error", "crash", "job", "tags", "token", "feedback")
"""The values of a record's `type`."""

_NONE = msgspec.Raw(b"null")
_EARLIEST = to_microseconds(datetime(1, 1, 1, tzinfo=UTC))
_CAMPAIGN_TYPES = tuple(kind.value for kind in CampaignType)
_FIELD_PATH = re.compile(r" - at `\$\.(\w+)")

Row = tuple[object, ...]
"""Values in the order of `RECORD_COLUMNS` of the row's kind."""
KeptRows = tuple[Kind, int, int, list[Row]]
"""What is kept of a record: the kind of its rows, its first and its last time, the rows."""


class _Timed(msgspec.Struct, tag_field="type", rename="camel", gc=False, frozen=True):
    """What every record has."""

    timestamp: str


class ActivityRecord(_Timed, tag="activity", gc=False, frozen=True):
    """The user saw a screen."""

    name: str
    end: str | None = None
    session_id: str | None = None
    extras: msgspec.Raw = _NONE


class EventRecord(_Timed, tag="event", gc=False, frozen=True):
    """Something happened."""

    name: str
    session_id: str | None = None
    job_id: str | None = None
    extras: msgspec.Raw = _NONE


class ErrorRecord(EventRecord, tag="error", gc=False, frozen=True):
    """Something went wrong that the app survived."""


class CrashRecord(_Timed, tag="crash", gc=False, frozen=True):
    """Something went wrong that the app did not survive."""

    name: str
    stack: str
    session_id: str | None = None


class JobRecord(_Timed, tag="job", gc=False, frozen=True):
    """A timed piece of work; `timestamp` is its start."""

    name: str
    job_id: str | None = None
    end: str | None = None
    extras: msgspec.Raw = _NONE


class TagsRecord(_Timed, tag="tags", gc=False, frozen=True):
    """Keys and values to attach to the device."""

    tags: msgspec.Raw


class TokenRecord(_Timed, tag="token", gc=False, frozen=True):
    """The address that a push service gave the device."""

    token: str
    token_type: str
    valid: bool = True


class FeedbackRecord(_Timed, tag="feedback", gc=False, frozen=True):
    """What became of a push campaign."""

    campaign_type: str
    campaign_id: msgspec.Raw
    status: str


SentRecord = (
    ActivityRecord
    | EventRecord
    | ErrorRecord
    | CrashRecord
    | JobRecord
    | TagsRecord
    | TokenRecord
    | FeedbackRecord
)
"""One record; its fields are checked when it is kept."""

_DECODER = msgspec.json.Decoder(SentRecord)


class RecordReader:
    """Reads the records of one batch, all of one device."""

    def __init__(  # noqa: PLR0913 - what holds of all records of a batch
        self,
        batch_id: str,
        device_id: str,
        *,
        clock_shift: int,
        latest: datetime | None,
        earliest: int | None = None,
        extras_of: Callable[[bytes], bytes] = compact_extras,
    ) -> None:
        """Read for a device.

        Args:
            batch_id: The sender's id of the batch.
            device_id: The device, 32 hexadecimal digits.
            clock_shift: Microseconds to add to the device's times.
            latest: No time is kept later than this, if given.
            earliest: An earlier time is refused, in microseconds since 1970, if given.
            extras_of: What is kept of a record's extras, if they are not to be checked here.
        """
        self.rows: dict[Kind, list[Row]] = {}
        """What was kept so far record by record."""
        self._columns: dict[Kind, Sequence[Sequence[object]]] = {}
        self.first_at: int | None = None
        """The earliest time kept, in microseconds."""
        self.last_at: int | None = None
        """The latest time kept, ends included, in microseconds."""
        self._batch_id = batch_id
        self._device_id = device_id
        self.clock_shift = clock_shift
        """Microseconds to add to the device's times."""
        self.latest = None if latest is None else to_microseconds(latest)
        """No time is kept later than this, in microseconds since 1970, if it is not None."""
        self.earliest = earliest
        """An earlier time is refused, in microseconds since 1970, if it is not None."""
        self._extras_of = extras_of
        self._ids: dict[tuple[str, str], str] = {}

    def read(self, index: int, raw: msgspec.Raw) -> None:
        """Keep the rows of a record, all of them or none.

        Args:
            index: The record's place in the batch.
            raw: Its well-formed JSON text.

        Raises:
            RefusedRecordError: It cannot be accepted.
        """
        try:
            record = _DECODER.decode(raw)
        except msgspec.DecodeError as error:
            raise _refusal(error, raw) from error
        device_at = parse_instant(record.timestamp, "timestamp")
        self.keep(index, record, self.correct_time(device_at, "timestamp"), device_at=device_at)

    def keep(self, index: int, record: SentRecord, at: int, *, device_at: int) -> None:
        """Keep the rows of a record, all of them or none, under the same rules as one that is read.

        Args:
            index: The record's place in the batch.
            record: The record; its `timestamp` is not looked at.
            at: When it happened by our clock, in microseconds since 1970.
            device_at: When it happened by the device's clock, likewise.

        Raises:
            RefusedRecordError: It cannot be accepted.
        """
        self.add(*self._KEEPERS[type(record)](self, index, record, at, device_at))

    def add(self, kind: Kind, first: int, last: int, rows: list[Row]) -> None:
        """Keep rows of a kind that are of one time at least, their first and their last given."""
        of_kind = self.rows.get(kind)
        if of_kind is None:
            self.rows[kind] = rows
        else:
            of_kind += rows
        self._widen(first, last)

    def add_columns(
        self, kind: Kind, first: int, last: int, columns: Sequence[Sequence[object]]
    ) -> None:
        """Keep all rows of a kind at once, the values of each of `RECORD_COLUMNS`."""
        self._columns[kind] = columns
        self._widen(first, last)

    def columns(self) -> dict[Kind, Sequence[Sequence[object]]]:
        """What was kept, the values of each of `RECORD_COLUMNS`; only kinds that occur, sorted."""
        return dict(sorted((self._columns | transpose(self.rows)).items()))

    def _widen(self, first: int, last: int) -> None:
        if self.first_at is None or first < self.first_at:
            self.first_at = first
        if self.last_at is None or last > self.last_at:
            self.last_at = last

    def _activity(self, _: int, record: ActivityRecord, start: int, device_start: int) -> KeptRows:
        check_name(record.name)
        end = self.correct_end(record.end, device_start)
        row = (
            self.derive_id("session", record.session_id),
            record.name,
            start,
            end,
            self._extras_of(bytes(record.extras)).decode() or None,
            other_time(device_start, start),
        )
        return Kind.ACTIVITY, start, end or start, [row]

    def _event(self, _: int, record: EventRecord, at: int, device_at: int) -> KeptRows:
        check_name(record.name)
        kind = Kind.ERROR if isinstance(record, ErrorRecord) else Kind.EVENT
        row = (
            self.derive_id("session", record.session_id),
            self.derive_id("job", record.job_id),
            record.name,
            at,
            self._extras_of(bytes(record.extras)).decode() or None,
            other_time(device_at, at),
        )
        return kind, at, at, [row]

    def _crash(self, _: int, record: CrashRecord, at: int, device_at: int) -> KeptRows:
        check_name(record.name)
        check_length(record.stack, "stack", "bad_stack", STACK_CHARACTERS_MAX, 0)
        session_id = self.derive_id("session", record.session_id)
        return (
            Kind.CRASH,
            at,
            at,
            [(session_id, record.name, at, record.stack, other_time(device_at, at))],
        )

    def _job(self, index: int, record: JobRecord, start: int, device_start: int) -> KeptRows:
        check_name(record.name)
        end = self.correct_end(record.end, device_start)
        job_id = self.derive_id("job", record.job_id) or self.derive_job_id(index)
        extras = self._extras_of(bytes(record.extras)).decode() or None
        row = (job_id, record.name, start, end, extras, other_time(device_start, start))
        return Kind.JOB, start, end or start, [row]

    def _tags(self, _: int, record: TagsRecord, at: int, __: int) -> KeptRows:
        return Kind.TAG, at, at, tag_rows(bytes(record.tags), at)

    def _token(self, _: int, record: TokenRecord, at: int, __: int) -> KeptRows:
        check_length(record.token, "token", "bad_token", TOKEN_CHARACTERS_MAX)
        check_length(record.token_type, "tokenType", "bad_token", TOKEN_TYPE_CHARACTERS_MAX)
        if has_control(record.token) or has_control(record.token_type):
            raise RefusedRecordError(
                "bad_token", "token and tokenType must have no control characters, got some."
            )
        return Kind.TOKEN, at, at, [(record.token, record.token_type, at, record.valid)]

    def _feedback(self, _: int, record: FeedbackRecord, at: int, __: int) -> KeptRows:
        _check_choice("campaignType", record.campaign_type, _CAMPAIGN_TYPES)
        _check_choice("status", record.status, FEEDBACK_STATUSES)
        digits = bytes(record.campaign_id).decode()
        campaign_id = whole_number(digits)
        if campaign_id is None and not digits.lstrip("-").isdigit():
            raise RefusedRecordError(
                "bad_field", f"campaignId must be an integer, got {quote_value(digits)}."
            )
        if campaign_id is None or not 0 <= campaign_id <= INTEGER_MAX:
            raise RefusedRecordError(
                "bad_feedback",
                f"campaignId must be from 0 to {INTEGER_MAX}, got {quote_value(digits)}.",
            )
        return Kind.FEEDBACK, at, at, [(record.campaign_type, campaign_id, record.status, at)]

    def derive_job_id(self, index: int) -> str:
        """The id of a job that was sent without one, by the record's place in the batch."""
        return derive_guid(self._batch_id, self._device_id, str(index))

    def correct_time(self, device_at: int, field: str) -> int:
        """The time by our clock that is kept of a device's time.

        Raises:
            RefusedRecordError: It lies in no year that can be kept, or is too old.
        """
        at = device_at + self.clock_shift
        if self.latest is not None and at > self.latest:
            at = self.latest
        check_range(at, field)
        check_age(at, self.earliest, field)
        return at

    def correct_end(self, text: str | None, device_start: int) -> int | None:
        """The time by our clock that is kept of the end of what a device began at a time.

        Raises:
            RefusedRecordError: It is no time that can be kept, or before the start.
        """
        if text is None:
            return None
        device_end = parse_instant(text, "end")
        # Both by the device's clock: once times in the future are capped, they no longer differ.
        if device_end < device_start:
            raise RefusedRecordError(
                "end_before_start", f"end must not be before timestamp, got {quote_value(text)}."
            )
        return self.correct_time(device_end, "end")

    def derive_id(self, noun: str, text: str | None) -> str | None:
        """The id that a text stands for; of one device only, since counters are common ids.

        Raises:
            RefusedRecordError: The text is too long or empty.
        """
        if text is None:
            return None
        known = self._ids.get((noun, text))
        if known is None:
            check_length(text, f"{noun}Id", "bad_id", ID_CHARACTERS_MAX)
            known = self._ids[noun, text] = guid(text, noun, self._device_id)
        return known

    _KEEPERS: ClassVar[dict[type, Callable[..., KeptRows]]] = {
        ActivityRecord: _activity,
        EventRecord: _event,
        ErrorRecord: _event,
        CrashRecord: _crash,
        JobRecord: _job,
        TagsRecord: _tags,
        TokenRecord: _token,
        FeedbackRecord: _feedback,
    }


def transpose(rows: Mapping[Kind, list[Row]]) -> dict[Kind, Sequence[Sequence[object]]]:
    """The values of each of `RECORD_COLUMNS`, given those of each record; only kinds that occur."""
    return {kind: list(zip(*of_kind, strict=True)) for kind, of_kind in rows.items() if of_kind}


def other_time(device_at: int, at: int) -> int | None:
    """The device's time where it is another than the one that is kept."""
    return device_at if device_at != at and device_at >= _EARLIEST else None


def _check_choice(field: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise RefusedRecordError(
            "bad_feedback",
            f"{field} must be one of {', '.join(choices)}, got {quote_value(value)}.",
        )


def _refusal(error: msgspec.DecodeError, raw: msgspec.Raw) -> RefusedRecordError:
    """The refusal that tells what msgspec found wrong, in our words where these are clearer."""
    path = _FIELD_PATH.search(str(error))
    if path is not None and path[1] == "type":
        got = bytes(msgspec.json.decode(raw, type=dict[str, msgspec.Raw])["type"]).decode()
        return RefusedRecordError(
            "unknown_type",
            f"type must be one of {', '.join(RECORD_TYPES)}, got {quote_value(got)}.",
        )
    return RefusedRecordError("bad_field", f"The log cannot be read: {error}.")
