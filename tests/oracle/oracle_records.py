"""Makes, of what a model was told, the whole records of each export type.

A record has every field that there may be, `None` where it is not known; times are instants.
"""

import json
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from oracle_model import Batch, Model, Record, Row, content_id

from engagement.model.exports import FEEDBACK_STATUSES, ExportType
from engagement.model.records import Kind, derive_guid, record_id_prefixes, text_tag_type

Request = dict[str, Any]
"""An export as histories ask for it; instants are texts."""


def expected_records(model: Model, request: Request) -> list[Record]:
    """The records that an export must hold, in no order."""
    export_type = ExportType(request["type"])
    as_of = _instant(request.get("as_of"))
    match export_type:
        case ExportType.DEVICE:
            return _devices(model, as_of)
        case ExportType.TAG:
            return _tags(model, as_of)
        case ExportType.TOKEN:
            return _tokens(model, as_of)
        case ExportType.PUSH:
            return _pushes(model, request, as_of)
        case ExportType.INFO | ExportType.LOCATION:
            return _contents(model, export_type, as_of)
        case ExportType.SESSION:
            records = _sessions(model)
        case ExportType.JOB:
            records = _jobs(model)
        case _:
            records = _plain(model, export_type.value.lower())
    return _asked(model, records, request)


def _instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _asked(model: Model, records: list[Record], request: Request) -> list[Record]:
    """The records of history that lie in the asked range, with their information and location."""
    start, end = (datetime.fromisoformat(text) for text in request["range"])
    received = request.get("axis") == "received"
    names = request.get("names")
    infos, locations = contents(model, ExportType.INFO), contents(model, ExportType.LOCATION)
    return [
        infos.get(record["infoId"], {}) | locations.get(record.get("locationId"), {}) | record
        for record in records
        if start <= (record["receivedAt"] if received else record["when"]) < end
        if not names or record["name"] in names
    ]


def contents(model: Model, export_type: ExportType) -> dict[str | None, Record]:
    """Every information or location that was ever told and not erased, by its id."""
    found: dict[str | None, Record] = {}
    for batch in model.batches:
        content = batch.info if export_type is ExportType.INFO else batch.location
        if content:
            found[content_id(content)] = _as_exported(content)
    return found


def _as_exported(content: Record) -> Record:
    return {
        "countrycode" if name == "countryCode" else name: value for name, value in content.items()
    }


def _contents(model: Model, export_type: ExportType, as_of: datetime | None) -> list[Record]:
    """One record an id. When it came first, and if it is there, may vary after history went."""
    own_id = "infoId" if export_type is ExportType.INFO else "locationId"
    kind = export_type.value.lower()
    records = []
    for name, content in contents(model, export_type).items():
        there, may_be = (
            [at for at, _ in ledger[str(name)] if as_of is None or at <= as_of]
            for ledger in (model.receipts, model.doubtful)
        )
        if not there and not may_be:
            continue
        first = min(there or may_be)
        record = content | {own_id: name, "receivedAt": first, "maybe": not there}
        record["receipts"] = {first, *(at for at in may_be if not there or at < first)}
        records.append(record | {"recordId": derive_guid("record", kind, str(name))})
    return records


def _plain(model: Model, kind: str) -> list[Record]:
    return [
        {
            "deviceId": row["device"],
            "userId": row["user"],
            "name": row["name"],
            "when": row["at"],
            "timestamp": row["at"],
            "end": row["end"],
            "sessionId": row["sessionId"],
            "jobId": row["job"],
            "infoId": row["infoId"],
            "locationId": row["locationId"],
            "extras": row["extras"],
            "stack": row["stack"],
            "deviceTimestamp": row["own"],
            "receivedAt": row["received"],
            "recordId": record_id_prefixes(Kind(kind), [(row["device"], row["source"])])[0]
            + f"{row['place']:08d}",
        }
        for row in model.history(kind)
    ]


def _grouped(rows: Iterable[Row], *names: str) -> dict[tuple[Any, ...], list[Row]]:
    groups: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in rows:
        groups[tuple(row[name] for name in names)].append(row)
    return groups


def _last_by_time(rows: list[Row], name: str) -> Any:
    """What was told by the row that ended last, of equal ones the largest; None if none told."""
    values = [(row["end"] or row["at"], row[name]) for row in rows if row[name] is not None]
    return max(values)[1] if values else None


def _last_by_arrival(rows: list[Row], name: str) -> Any:
    values = [(row["arrival"], row[name]) for row in rows if row[name] is not None]
    return max(values, key=lambda pair: pair[0])[1] if values else None


def _sessions(model: Model) -> list[Record]:
    groups = _grouped(model.history("activity"), "device", "sessionId")
    return [
        {
            "sessionId": session,
            "deviceId": device,
            "when": min(row["at"] for row in rows),
            "start": min(row["at"] for row in rows),
            "end": max(row["end"] or row["at"] for row in rows),
            "userId": _last_by_time(rows, "user"),
            "infoId": _last_by_time(rows, "infoId"),
            "locationId": _last_by_time(rows, "locationId"),
            "receivedAt": max(row["received"] for row in rows),
            "recordId": derive_guid("record", "session", device, session),
        }
        for (device, session), rows in groups.items()
        if session is not None
    ]


def _jobs(model: Model) -> list[Record]:
    return [
        {
            "jobId": job,
            "deviceId": device,
            "when": min(row["at"] for row in rows),
            "start": min(row["at"] for row in rows),
            "end": max((row["end"] for row in rows if row["end"]), default=None),
            "name": _last_by_arrival(rows, "name"),
            "extras": _last_by_arrival(rows, "extras"),
            "userId": _last_by_arrival(rows, "user"),
            "infoId": _last_by_arrival(rows, "infoId"),
            "deviceTimestamp": min((row["at"], row["own"]) for row in rows)[1],
            "receivedAt": max(row["received"] for row in rows),
            "recordId": derive_guid("record", "job", device, job),
        }
        for (device, job), rows in _grouped(model.history("job"), "device", "job").items()
    ]


