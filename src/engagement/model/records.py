"""Names the kinds of record and what a record of each kind holds."""

import hashlib
import re
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

ROWS_PER_BATCH_BITS = 20
"""A row's sequence is its batch's inbox position, then its place in the batch; 2^20 rows fit."""
NIL_GUID = "0" * 32
"""Stands for an id that a record lacks where a published schema requires one."""
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


class Kind(StrEnum):
    """What a record reports; one table of the lake each."""

    ACTIVITY = "activity"
    EVENT = "event"
    ERROR = "error"
    CRASH = "crash"
    JOB = "job"
    SESSION = "session"
    DEVICE = "device"
    TAG = "tag"
    TOKEN = "token"  # noqa: S105 - a record kind, not a secret
    FEEDBACK = "feedback"
    INFO = "info"
    LOCATION = "location"

    @property
    def is_historical(self) -> bool:
        """Whether records stay as they happened; else each is a change of a snapshot."""
        return self in HISTORICAL_KINDS


HISTORICAL_KINDS = frozenset(
    {Kind.ACTIVITY, Kind.EVENT, Kind.ERROR, Kind.CRASH, Kind.JOB, Kind.SESSION}
)
SPAN_KINDS: dict[Kind, str] = {Kind.JOB: "job_id", Kind.SESSION: "session_id"}
"""Kinds that last, and may be reported again as they go on; each with the column of its id."""
CONTENT_KINDS: dict[Kind, str] = {Kind.INFO: "info_id", Kind.LOCATION: "location_id"}
"""What batches tell of their devices, each with the column of the id that depends on it alone."""


UNFOLDED_KINDS = frozenset({Kind.ACTIVITY, Kind.EVENT, Kind.ERROR, Kind.CRASH})
"""Kinds of which every row stays a record of its own, whatever comes later."""


class ColumnType(StrEnum):
    """What a column holds."""

    GUID = "guid"
    STRING = "string"
    JSON = "json"
    TIMESTAMP = "timestamp"
    INTEGER = "integer"
    BOOLEAN = "boolean"


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a kind's table."""

    name: str
    """Name in the table, snake_case."""
    type: ColumnType
    """What it holds."""
    required: bool = False
    """Whether every record has a value."""


_G, _S, _J = ColumnType.GUID, ColumnType.STRING, ColumnType.JSON
_T, _I, _B = ColumnType.TIMESTAMP, ColumnType.INTEGER, ColumnType.BOOLEAN

_DEVICE_TIMESTAMP = Column("device_timestamp", _T)
"""When the record happened (a job: began) by the device's own clock; None where that is its time.

Always the last column, since batches that were taken in before it existed lack its value.
"""

RECORD_COLUMNS: dict[Kind, tuple[Column, ...]] = {
    Kind.ACTIVITY: (
        Column("session_id", _G),
        Column("name", _S, required=True),
        Column("timestamp", _T, required=True),
        Column("end", _T),
        Column("extras", _J),
        _DEVICE_TIMESTAMP,
    ),
    Kind.EVENT: (
        Column("session_id", _G),
        Column("job_id", _G),
        Column("name", _S, required=True),
        Column("timestamp", _T, required=True),
        Column("extras", _J),
        _DEVICE_TIMESTAMP,
    ),
    Kind.ERROR: (
        Column("session_id", _G),
        Column("job_id", _G),
        Column("name", _S, required=True),
        Column("timestamp", _T, required=True),
        Column("extras", _J),
        _DEVICE_TIMESTAMP,
    ),
    Kind.CRASH: (
        Column("session_id", _G),
        Column("name", _S, required=True),
        Column("timestamp", _T, required=True),
        Column("stack", _S, required=True),
        _DEVICE_TIMESTAMP,
    ),
    Kind.JOB: (
        Column("job_id", _G, required=True),
        Column("name", _S, required=True),
        Column("start", _T, required=True),
        Column("end", _T),
        Column("extras", _J),
        _DEVICE_TIMESTAMP,
    ),
    Kind.TAG: (
        Column("key", _S, required=True),
        Column("value", _S),
        Column("value_type", _S),
        Column("set_at", _T, required=True),
    ),
    Kind.TOKEN: (
        Column("token", _S, required=True),
        Column("type", _S, required=True),
        Column("registered_at", _T, required=True),
        Column("valid", _B, required=True),
    ),
    Kind.FEEDBACK: (
        Column("campaign_type", _S, required=True),
        Column("campaign_id", _I, required=True),
        Column("status", _S, required=True),
        Column("occurred_at", _T, required=True),
    ),
}
"""What one log says by itself, in the order in which the inbox keeps its values.

Sessions and devices are not here: they are computed from the activities and the batches.
"""

