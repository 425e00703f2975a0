"""Says what each export type delivers: fields, their order, how JSON nests them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from engagement.exceptions import InvalidExportError
from engagement.model.exports import ExportType
from engagement.model.records import (
    INFO_COLUMNS,
    LOCATION_COLUMNS,
    ColumnType,
    Kind,
    own_columns,
)
from engagement.model.text import to_camel_case


class FieldType(StrEnum):
    """How a field's value is written."""

    GUID = "guid"
    STRING = "string"
    TIMESTAMP = "timestamp"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    JSON = "json"
    SCALAR = "scalar"
    STATUS = "status"


@dataclass(frozen=True, slots=True)
class Field:
    """One field of an exported record."""

    name: str
    """Its name in every format."""
    column: str
    """The column of the rows that holds it."""
    type: FieldType
    """How its value is written."""
    required: bool = False
    """Whether JSON always has it; an id that a record lacks is then the nil GUID."""
    parent: str | None = None
    """The object that JSON nests it in."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that its value is computed from."""
        is_scalar = self.type is FieldType.SCALAR
        return (self.column, f"{self.column}_type") if is_scalar else (self.column,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What an export type delivers."""

    fields: tuple[Field, ...]
    """Fields of a record, in order; CSV and Parquet have them flat."""
    group: tuple[str, ...] = ()
    """JsonBlob: the fields that name the object which a run of records is gathered in."""
    gathered: str | None = None
    """JsonBlob: the name under which that object holds its records."""


_G, _S, _T = FieldType.GUID, FieldType.STRING, FieldType.TIMESTAMP
_I, _B, _J = FieldType.INTEGER, FieldType.BOOLEAN, FieldType.JSON

_DEVICE_ID = Field("deviceId", "device_id", _G, required=True)
_USER_ID = Field("userId", "user_id", _S)
_NAME = Field("name", "name", _S, required=True)
_TIMESTAMP = Field("timestamp", "timestamp", _T, required=True)
_END = Field("end", "end", _T)
_SESSION_ID = Field("sessionId", "session_id", _G, required=True)
_INFO_ID = Field("infoId", "info_id", _G, required=True)
_LOCATION_ID = Field("locationId", "location_id", _G, required=True)
_JOB_ID = Field("jobId", "job_id", _G)
_EXTRAS = Field("extras", "extras", _J)
_DEVICE_TIMESTAMP = Field("deviceTimestamp", "device_timestamp", _T, required=True)
_RECORD_ID = Field("recordId", "record_id", _G)
_RECEIVED_AT = Field("receivedAt", "received_at", _T, required=True)

_IN_SESSION = (_NAME, _TIMESTAMP, _INFO_ID, _SESSION_ID, _LOCATION_ID, _JOB_ID, _EXTRAS)

_CONTRACT_SPELLINGS = {"android_api_level": "androidAPILevel", "country_code": "countrycode"}
_FIELD_TYPES = {ColumnType.STRING: _S, ColumnType.INTEGER: _I}


def _contract_name(column: str) -> str:
    return _CONTRACT_SPELLINGS.get(column, to_camel_case(column))


_INFO_FIELDS = tuple(
    Field(_contract_name(column.name), column.name, _FIELD_TYPES[column.type], parent="info")
    for column in INFO_COLUMNS
)
_LOCATION_FIELDS = tuple(
    Field(_contract_name(column.name), column.name, _FIELD_TYPES[column.type], parent="location")
    for column in LOCATION_COLUMNS
)
CONTENT_PARENTS = {"info": _INFO_ID.column, "location": _LOCATION_ID.column}
"""The objects that JSON nests what a record names by id in, each with the column of that id."""
_DEVICE_TIMES = {
    "firstSeen": "first_seen_at",
    "lastSeen": "seen_at",
    "lastInfo": "info_at",
    "lastLocation": "location_at",
}
_EPOCH_TIMES = {
    "first_seen_at": "first_seen",
    "seen_at": "last_seen",
    "info_at": "last_info",
    "location_at": "last_location",
}
"""The columns of a device's times in milliseconds since 1970."""

_DEVICE_FIELDS = (
    _DEVICE_ID,
    _USER_ID,
    Field("appInfo", "app_info", _J),
    *_INFO_FIELDS,
    *_LOCATION_FIELDS,
    *(Field(name, column, _T, parent="meta") for name, column in _DEVICE_TIMES.items()),
    Field("nativePushEnabled", "native_push_enabled", _B, parent="meta"),
)

_SHAPES: dict[ExportType, Shape] = {
    ExportType.ACTIVITY: Shape(
        fields=(
            _SESSION_ID,
            _DEVICE_ID,
            _NAME,
            _TIMESTAMP,
            _END,
            _INFO_ID,
            _LOCATION_ID,
            _EXTRAS,
        ),
        group=("sessionId", "deviceId"),
        gathered="activities",
    ),
    ExportType.EVENT: Shape(
        fields=(_DEVICE_ID, *_IN_SESSION), group=("deviceId",), gathered="events"
    ),
    ExportType.ERROR: Shape(
        fields=(_DEVICE_ID, *_IN_SESSION), group=("deviceId",), gathered="errors"
    ),
    ExportType.CRASH: Shape(
        fields=(
            _DEVICE_ID,
            _NAME,
            _TIMESTAMP,
            _INFO_ID,
            _SESSION_ID,
            _LOCATION_ID,
            Field("stack", "stack", _S, required=True),
        ),
        group=("deviceId",),
        gathered="crashes",
    ),
    ExportType.JOB: Shape(
        fields=(
            Field("jobId", "job_id", _G, required=True),
            _NAME,
            _DEVICE_ID,
            Field("start", "start", _T, required=True),
            _END,
            _INFO_ID,
            _EXTRAS,
        )
    ),
    ExportType.SESSION: Shape(
        fields=(
            _SESSION_ID,
            _DEVICE_ID,
            Field("start", "start", _T, required=True),
            Field("end", "end", _T, required=True),
            Field("infoId", "info_id", _G),
            Field("locationId", "location_id", _G),
        )
    ),
    ExportType.DEVICE: Shape(fields=_DEVICE_FIELDS),
    ExportType.TAG: Shape(
        fields=(
            _DEVICE_ID,
            _USER_ID,
            Field("key", "key", _S, required=True),
            Field("value", "value", FieldType.SCALAR, required=True),
            Field("type", "value_type", _S, required=True),
        ),
        group=("deviceId", "userId"),
        gathered="tags",
    ),
    ExportType.TOKEN: Shape(
        fields=(
            _DEVICE_ID,
            Field("token", "token", _S, required=True),
            Field("type", "type", _S, required=True),
        )
    ),
    ExportType.PUSH: Shape(
        fields=(
            _DEVICE_ID,
            _USER_ID,
            Field("campaignType", "campaign_type", _S, required=True),
            Field("campaignId", "campaign_id", _I, required=True),
            Field("status", "status", FieldType.STATUS, required=True),
        )
    ),
    ExportType.INFO: Shape(
        fields=(_INFO_ID, *(replace(field, parent=None) for field in _INFO_FIELDS))
    ),
    ExportType.LOCATION: Shape(
        fields=(_LOCATION_ID, *(replace(field, parent=None) for field in _LOCATION_FIELDS))
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Additions:
    """What is delivered beside a type's own fields."""

    user_id: bool = False
    """The user, where it is known."""
    device_timestamp: bool = False
    """The time by the device's own clock."""
    info: bool = False
    """The information and the location that the record names."""
    record_id: bool = False
    """The record's id, and when it was received."""


NOTHING_ADDED = Additions()


def shape_of(
    export_type: ExportType, additions: Additions = NOTHING_ADDED, *, epoch_times: bool = False
) -> Shape:
    """What an export delivers: the type's own fields, then what is added.

    Args:
        export_type: The type.
        additions: What is added.
        epoch_times: Whether a device's times are milliseconds since 1970, as the published
            contract has them.
    """
    shape = _SHAPES[export_type]
    fields = list(shape.fields)
    if epoch_times:
        fields = [_epoch_field(field) for field in fields]
    if additions.user_id and _USER_ID not in fields:
        fields.append(_USER_ID)
    if additions.device_timestamp:
        fields.append(_DEVICE_TIMESTAMP)
    if additions.info:
        names = {field.name for field in fields}
        fields += _INFO_FIELDS if _INFO_ID.name in names else ()
        fields += _LOCATION_FIELDS if _LOCATION_ID.name in names else ()
    if additions.record_id:
        fields += (_RECORD_ID, _RECEIVED_AT)
    return replace(shape, fields=tuple(fields))


def _epoch_field(field: Field) -> Field:
    column = _EPOCH_TIMES.get(field.column)
    return field if column is None else replace(field, column=column, type=_I)


def narrow_shape(shape: Shape, columns: Sequence[str]) -> Shape:
    """The shape with only the named fields, in its own order.

    Raises:
        InvalidExportError: A name is not one of its fields; names those that are.
    """
    names = [field.name for field in shape.fields]
    unknown = [name for name in columns if name not in names]
    if unknown:
        raise InvalidExportError(f"Columns must be of {', '.join(names)}, got {unknown[0]!r:.100}.")
    return replace(shape, fields=tuple(field for field in shape.fields if field.name in columns))


def check_no_empty_line(shape: Shape, kind: Kind) -> None:
    """Return only if no row of a CSV is an empty line, which many readers would skip.

    Raises:
        InvalidExportError: There is one column alone, and a row may lack its value.
    """
    always = {"device_id", *(column.name for column in own_columns(kind) if column.required)}
    first, *more = shape.fields
    is_there = first.column in always or (first.required and first.type is not FieldType.GUID)
    if not more and not is_there:
        raise InvalidExportError(
            f"A CsvBlob of one column must have a value in every row, which {first.name} may lack; "
            "add deviceId."
        )