def _devices(model: Model, as_of: datetime | None) -> list[Record]:
    app_infos: dict[str, Record] = defaultdict(dict)
    for tag in _tags(model, as_of):
        app_infos[tag["deviceId"]][tag["key"]] = tag_text(tag["value"])
    pushable = {token["deviceId"] for token in _tokens(model, as_of)}
    records = []
    for device, batches in _told_by(model, as_of).items():
        record: Record = {
            "deviceId": device,
            "userId": _user(batches),
            "appInfo": app_infos.get(device),
            "firstSeen": min(batch.first for batch in batches if batch.first),
            "lastSeen": max(batch.last for batch in batches if batch.last),
            "nativePushEnabled": device in pushable,
            "receivedAt": max(batch.received for batch in batches),
            "recordId": derive_guid("record", "device", device),
        }
        for name, when in (("info", "lastInfo"), ("location", "lastLocation")):
            reports = [
                (batch.last, content_id(getattr(batch, name)), getattr(batch, name))
                for batch in batches
                if getattr(batch, name)
            ]
            if reports:
                record[when], _, content = max(reports, key=lambda last: last[:2])
                record |= _as_exported(content)
        records.append(record)
    return records


def _told_by(model: Model, as_of: datetime | None) -> dict[str, list[Batch]]:
    """The batches of each device that tell anything, up to an instant."""
    by_device: dict[str, list[Batch]] = defaultdict(list)
    for batch in model.batches:
        if batch.rows and (as_of is None or batch.received <= as_of):
            by_device[batch.device].append(batch)
    return by_device


def _user(batches: list[Batch]) -> str | None:
    users = [(batch.last, batch.user) for batch in batches if batch.user and batch.last]
    return max(users)[1] if users else None


def _users(model: Model, as_of: datetime | None) -> dict[str, str | None]:
    """The user that Device names for each device."""
    return {device: _user(batches) for device, batches in _told_by(model, as_of).items()}


def _tags(model: Model, as_of: datetime | None) -> list[Record]:
    users = _users(model, as_of)
    records = []
    groups = _grouped(model.rows("tags", as_of=as_of), "device", "key")
    for (device, key), rows in groups.items():
        last = max(rows, key=lambda row: (row["at"], row["arrival"]))
        if last["value"] is not None:
            records.append(
                {
                    "deviceId": device,
                    "userId": users[device],
                    "key": key,
                    "value": last["value"],
                    "type": _tag_type(last["value"]),
                    "receivedAt": last["received"],
                    "recordId": derive_guid("record", "tag", device, key),
                }
            )
    return records


def tag_text(value: Any) -> str:
    """A tag's value as formats without types write it."""
    return value if isinstance(value, str) else json.dumps(value)


def _tag_type(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    return "integer" if isinstance(value, int) else text_tag_type(value)


def _tokens(model: Model, as_of: datetime | None) -> list[Record]:
    """The token of each device and type that was registered last, unless it is another's now."""
    rows = model.rows("token", as_of=as_of)
    registered: dict[tuple[str, str, str], Row] = {}
    taken_back: dict[tuple[str, str, str], Row] = {}
    for row in sorted(rows, key=lambda row: (row["at"], row["arrival"])):
        ledger = taken_back if row["valid"] is False else registered
        ledger[row["device"], row["tokenType"], row["token"]] = row
    candidates: dict[tuple[str, str], Row] = {}
    owners: dict[tuple[str, str], Row] = {}
    for (device, kind, token), row in registered.items():
        for ledger, key in ((candidates, (device, kind)), (owners, (kind, token))):
            ledger[key] = max(ledger.get(key, row), row, key=_order)
    users = _users(model, as_of)
    records = []
    for (device, kind), row in candidates.items():
        back = taken_back.get((device, kind, row["token"]))
        is_back = back is not None and _order(back) > _order(row)
        if not is_back and owners[kind, row["token"]]["device"] == device:
            records.append(
                {
                    "deviceId": device,
                    "userId": users[device],
                    "token": row["token"],
                    "type": kind,
                    "receivedAt": row["received"],
                    "recordId": derive_guid("record", "token", device, kind, row["token"]),
                }
            )
    return records


def _order(row: Row) -> tuple[Any, ...]:
    return row["at"], row["arrival"]


def _pushes(model: Model, request: Request, as_of: datetime | None) -> list[Record]:
    campaign_type = request["campaign_type"]
    feedback = [
        row for row in model.rows("feedback", as_of=as_of) if row["campaignType"] == campaign_type
    ]
    campaigns = set(request.get("campaign_ids") or ())
    if not campaigns:
        start, end = (datetime.fromisoformat(text) for text in request["range"])
        for (campaign,), rows in _grouped(feedback, "campaignId").items():
            times = [row["at"] for row in rows]
            if min(times) < end and max(times) >= start:
                campaigns.add(campaign)
    users = _users(model, as_of)
    kept = [row for row in feedback if row["campaignId"] in campaigns]
    return [
        {
            "deviceId": device,
            "userId": users[device],
            "campaignType": campaign_type,
            "campaignId": campaign,
            "status": [
                flag for flag in FEEDBACK_STATUSES if flag in {row["status"] for row in rows}
            ],
            "receivedAt": max(row["received"] for row in rows),
            "recordId": derive_guid("record", "feedback", device, campaign_type, str(campaign)),
        }
        for (device, campaign), rows in _grouped(kept, "device", "campaignId").items()
    ]