INFO_COLUMNS: tuple[Column, ...] = (
    Column("firmware_name", _S),
    Column("firmware_version", _S),
    Column("android_api_level", _I),
    Column("phone_model", _S),
    Column("phone_manufacturer", _S),
    Column("screen_width", _I),
    Column("screen_height", _I),
    Column("application_version_code", _I),
    Column("application_version_name", _S),
    Column("carrier_name", _S),
    Column("carrier_country", _S),
    Column("network_type", _S),
    Column("network_subtype", _S),
    Column("locale", _S),
    Column("time_zone_offset", _I),
    Column("service_version", _S),
)
"""Technical information of a device, as a batch's `info` carries it (there in camelCase)."""

LOCATION_COLUMNS: tuple[Column, ...] = (
    Column("country_code", _S),
    Column("region", _S),
    Column("locality", _S),
)
"""Where a device is, as a batch's `location` carries it (there in camelCase)."""

SESSION_COLUMNS: tuple[Column, ...] = (
    Column("session_id", _G, required=True),
    Column("start", _T, required=True),
    Column("end", _T, required=True),
    Column("user_at", _T),
    Column("info_at", _T),
    Column("location_at", _T),
)

DEVICE_COLUMNS: tuple[Column, ...] = (
    Column("first_seen_at", _T, required=True),
    Column("seen_at", _T, required=True),
    Column("user_at", _T),
    Column("info_at", _T),
    Column("location_at", _T),
    *INFO_COLUMNS,
    *LOCATION_COLUMNS,
)


JOB_TOLD_BY = {"extras": "extras_by", "user_id": "user_by", "info_id": "info_by"}
"""What a report of a job may leave out, each with the column that holds the sequence of the report
that told it last: reports may be folded in any order."""

_COMPUTED_COLUMNS: dict[Kind, tuple[Column, ...]] = {
    Kind.JOB: (*RECORD_COLUMNS[Kind.JOB], *(Column(name, _I) for name in JOB_TOLD_BY.values())),
    Kind.SESSION: SESSION_COLUMNS,
    Kind.DEVICE: DEVICE_COLUMNS,
    Kind.FEEDBACK: (*RECORD_COLUMNS[Kind.FEEDBACK], Column("first_at", _T, required=True)),
    Kind.INFO: (
        Column("info_id", _G, required=True),
        Column("told_at", _T, required=True),
        *INFO_COLUMNS,
    ),
    Kind.LOCATION: (
        Column("location_id", _G, required=True),
        Column("told_at", _T, required=True),
        *LOCATION_COLUMNS,
    ),
}
"""What is more than one log says by itself. A flag of feedback has its first and last time."""


def own_columns(kind: Kind) -> tuple[Column, ...]:
    """What a record of this kind holds besides what all kinds share."""
    return _COMPUTED_COLUMNS.get(kind) or RECORD_COLUMNS[kind]


TIME_COLUMN: dict[Kind, str] = {
    Kind.ACTIVITY: "timestamp",
    Kind.EVENT: "timestamp",
    Kind.ERROR: "timestamp",
    Kind.CRASH: "timestamp",
    Kind.JOB: "start",
    Kind.SESSION: "start",
    Kind.DEVICE: "seen_at",
    Kind.TAG: "set_at",
    Kind.TOKEN: "registered_at",
    Kind.FEEDBACK: "occurred_at",
    Kind.INFO: "told_at",
    Kind.LOCATION: "told_at",
}
"""The column that says when a record happened."""


def new_guid() -> str:
    """A random id, 32 lower-case hexadecimal digits."""
    return uuid.uuid4().hex


def content_id(canonical_json: bytes) -> str:
    """The id of an info or location: equal content has equal id, on every machine.

    Args:
        canonical_json: The content as compact JSON with sorted keys.

    Returns:
        32 lower-case hexadecimal digits: the first 128 bits of the content's SHA-256.
    """
    return hashlib.sha256(canonical_json).hexdigest()[:32]


def derive_guid(*parts: str) -> str:
    """An id that depends on its parts alone, 32 lower-case hexadecimal digits."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def derive_session_id(device_id: str, start: datetime) -> str:
    """The id of a session that the service opens, by the time of the activity that opens it."""
    return derive_guid("session", device_id, start.isoformat())


def record_id_prefixes(kind: Kind, sources: Iterable[tuple[str, str]]) -> list[str]:
    """Return the first 24 hexadecimal digits of the ids of the records of batches or messages.

    A record's id is these and then its place among the records of its kind in the batch or
    message, as 8 decimal digits. So it stays the same however often the record is delivered.

    Args:
        kind: The kind of the records.
        sources: The device of each batch or tracking message, 32 hexadecimal digits, and what its
            sender calls it.
    """
    head = f"record\0{kind.value}\0"
    sha256 = hashlib.sha256
    return [
        sha256(f"{head}{device_id}\0{source}".encode()).hexdigest()[:24]
        for device_id, source in sources
    ]


def text_tag_type(value: str) -> str:
    """The type of a tag whose value came as a text: `date` if it is a day of the calendar."""
    if _DATE.fullmatch(value) is None:
        return "string"
    try:
        date.fromisoformat(value)
    except ValueError:
        return "string"
    return "date"
