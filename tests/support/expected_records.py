"""Says in plain Python what exports of given batches must deliver.

It shares nothing with the code under test but names of types: no engine, no folds, no SQL.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from engagement.model.exports import FEEDBACK_STATUSES, ExportType

Record = dict[str, Any]
Batch = dict[str, Any]

NIL = "0" * 32
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_REQUIRED_IDS = {
    ExportType.ACTIVITY: ("sessionId", "infoId", "locationId"),
    ExportType.EVENT: ("sessionId", "infoId", "locationId"),
    ExportType.ERROR: ("sessionId", "infoId", "locationId"),
    ExportType.CRASH: ("sessionId", "infoId", "locationId"),
    ExportType.JOB: ("infoId",),
}
_COLUMNS = {
    "phoneModel": "phone_model",
    "screenWidth": "screen_width",
    "countryCode": "country_code",
}


def expected_records(
    batches: list[Batch], export_type: ExportType, *, is_json: bool, has_user: bool
) -> list[Record]:
    """The records of an export of everything, in no order, without fields that are unknown.

    Args:
        batches: As they were sent, in the order in which they were accepted.
        export_type: What is exported; Push: of polls.
        is_json: Whether ids that the schema requires are nil where a record lacks them.
        has_user: Whether `userId` was asked for.
    """
    match export_type:
        case ExportType.DEVICE:
            records = _devices(batches)
        case ExportType.TAG:
            records = _tags(batches)
        case ExportType.TOKEN:
            records = _tokens(batches)
        case ExportType.PUSH:
            records = _pushes(batches)
        case ExportType.SESSION:
            records = _sessions(batches)
        case ExportType.JOB:
            records = _jobs(batches)
        case ExportType.INFO:
            records = _contents(batches, "info", "infoId")
        case ExportType.LOCATION:
            records = _contents(batches, "location", "locationId")
        case _:
            records = _history(batches, export_type)
    if export_type in {ExportType.TAG, ExportType.TOKEN, ExportType.PUSH}:
        users = _users(batches)
        records = [record | {"userId": users.get(record["deviceId"])} for record in records]
    always = {ExportType.DEVICE, ExportType.TAG, ExportType.PUSH}
    nil = dict.fromkeys(_REQUIRED_IDS.get(export_type, ()), NIL) if is_json else {}
    hidden = set() if has_user or export_type in always else {"userId"}
    return [
        nil
        | {name: item for name, item in record.items() if item is not None and name not in hidden}
        for record in records
    ]


def content_id(content: Record | None) -> str | None:
    """The id of an info or a location: the start of the digest of its canonical JSON."""
    if not content:
        return None
    columns = {_COLUMNS[name]: value for name, value in content.items()}
    text = json.dumps(columns, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def instant(text: str) -> datetime:
    """The time that a device wrote."""
    return datetime.fromisoformat(text)


def shown(when: datetime) -> str:
    """A time as an export writes it."""
    return when.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def _logs(batches: list[Batch], kind: str) -> Iterable[tuple[Batch, Record]]:
    return ((batch, log) for batch in batches for log in batch["logs"] if log["type"] == kind)


def _shared(batch: Batch) -> Record:
    return {
        "deviceId": batch["deviceId"],
        "userId": batch.get("userId"),
        "infoId": content_id(batch.get("info")),
        "locationId": content_id(batch.get("location")),
    }


def _extras(log: Record) -> Record | None:
    """A nested value becomes the text of its JSON."""
    if log.get("extras") is None:
        return None
    return {
        key: json.dumps(value, separators=(",", ":"), ensure_ascii=False)
        if isinstance(value, dict | list)
        else value
        for key, value in log["extras"].items()
    }


def _history(batches: list[Batch], export_type: ExportType) -> list[Record]:
    records = []
    for batch, log in _logs(batches, export_type.value.lower()):
        record = _shared(batch) | {"name": log["name"], "extras": _extras(log)}
        record |= {name: log.get(name) for name in ("sessionId", "jobId", "end", "stack")}
        records.append(record | {"timestamp": log["timestamp"]})
    return records


def _jobs(batches: list[Batch]) -> list[Record]:
    """One for each id of a device: first start, last end, the rest as it was told last."""
    jobs: dict[tuple[str, str], Record] = {}
    for batch, log in _logs(batches, "job"):
        record = _shared(batch) | {"name": log["name"], "extras": _extras(log)}
        record.pop("locationId")
        record |= {"jobId": log["jobId"], "start": log["timestamp"], "end": log.get("end")}
        job = jobs.setdefault((batch["deviceId"], log["jobId"]), record)
        start, ends = min(job["start"], record["start"]), [job["end"], record["end"]]
        job |= {name: value for name, value in record.items() if value is not None}
        job |= {"start": start, "end": max((end for end in ends if end), default=None)}
    return list(jobs.values())


def _sessions(batches: list[Batch]) -> list[Record]:
    """One for each id of a device, however many days it is active."""
    reports: dict[tuple[str, str], list[tuple[datetime, datetime, Record]]] = defaultdict(list)
    for batch, log in _logs(batches, "activity"):
        start, end = instant(log["timestamp"]), instant(log.get("end") or log["timestamp"])
        reports[batch["deviceId"], log["sessionId"]].append((start, end, _shared(batch)))
    return [
        {
            "sessionId": session_id,
            "deviceId": device_id,
            "start": shown(min(start for start, _, _ in of_session)),
            "end": shown(max(end for _, end, _ in of_session)),
            **{
                name: max(
                    ((end, shared[name]) for _, end, shared in of_session if shared[name]),
                    default=(None, None),
                )[1]
                for name in ("userId", "infoId", "locationId")
            },
        }
        for (device_id, session_id), of_session in reports.items()
    ]


def _contents(batches: list[Batch], name: str, id_name: str) -> list[Record]:
    """Each different one that was told, once."""
    contents = {content_id(batch.get(name)): batch.get(name) for batch in batches}
    records = [{id_name: key, **(content or {})} for key, content in contents.items() if key]
    for record in records:
        if "countryCode" in record:
            record["countrycode"] = record.pop("countryCode")
    return records


def _users(batches: list[Batch]) -> dict[str, str | None]:
    """Each device's user, as Device names it."""
    return {record["deviceId"]: record["userId"] for record in _devices(batches)}


