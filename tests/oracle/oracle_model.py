"""Says in plain Python lists what every export of an app must hold.

It is slow on purpose: no engine, no tables, no change of what was kept. It shares with the product
nothing but names of kinds and the functions that make ids.
"""

import hashlib
import json
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from oracle_sessions import OpenSession, join_sessions

from engagement.model.records import derive_guid

Row = dict[str, Any]
Record = dict[str, Any]

SKEW_MAX = timedelta(seconds=5)
HISTORY = ("activity", "event", "error", "crash", "job")
"""Kinds whose records stay as they happened; sessions are made of activities."""
_COLUMNS = {"androidAPILevel": "android_api_level", "countryCode": "country_code"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What was accepted at once of one device."""

    device: str
    user: str | None
    info: Record | None
    location: Record | None
    received: datetime
    rows: list[Row]
    """What its logs say, each with its kind; of a tracking batch, of all its messages."""

    @property
    def first(self) -> datetime | None:
        """The earliest time of its logs."""
        return min((row["at"] for row in self.rows), default=None)

    @property
    def last(self) -> datetime | None:
        """The latest time of its logs, ends included."""
        return max((row.get("end") or row["at"] for row in self.rows), default=None)


def content_id(content: Record | None) -> str | None:
    """The id of an information or a location: the start of the digest of its canonical JSON."""
    if not content:
        return None
    named = {_COLUMNS.get(name, _snake_case(name)): value for name, value in content.items()}
    text = json.dumps(named, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _snake_case(name: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)


def instant(text: str) -> datetime:
    """The time that a device wrote, to the millisecond."""
    when = datetime.fromisoformat(text).astimezone(UTC)
    return when.replace(microsecond=when.microsecond // 1000 * 1000)


def read_batch(body: Record, *, received: datetime, live: bool) -> Batch:
    """What a native batch says; a log whose end is before its start is refused alone."""
    received_ms = received.replace(microsecond=received.microsecond // 1000 * 1000)
    skew = received_ms - instant(body["sentAt"])
    shift = skew if live and abs(skew) > SKEW_MAX else timedelta(0)

    def kept(when: datetime) -> datetime:
        return min(when + shift, received_ms) if live else when

    rows: list[Row] = []
    for index, log in enumerate(body["logs"]):
        at = instant(log["timestamp"])
        end = instant(log["end"]) if log.get("end") else None
        if end is not None and end < at:
            continue
        times = {"at": kept(at), "own": at, "end": None if end is None else kept(end)}
        job = log.get("jobId")
        if log["type"] == "job" and job is None:
            job = derive_guid(body["batchId"], body["deviceId"], str(index))
        record = {name: log.get(name) for name in _TOLD} | {"job": job, "extras": _extras(log)}
        source = {"kind": log["type"], "source": body["batchId"]}
        if log["type"] == "tags":
            rows += [
                record | times | source | {"key": key, "value": value}
                for key, value in log["tags"].items()
            ]
        else:
            rows.append(record | times | source)
    number_rows(rows)
    return Batch(
        device=body["deviceId"],
        user=body.get("userId"),
        info=body.get("info"),
        location=body.get("location"),
        received=received,
        rows=rows,
    )


_TOLD = (
    *("name", "sessionId", "stack", "token", "tokenType", "valid"),
    *("campaignType", "campaignId", "status"),
)


def number_rows(rows: list[Row]) -> None:
    """Give each row its place among those of its kind, of its source and of the whole batch."""
    places: dict[object, int] = defaultdict(int)
    for row in rows:
        for name, key in (("place", (row["kind"], row["source"])), ("within", row["kind"])):
            row[name] = places[key]
            places[key] += 1


def _extras(log: Row) -> Record | None:
    """A nested value becomes the text of its JSON."""
    if log.get("extras") is None:
        return None
    return {
        key: json.dumps(value, separators=(",", ":")) if isinstance(value, dict | list) else value
        for key, value in log["extras"].items()
    }


@dataclass(slots=True)
class Model:
    """All that one app was told, in the order of its acceptance."""

    batches: list[Batch] = field(default_factory=list)
    known: dict[str, date] = field(default_factory=dict)
    """Ids of accepted batches and messages, with the day of the receipt."""
    horizon: datetime | None = None
    """Snapshots as of an earlier instant are not exact any more, since changes were folded."""
    open_sessions: list[OpenSession] = field(default_factory=list)
    starts: dict[tuple[str, ...], set[date]] = field(default_factory=lambda: defaultdict(set))
    """The days on which each session and job ever started, by what was told of it."""
    receipts: dict[str, list[tuple[datetime, str]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    """When each information and location was told, and by which device."""
    doubtful: dict[str, list[tuple[datetime, str]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    """The same of those that no record of their device named when history was taken out: they
    may be gone."""
    flushed: int = 0
    """Batches whose activities have sessions."""
    kept: int = 0
    """Batches that were ever kept."""
    erased: dict[str, datetime] = field(default_factory=dict)
    """Devices of which nothing is taken in, and when they were erased."""

    def accept(self, key: str, batch: Batch) -> None:
        """Keep a batch unless its id is known or its device erased."""
        if key not in self.known and batch.device not in self.erased:
            self.known[key] = batch.received.date()
            self.keep(batch)

    def keep(self, batch: Batch) -> None:
        """Keep a batch unless its device was erased."""
        if batch.device in self.erased:
            return
        self.kept += 1
        for row in batch.rows:
            row |= {
                "device": batch.device,
                "user": batch.user,
                "infoId": content_id(batch.info),
                "locationId": content_id(batch.location),
                "received": batch.received,
                "arrival": (self.kept, row["within"]),
            }
            if row["kind"] == "job":
                self.starts["job", batch.device, row["job"]].add(row["at"].date())
        self.batches.append(batch)
        # A batch tells them even if all of its logs are refused.
        for content in filter(None, (content_id(batch.info), content_id(batch.location))):
            self.receipts[content].append((batch.received, batch.device))

    def flush(self, timeout: timedelta) -> None:
        """Find the sessions of the activities that came since the last flush."""
        new = [
            row
            for batch in self.batches[self.flushed :]
            for row in batch.rows
            if row["kind"] == "activity"
        ]
        self.flushed = len(self.batches)
        self.open_sessions = join_sessions(new, self.open_sessions, timeout)
        for row in new:
            self.starts["session", row["device"], row["sessionId"]].add(row["at"].date())

    def fold(self, horizon: datetime) -> None:
        """Changes received before the horizon are known by their sum alone."""
        self.horizon = max(self.horizon or horizon, horizon)

    def vacuum(self, before: datetime, erased_before: datetime) -> None:
        """Ids and opened sessions from before are forgotten, and that devices were erased."""
        self.erased = {device: at for device, at in self.erased.items() if at >= erased_before}
        self.known = {key: day for key, day in self.known.items() if day >= before.date()}
        self.open_sessions = [session for session in self.open_sessions if session.end >= before]

    def can_retain(self, first_kept: date) -> bool:
        """Whether no session or job was told to start on both sides of the day."""
        return all(
            len({day < first_kept for day in days}) == 1 for days in self.starts.values() if days
        )

    def retain(self, first_kept: date) -> None:
        """Take out history from before a day, on which no session or job stands."""
        for row in self.history():
            row["gone"] = row["at"].date() < first_kept
        named = {
            (row[name], row["device"])
            for row in self.history()
            for name in ("infoId", "locationId")
        }
        for content, receipts in self.receipts.items():
            self.doubtful[content] += [
                (at, device) for at, device in receipts if (content, device) not in named
            ]
            self.receipts[content] = [
                (at, device) for at, device in receipts if (content, device) in named
            ]

    def erase(self, device: str, at: datetime) -> None:
        """Take out all that a device told, and take in no more of it."""
        if device in self.erased or any(batch.device == device for batch in self.batches):
            self.erased[device] = at
        self.batches = [batch for batch in self.batches if batch.device != device]
        self.flushed = len(self.batches)
        self.open_sessions = [kept for kept in self.open_sessions if kept.device != device]
        for ledger in (self.receipts, self.doubtful):
            for content, receipts in ledger.items():
                ledger[content] = [kept for kept in receipts if kept[1] != device]
        self.starts = defaultdict(
            set, {key: days for key, days in self.starts.items() if key[1] != device}
        )

    def rows(self, *kinds: str, as_of: datetime | None = None) -> list[Row]:
        """The rows of some kinds, in the order of arrival."""
        return [
            row
            for batch in self.batches
            if as_of is None or batch.received <= as_of
            for row in batch.rows
            if row["kind"] in kinds
        ]

    def history(self, *kinds: str) -> list[Row]:
        """The rows of historical kinds, of all if none is named, that were not taken out."""
        return [row for row in self.rows(*(kinds or HISTORY)) if not row.get("gone")]
