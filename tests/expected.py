"""This module says in plain Python what exports of given batches must deliver.

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
        case _:
            records = _history(batches, export_type)
    always = {ExportType.DEVICE, ExportType.TAG, ExportType.PUSH}
    nil = dict.fromkeys(_REQUIRED_IDS.get(export_type, ()), NIL) if is_json else {}
    hidden = set() if has_user or export_type in always else {"userId"}
    return [
        nil | {name: one for name, one in record.items() if one is not None and name not in hidden}
        for record in records
    ]


def content_id(content: Record | None) -> str | None:
    """The id of an info or a location: the start of the digest of its canonical JSON."""
    if not content:
        return None
    told = {_COLUMNS[name]: value for name, value in content.items()}
    text = json.dumps(told, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
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
        record["start" if export_type is ExportType.JOB else "timestamp"] = log["timestamp"]
        if export_type is ExportType.JOB:
            record.pop("locationId")
        records.append(record)
    return records


def _sessions(batches: list[Batch]) -> list[Record]:
    """One for each run of days on which an id was active, of two days at most."""
    days: dict[tuple[str, str], dict[Any, list[tuple[datetime, datetime, Record]]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for batch, log in _logs(batches, "activity"):
        start, end = instant(log["timestamp"]), instant(log.get("end") or log["timestamp"])
        key = (batch["deviceId"], log["sessionId"])
        days[key][start.date()].append((start, end, _shared(batch)))
    records = []
    for (device_id, session_id), by_day in days.items():
        for day, told in by_day.items():
            if day - timedelta(days=1) in by_day:
                continue
            ends = [*told, *by_day.get(day + timedelta(days=1), ())]
            known = {
                name: max(((end, one[name]) for _, end, one in told if one[name]), default=None)
                for name in ("userId", "infoId", "locationId")
            }
            records.append(
                {
                    "sessionId": session_id,
                    "deviceId": device_id,
                    "start": shown(min(start for start, _, _ in told)),
                    "end": shown(max(end for _, end, _ in ends)),
                    **{name: one and one[1] for name, one in known.items()},
                }
            )
    return records


def _devices(batches: list[Batch]) -> list[Record]:
    tags = _tags(batches)
    pushable = {record["deviceId"] for record in _tokens(batches)}
    seen: dict[str, list[tuple[datetime, datetime, Batch]]] = defaultdict(list)
    for batch in batches:
        times = [instant(log[name]) for log in batch["logs"] for name in _TIMES if log.get(name)]
        if times:
            seen[batch["deviceId"]].append((min(times), max(times), batch))
    records = []
    for device_id, told in seen.items():
        of_device = {one["key"]: one["value"] for one in tags if one["deviceId"] == device_id}
        record = {
            "deviceId": device_id,
            "firstSeen": _milliseconds(min(first for first, _, _ in told)),
            "lastSeen": _milliseconds(max(last for _, last, _ in told)),
            "nativePushEnabled": device_id in pushable,
            "appInfo": of_device or None,
        }
        users = [(last, batch["userId"]) for _, last, batch in told if batch.get("userId")]
        record["userId"] = max(users)[1] if users else None
        for name, when in (("info", "lastInfo"), ("location", "lastLocation")):
            known = [
                (last, content_id(batch[name]), batch[name])
                for _, last, batch in told
                if batch.get(name)
            ]
            if known:
                last, _, content = max(known, key=lambda one: one[:2])
                record |= content | {when: _milliseconds(last)}
        if "countryCode" in record:
            record["countrycode"] = record.pop("countryCode")
        records.append(record)
    return records


_TIMES = ("timestamp", "end")


def _milliseconds(when: datetime) -> int:
    return (when - EPOCH) // timedelta(milliseconds=1)


def _latest(batches: list[Batch], kind: str, keys: Any) -> dict[Any, tuple[Any, ...]]:
    """For each key the value that was told last, by time, then by arrival."""
    latest: dict[Any, tuple[Any, ...]] = {}
    for place, (batch, log) in enumerate(_logs(batches, kind)):
        for key, value in keys(batch, log):
            told = (instant(log["timestamp"]), place, value, batch.get("userId"))
            latest[key] = max(latest.get(key, told), told, key=lambda one: one[:2])
    return latest


def _tags(batches: list[Batch]) -> list[Record]:
    latest = _latest(
        batches,
        "tags",
        lambda batch, log: [((batch["deviceId"], key), one) for key, one in log["tags"].items()],
    )
    users: dict[str, Any] = {}
    for (device_id, _), (*_, user) in sorted(latest.items(), key=lambda one: one[1][:2]):
        users[device_id] = user or users.get(device_id)
    return [
        {
            "deviceId": device_id,
            "userId": users[device_id],
            "key": key,
            "value": _tag_text(value),
            "type": _tag_type(value),
        }
        for (device_id, key), (_, _, value, _) in latest.items()
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
    latest = _latest(batches, "token", lambda batch, log: [(batch["deviceId"], log)])
    return [
        {"deviceId": device, "userId": user, "token": log["token"], "type": log["tokenType"]}
        for device, (_, _, log, user) in latest.items()
        if log.get("valid", True)
    ]


def _pushes(batches: list[Batch]) -> list[Record]:
    first: dict[tuple[str, int, str], tuple[Any, ...]] = {}
    for place, (batch, log) in enumerate(_logs(batches, "feedback")):
        if log["campaignType"] == "Poll":
            told = (instant(log["timestamp"]), place, batch.get("userId"))
            key = (batch["deviceId"], log["campaignId"], log["status"])
            first[key] = min(first.get(key, told), told, key=lambda one: one[:2])
    campaigns: dict[tuple[str, int], list[tuple[Any, ...]]] = defaultdict(list)
    for (device_id, campaign, status), told in first.items():
        campaigns[device_id, campaign].append((*told, status))
    records = []
    for (device_id, campaign), told_of in campaigns.items():
        users = [user for _, _, user, _ in sorted(told_of, key=lambda one: one[:2]) if user]
        statuses = {status for *_, status in told_of}
        records.append(
            {
                "deviceId": device_id,
                "userId": users[-1] if users else None,
                "campaignType": "Poll",
                "campaignId": campaign,
                "status": [one for one in FEEDBACK_STATUSES if one in statuses],
            }
        )
    return records
