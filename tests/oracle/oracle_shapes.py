"""Writes the oracle's records as each format must hold them."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from oracle_records import Record, Request, tag_text

from engagement.model.exports import ExportFormat, ExportType
from engagement.model.records import NIL_GUID

INFO_FIELDS = (
    *("firmwareName", "firmwareVersion", "androidAPILevel", "phoneModel", "phoneManufacturer"),
    *("screenWidth", "screenHeight", "applicationVersionCode", "applicationVersionName"),
    *("carrierName", "carrierCountry", "networkType", "networkSubtype", "locale"),
    *("timeZoneOffset", "serviceVersion"),
)
LOCATION_FIELDS = ("countrycode", "region", "locality")
_IN_SESSION = ("deviceId", "name", "timestamp", "infoId", "sessionId", "locationId")
OWN_FIELDS: dict[ExportType, tuple[str, ...]] = {
    ExportType.ACTIVITY: (
        *("sessionId", "deviceId", "name", "timestamp", "end"),
        *("infoId", "locationId", "extras"),
    ),
    ExportType.EVENT: (*_IN_SESSION, "jobId", "extras"),
    ExportType.ERROR: (*_IN_SESSION, "jobId", "extras"),
    ExportType.CRASH: (*_IN_SESSION, "stack"),
    ExportType.JOB: ("jobId", "name", "deviceId", "start", "end", "infoId", "extras"),
    ExportType.SESSION: ("sessionId", "deviceId", "start", "end", "infoId", "locationId"),
    ExportType.DEVICE: (
        *("deviceId", "userId", "appInfo", *INFO_FIELDS, *LOCATION_FIELDS),
        *("firstSeen", "lastSeen", "lastInfo", "lastLocation", "nativePushEnabled"),
    ),
    ExportType.TAG: ("deviceId", "userId", "key", "value", "type"),
    ExportType.TOKEN: ("deviceId", "token", "type"),
    ExportType.PUSH: ("deviceId", "userId", "campaignType", "campaignId", "status"),
    ExportType.INFO: ("infoId", *INFO_FIELDS),
    ExportType.LOCATION: ("locationId", *LOCATION_FIELDS),
}
DEVICE_TIMES = ("firstSeen", "lastSeen", "lastInfo", "lastLocation")
TEXTS = {
    *("name", "stack", "userId", "key", "value", "type", "token", "campaignType"),
    *(set(INFO_FIELDS) | set(LOCATION_FIELDS)),
}
"""Fields that a spreadsheet could run; numbers among them are no texts."""
_NIL = {"sessionId", "infoId", "locationId"}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def fields_of(request: Request) -> tuple[str, ...]:
    """The fields of an export in their order."""
    export_type = ExportType(request["type"])
    fields = list(OWN_FIELDS[export_type])
    if request.get("user") and "userId" not in fields:
        fields.append("userId")
    if request.get("device_timestamp"):
        fields.append("deviceTimestamp")
    if request.get("info"):
        fields += INFO_FIELDS
        fields += LOCATION_FIELDS if export_type is not ExportType.JOB else ()
    if request.get("record_id"):
        fields += ["recordId", "receivedAt"]
    columns = request.get("columns")
    return tuple(name for name in fields if not columns or name in columns)


def is_refused(request: Request) -> bool:
    """Whether a CSV of its one column would have lines without anything, which readers skip."""
    is_csv, is_session = request["format"] == ExportFormat.CSV, request["type"] == "Session"
    return is_csv and not is_session and fields_of(request) == ("sessionId",)


def written(record: Record, request: Request) -> Record:
    """A record as its format holds it, without the fields that are not there."""
    export_type, export_format = ExportType(request["type"]), ExportFormat(request["format"])
    is_json = export_format in {ExportFormat.JSON, ExportFormat.NDJSON}
    made: Record = {}
    for name in fields_of(request):
        value = record.get(name)
        if value is None and is_json and name in _NIL and export_type is not ExportType.SESSION:
            value = NIL_GUID
        if value is not None:
            made[name] = _written(name, value, request, is_json=is_json)
    if export_type is ExportType.TAG and export_format is ExportFormat.JSON:
        made.pop("type")  # the value tells it
    return made


def _written(name: str, value: Any, request: Request, *, is_json: bool) -> Any:
    if isinstance(value, datetime):
        if name in DEVICE_TIMES and in_milliseconds(request):
            return (value - _EPOCH) // timedelta(milliseconds=1)
        return value.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
    if name == "value" and not is_json:
        value = tag_text(value)
    if request.get("guard") and name in TEXTS and isinstance(value, str) and value[:1] in "=+-@":
        return f"'{value}"
    return value


def in_milliseconds(request: Request) -> bool:
    """Whether the times of devices are milliseconds since 1970."""
    return bool(request["format"] == ExportFormat.JSON or request.get("published"))


def as_text(record: Record) -> str:
    """A record as text, to be compared and counted."""
    return json.dumps(record, sort_keys=True, ensure_ascii=False)