def _devices(batches: list[Batch]) -> list[Record]:
    tags = _tags(batches)
    pushable = {record["deviceId"] for record in _tokens(batches)}
    seen: dict[str, list[tuple[datetime, datetime, Batch]]] = defaultdict(list)
    for batch in batches:
        times = [instant(log[name]) for log in batch["logs"] for name in _TIMES if log.get(name)]
        if times:
            seen[batch["deviceId"]].append((min(times), max(times), batch))
    records = []
    for device_id, locations in seen.items():
        of_device = {tag["key"]: tag["value"] for tag in tags if tag["deviceId"] == device_id}
        record = {
            "deviceId": device_id,
            "firstSeen": _milliseconds(min(first for first, _, _ in locations)),
            "lastSeen": _milliseconds(max(last for _, last, _ in locations)),
            "nativePushEnabled": device_id in pushable,
            "appInfo": of_device or None,
        }
        users = [(last, batch["userId"]) for _, last, batch in locations if batch.get("userId")]
        record["userId"] = max(users)[1] if users else None
        for name, when in (("info", "lastInfo"), ("location", "lastLocation")):
            known = [
                (last, content_id(batch[name]), batch[name])
                for _, last, batch in locations
                if batch.get(name)
            ]
            if known:
                last, _, content = max(known, key=lambda item: item[:2])
                record |= content | {when: _milliseconds(last)}
        if "countryCode" in record:
            record["countrycode"] = record.pop("countryCode")
        records.append(record)
    return records


_TIMES = ("timestamp", "end")


def _milliseconds(when: datetime) -> int:
    return (when - EPOCH) // timedelta(milliseconds=1)


def _tags(batches: list[Batch]) -> list[Record]:
    latest: dict[tuple[str, str], tuple[datetime, int, Any]] = {}
    for place, (batch, log) in enumerate(_logs(batches, "tags")):
        for key, value in log["tags"].items():
            report = (instant(log["timestamp"]), place, value)
            tag = (batch["deviceId"], key)
            latest[tag] = max(latest.get(tag, report), report, key=lambda item: item[:2])
    return [
        {"deviceId": device_id, "key": key, "value": _tag_text(value), "type": _tag_type(value)}
        for (device_id, key), (_, _, value) in latest.items()
        if value is not None
    ]


def _tag_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _tag_type(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    try:
        is_date = datetime.strptime(value, "%Y-%m-%d").strftime("%Y-%m-%d") == value  # noqa: DTZ007 - a day has no zone
    except ValueError:
        is_date = False
    return "date" if is_date else "string"


def _tokens(batches: list[Batch]) -> list[Record]:
    """Of each device and type the one registered last, if it still reaches this device."""
    registered: dict[tuple[str, str, str], tuple[datetime, int]] = {}
    taken_back: dict[tuple[str, str, str], tuple[datetime, int]] = {}
    for place, (batch, log) in enumerate(_logs(batches, "token")):
        changes = registered if log.get("valid", True) else taken_back
        when = (instant(log["timestamp"]), place)
        key = (batch["deviceId"], log["tokenType"], log["token"])
        changes[key] = max(changes.get(key, when), when)
    records = []
    for (device_id, kind, token), when in registered.items():
        of_device = [at for key, at in registered.items() if key[:2] == (device_id, kind)]
        of_token = [at for key, at in registered.items() if key[1:] == (kind, token)]
        is_taken_back = taken_back.get((device_id, kind, token), when) > when
        if when == max(of_device) == max(of_token) and not is_taken_back:
            records.append({"deviceId": device_id, "token": token, "type": kind})
    return records


def _pushes(batches: list[Batch]) -> list[Record]:
    statuses: dict[tuple[str, int], set[str]] = defaultdict(set)
    for batch, log in _logs(batches, "feedback"):
        if log["campaignType"] == "Poll":
            statuses[batch["deviceId"], log["campaignId"]].add(log["status"])
    return [
        {
            "deviceId": device_id,
            "campaignType": "Poll",
            "campaignId": campaign,
            "status": [flag for flag in FEEDBACK_STATUSES if flag in flags],
        }
        for (device_id, campaign), flags in statuses.items()
    ]
