"""Turns logs of real phones and requests of real SDKs into native batches.

The input is not part of the repository; tests that need it skip without it. Every record carries
a marker of its own in its extras, so that a test finds each one again in an export. Extras that
are too long for one record are spread over several, with `part` and `parts` to tell.
"""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from engagement.model.records import Kind

LOGS_PER_BATCH = 500
NAME_CHARACTERS_MAX = 64
KEY_CHARACTERS_MAX = 60  # leaves room for the number of a piece
PIECE_CHARACTERS_MAX = 300
EXTRAS_CHARACTERS_MAX = 1024
SENT_AT = "2026-12-01T00:00:00Z"
ANDROID_YEAR = 2016  # its log tells day and month only

Extras = dict[str, Any]

_ANDROID_LINE = re.compile(
    r"(\d\d)-(\d\d) (\d\d:\d\d:\d\d\.\d{3})\s+(\d+)\s+(\d+) ([A-Z]) (.*?)\s*: ?(.*)", re.DOTALL
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedRecord:
    """What an export must show of a record."""

    kind: Kind
    """Activity, event or error."""
    name: str
    """Its name."""
    timestamp: datetime
    """When it happened, in UTC, whole milliseconds."""
    extras: Extras
    """Its extras; nested values as their JSON text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackingEvent:
    """What a line or a message tells, before it is cut to the limits."""

    device: str
    """The sender's own id."""
    kind: Kind
    """Activity, event or error."""
    name: str
    """Its name, of any length."""
    at: datetime
    """When it happened."""
    extras: Extras
    """Everything else, with any keys and of any length."""


def real_batches(shared: Path) -> Iterator[tuple[bytes, list[ExpectedRecord]]]:
    """Yield batches made of the real input, each with the records that it must become.

    Args:
        shared: The folder that holds `data/` and `ingest-captures.jsonl`.
    """
    for source, happenings in real_happenings(shared):
        numbered = list(enumerate(happenings))
        for start in range(0, len(numbered), LOGS_PER_BATCH):
            yield from _batches(source, numbered[start : start + LOGS_PER_BATCH])


def real_happenings(shared: Path) -> Iterator[tuple[str, list[TrackingEvent]]]:
    """Yield what each file and each request tells, with its name."""
    yield "android", list(map(android_line, _lines(shared / "data" / "android-2k.log")))
    yield "healthapp", list(map(health_line, _lines(shared / "data" / "healthapp-2k.log")))
    for number, line in enumerate(_lines(shared / "ingest-captures.jsonl")):
        messages = captured(json.loads(line))
        if messages:
            yield f"capture-{number}", messages


def android_line(line: str) -> TrackingEvent:
    """What a line of an Android system log tells."""
    match = _ANDROID_LINE.fullmatch(line)
    assert match is not None, line
    month, day, clock, pid, tid, level, component, content = match.groups()
    at = datetime.fromisoformat(f"{ANDROID_YEAR}-{month}-{day}T{clock}+00:00")
    extras = {"content": content, "pid": int(pid), "tid": int(tid), "level": level}
    return TrackingEvent(device="android", kind=Kind.EVENT, name=component, at=at, extras=extras)


def health_line(line: str) -> TrackingEvent:
    """What a line of the health app's log tells."""
    clock, component, pid, content = line.split("|", 3)
    day, hour, minute, second, millisecond = re.split("[-:]", clock)
    at = datetime.strptime(day, "%Y%m%d").replace(tzinfo=UTC) + timedelta(
        hours=int(hour), minutes=int(minute), seconds=int(second), milliseconds=int(millisecond)
    )
    extras = {"content": content, "pid": int(pid)}
    return TrackingEvent(device="health app", kind=Kind.EVENT, name=component, at=at, extras=extras)


def captured(request: dict[str, Any]) -> list[TrackingEvent]:
    """What a captured request tells; nothing if it carries no events or is not JSON."""
    if "mark" in request:
        return []
    url = urlsplit(request["path"])
    if url.path in {"/i", "/i/bulk"}:
        return list(_countly({key: item[0] for key, item in parse_qs(url.query).items()}))
    if request["body"].startswith("HEX:"):
        return []
    body = json.loads(request["body"])
    if url.path == "/v1/logs":
        return list(_otlp(body))
    tell = _posthog if url.path == "/batch/" else _segment
    return [tell(message) for message in body["batch"]]


def spread(happening: TrackingEvent, marker: str) -> list[ExpectedRecord]:
    """The records that hold all of a happening within the limits, nothing left out."""
    name = "".join(item for item in happening.name if item.isprintable())[:NAME_CHARACTERS_MAX]
    whole = {"full_name": happening.name} if name != happening.name else {}
    fields = list(_fields(whole | happening.extras))
    parts: list[Extras] = [{}]
    for key, value in fields:
        room = {"marker": f"{marker}-00", "part": 99, "parts": 99}
        if len(_sent_text(room | parts[-1] | {key: value})) > EXTRAS_CHARACTERS_MAX:
            parts.append({})
        parts[-1][key] = value
    milliseconds = timedelta(milliseconds=1)
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return [
        ExpectedRecord(
            kind=happening.kind,
            name=name,
            timestamp=epoch + (happening.at - epoch) // milliseconds * milliseconds,
            extras={"marker": f"{marker}-{number}"}
            | ({"part": number, "parts": len(parts)} if len(parts) > 1 else {})
            | part,
        )
        for number, part in enumerate(parts)
    ]


def _batches(
    source: str, happenings: list[tuple[int, TrackingEvent]]
) -> Iterator[tuple[bytes, list[ExpectedRecord]]]:
    """One batch for each device that the happenings are of."""
    of_device: dict[str, list[ExpectedRecord]] = {}
    for number, happening in happenings:
        of_device.setdefault(happening.device, []).extend(
            spread(happening, f"{source}-{number:04d}")
        )
    for device, records in of_device.items():
        batch = {
            "batchId": f"real-{source}-{happenings[0][0]}-{device}"[:100],
            "sentAt": SENT_AT,
            "deviceId": device,
            "logs": [
                {
                    "type": record.kind.value,
                    "name": record.name,
                    "timestamp": record.timestamp.isoformat(),
                    "extras": record.extras,
                }
                for record in records
            ],
        }
        expected = [
            ExpectedRecord(
                kind=record.kind,
                name=record.name,
                timestamp=record.timestamp,
                extras={key: _as_kept(value) for key, value in record.extras.items()},
            )
            for record in records
        ]
        yield _sent_text(batch).encode(), expected


def _fields(extras: Extras) -> Iterator[tuple[str, Any]]:
    """The extras with acceptable keys, long values cut into numbered pieces."""
    taken: set[str] = set()
    for key, value in extras.items():
        clean = re.sub("[^a-zA-Z0-9_]", "_", key)[:KEY_CHARACTERS_MAX]
        clean = clean if clean[:1].isalpha() else f"x_{clean}"[:KEY_CHARACTERS_MAX]
        while clean in taken:
            clean = f"{clean[: KEY_CHARACTERS_MAX - 2]}_2"
        taken.add(clean)
        text = value if isinstance(value, str) else _sent_text(value)
        if len(text) <= PIECE_CHARACTERS_MAX:
            yield clean, value
            continue
        for start in range(0, len(text), PIECE_CHARACTERS_MAX):
            piece = text[start : start + PIECE_CHARACTERS_MAX]
            yield f"{clean}_{start // PIECE_CHARACTERS_MAX}", piece


def _segment(message: dict[str, Any]) -> TrackingEvent:
    """A message of Segment or RudderStack."""
    context = message.get("context") or {}
    device = (context.get("device") or {}).get("id")
    kind = Kind.ACTIVITY if message["type"] in {"screen", "page"} else Kind.EVENT
    return TrackingEvent(
        device=device or message.get("anonymousId") or message["userId"],
        kind=kind,
        name=message.get("event") or message.get("name") or message["type"],
        at=_time(message.get("originalTimestamp") or message["timestamp"]),
        extras={
            "messageId": message["messageId"],
            "type": message["type"],
            **(message.get("properties") or {}),
            "traits": message.get("traits"),
            "context": context,
        },
    )


def _posthog(message: dict[str, Any]) -> TrackingEvent:
    kinds = {"$screen": Kind.ACTIVITY, "$exception": Kind.ERROR}
    properties = message["properties"]
    return TrackingEvent(
        device=message["distinct_id"],
        kind=kinds.get(message["event"], Kind.EVENT),
        name=properties.get("$screen_name") or message["event"],
        at=_time(message["timestamp"]),
        extras={"uuid": message["uuid"], "$set": message.get("$set"), **properties},
    )


def _countly(query: dict[str, Any]) -> Iterator[TrackingEvent]:
    """The events and crashes of one request, or of the requests that a bulk request holds."""
    for inner in json.loads(query.get("requests", "[]")):
        yield from _countly(inner)
    events = query.get("events", [])
    for event in json.loads(events) if isinstance(events, str) else events:
        segmentation = event.get("segmentation", {})
        is_view = event["key"] == "[CLY]_view"
        rest = {key: value for key, value in event.items() if key != "segmentation"}
        yield TrackingEvent(
            device=query["device_id"],
            kind=Kind.ACTIVITY if is_view else Kind.EVENT,
            name=segmentation["name"] if is_view else event["key"],
            at=_countly_time(event["timestamp"]),
            extras=rest | segmentation,
        )
    if "crash" in query:
        crash = json.loads(query["crash"])
        yield TrackingEvent(
            device=query["device_id"],
            kind=Kind.ERROR,
            name=crash["_error"].splitlines()[0],
            at=_countly_time(query["timestamp"]),
            extras=crash,
        )


def _otlp(body: dict[str, Any]) -> Iterator[TrackingEvent]:
    for resource_logs in body["resourceLogs"]:
        resource = _attributes(resource_logs["resource"]["attributes"])
        for scope_logs in resource_logs["scopeLogs"]:
            for record in scope_logs["logRecords"]:
                nanoseconds = int(record["timeUnixNano"])
                yield TrackingEvent(
                    device=resource["device.id"],
                    kind=Kind.EVENT,
                    name=record["eventName"],
                    at=datetime(1970, 1, 1, tzinfo=UTC)
                    + timedelta(microseconds=nanoseconds // 1000),
                    extras={
                        "severity": record["severityNumber"],
                        "body": _otlp_value(record["body"]),
                        **resource,
                        **_attributes(record["attributes"]),
                    },
                )


def _attributes(pairs: Iterable[dict[str, Any]]) -> Extras:
    return {pair["key"]: _otlp_value(pair["value"]) for pair in pairs}


def _otlp_value(value: dict[str, Any]) -> Any:
    ((kind, inner),) = value.items()
    if kind == "kvlistValue":
        return _attributes(inner["values"])
    if kind == "arrayValue":
        return [_otlp_value(item) for item in inner["values"]]
    return inner


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def _countly_time(stamp: float | str) -> datetime:
    """A time that is told in milliseconds, or by some clients in seconds."""
    milliseconds = int(stamp)
    if milliseconds < 10**11:
        milliseconds *= 1000
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)


def _as_kept(value: Any) -> Any:
    return _sent_text(value) if isinstance(value, dict | list) else value


def _sent_text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _lines(path: Path) -> list[str]:
    text = path.read_bytes().decode()
    return [line.removesuffix("\r") for line in text.split("\n") if line]
