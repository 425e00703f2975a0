"""Makes histories at random: what devices send, upkeep, and exports in between.

A history is a list of plain operations, which can be printed, cut and replayed. Few ids make
collisions frequent.
"""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

from oracle_requests import make_requests

from engagement.model.exports import FEEDBACK_STATUSES, CampaignType

Operation = dict[str, Any]
History = list[Operation]

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
LASTING_DAYS = 35
LATE_DAYS_MAX = 40
"""Together less than 90: an id that is silent for longer may begin anew."""
DEVICES = tuple(digits * 8 for digits in ("11a1", "5bb2", "92c3", "e0d4"))
USERS = ("ann", "bob", 'Čeněk "=1"')
SESSIONS = tuple(digit * 32 for digit in "6789")
JOBS = tuple(digit * 32 for digit in "ab")
NAMES = ("open", "pay", "=sum(1)", 'läuft, "gut"\n weiter'.replace("\n", " "))
TOKENS = ("token-a", "token-b", "token-c")
TOKEN_TYPES = ("GCM", "APNS")
INFOS = (
    {"phoneModel": "P1", "applicationVersionName": "1.0"},
    {"phoneModel": "P1", "applicationVersionName": "1.1", "locale": "en"},
    {"phoneModel": "@P2", "screenWidth": 320, "androidAPILevel": 30, "timeZoneOffset": -60},
)
LOCATIONS = ({"countryCode": "FI"}, {"countryCode": "CZ", "region": "Praha", "locality": "Karlín"})
EXTRAS = (None, {"n": 1, "text": 'x,"y"'}, {"deep": {"a": [1, None]}, "yes": True, "none": None})
TAGS = ("plan", "age")
VALUES = ("free", "paid", "2026-01-05", 5, -1, True, None, "=1")
STATUSES = (FEEDBACK_STATUSES[1], FEEDBACK_STATUSES[4], FEEDBACK_STATUSES[-1])
CAMPAIGNS = (1, 7)
CAMPAIGN_TYPES = (CampaignType.POLL.value, CampaignType.ANNOUNCEMENT.value)
SKEWS = (0, 0, 3, 5, 5.001, -4, -5.001, 3600, -7200, 86_400 * 2, -86_400)
"""Seconds by which the device's clock is behind ours."""


def shown(when: datetime) -> str:
    """A time as devices and requests write it, to the microsecond."""
    return when.isoformat().replace("+00:00", "Z")


def cut(when: datetime) -> datetime:
    """The millisecond that a time lies in."""
    return when.replace(microsecond=when.microsecond // 1000 * 1000)


@dataclass(slots=True)
class Scene:
    """What the making of one history remembers."""

    random: Random
    clock: datetime = START
    devices: tuple[str, ...] = DEVICES
    times: list[datetime] = field(default_factory=list)
    """Times that logs have named, to be named again."""
    receipts: list[datetime] = field(default_factory=list)
    sent: list[Operation] = field(default_factory=list)
    batches: int = 0

    def maybe(self, values: tuple[Any, ...], chance: float) -> Any:
        """One of the values, or nothing."""
        return self.random.choice(values) if self.random.random() < chance else None


def kept_histories() -> dict[str, History]:
    """Histories that are replayed with every run, by name: each was wrong once, or could be.

    A failure prints its history as it may be kept here.
    """
    return {
        file.stem: [json.loads(line) for line in file.read_text().splitlines()]
        for file in sorted((Path(__file__).parent / "kept").glob("*.ndjson"))
    }


def history_of(seed: int) -> History:
    """The history of a seed."""
    return make_history(Random(seed))  # noqa: S311 - the same each time, on purpose


def make_history(random: Random) -> History:
    """A history of one app; it ends with an export of every type."""
    scene = Scene(random, devices=DEVICES[: random.choice((1, 2, 2, 3, 4))])
    history: History = []
    for _ in range(random.randint(4, 10)):
        scene.clock += _pause(scene)
        make = random.choices([make for make, _ in _MAKERS], [weight for _, weight in _MAKERS])[0]
        history += [operation | {"clock": shown(scene.clock)} for operation in make(scene)]
        if random.random() < 0.15:
            history += _exports(scene, random.randint(1, 3))
    scene.clock += _pause(scene)
    return history + _exports(scene, None)


def _exports(scene: Scene, count: int | None) -> History:
    requests = make_requests(
        scene.random, times=scene.times, receipts=scene.receipts, clock=scene.clock
    )
    scene.random.shuffle(requests)
    return [
        {"do": "export", "clock": shown(scene.clock), "request": request}
        for request in requests[:count]
    ]


def _pause(scene: Scene) -> timedelta:
    random = scene.random
    days = 7 if scene.clock < START + timedelta(days=LASTING_DAYS) else 0
    return random.choice(
        (
            timedelta(0),
            timedelta(milliseconds=1),
            timedelta(seconds=random.randint(1, 400)),
            timedelta(hours=random.randint(1, 30)),
            timedelta(days=random.randint(0, days), microseconds=random.randint(0, 999)),
        )
    )


def _post(scene: Scene) -> History:
    skew = timedelta(seconds=scene.random.choice(SKEWS))
    body = _batch(scene, sent=cut(scene.clock) - skew)
    return _remembered(scene, {"do": "post", "body": body})


def _lines(scene: Scene) -> History:
    bodies = [_batch(scene, sent=scene.clock) for _ in range(scene.random.randint(1, 3))]
    return _remembered(scene, {"do": "import", "bodies": bodies})


def _remembered(scene: Scene, operation: Operation) -> History:
    scene.sent.append(operation)
    scene.receipts.append(scene.clock)
    return [operation]


def _repeat(scene: Scene) -> History:
    """The same again, or something else under an id that was used."""
    if not scene.sent:
        return _post(scene)
    before = scene.random.choice(scene.sent)
    if before["do"] == "post" and scene.random.random() < 0.3:
        made = _post(scene)[0]
        return [made | {"body": made["body"] | {"batchId": before["body"]["batchId"]}}]
    scene.receipts.append(scene.clock)
    return [dict(before)]


def _batch(scene: Scene, *, sent: datetime) -> dict[str, Any]:
    scene.batches += 1
    logs = [_log(scene, sent) for _ in range(scene.random.choice((1, 1, 2, 3, 4, 6)))]
    fields = {
        "userId": scene.maybe(USERS, 0.5),
        "info": scene.maybe(INFOS, 0.6),
        "location": scene.maybe(LOCATIONS, 0.4),
    }
    return {
        "batchId": f"batch {scene.batches}",
        "sentAt": shown(cut(sent)),
        "deviceId": scene.random.choice(scene.devices),
        "logs": logs,
    } | {name: value for name, value in fields.items() if value is not None}


def _time(scene: Scene, sent: datetime) -> datetime:
    """When something happened by the device's clock: lately, long ago, or when another did."""
    random = scene.random
    if scene.times and random.random() < 0.35:
        return random.choice(scene.times)
    back = random.choice(
        (
            timedelta(0),
            timedelta(milliseconds=random.randint(0, 5000)),
            timedelta(seconds=random.randint(0, 600)),
            timedelta(hours=random.randint(0, 30)),
            timedelta(days=random.randint(0, LATE_DAYS_MAX)),
            -timedelta(seconds=random.choice((1, 5, 90))),
        )
    )
    when = cut(sent - back)
    if random.random() < 0.1:
        when = when.replace(hour=0, minute=0, second=0, microsecond=0)
    scene.times.append(when)
    return when


def _end(scene: Scene, start: datetime, sent: datetime) -> datetime:
    """When something ended that began at an instant; now and then before, most in the future."""
    random = scene.random
    seconds = random.choice((0, 0.001, 30, 170, 200, 3600, 30 * 3600, 4 * 86_400))
    if start > sent and random.random() < 0.5:
        return start - timedelta(milliseconds=random.choice((1, 900)))
    return start + timedelta(seconds=-seconds if random.random() < 0.05 else seconds)


def _log(scene: Scene, sent: datetime) -> dict[str, Any]:
    random = scene.random
    kinds, weights = zip(*_LOGS.items(), strict=True)
    kind = random.choices(kinds, weights)[0]
    at = _time(scene, sent)
    log: dict[str, Any] = {"type": kind, "timestamp": shown(at)}
    if kind in {"activity", "event", "error", "crash", "job"}:
        log["name"] = random.choice(NAMES)
    if kind in {"activity", "event", "error", "crash"}:
        log["sessionId"] = scene.maybe(SESSIONS, 0.7)
    if kind in {"activity", "job"} and random.random() < 0.6:
        log["end"] = shown(_end(scene, at, sent))
    if kind in {"event", "error", "job"}:
        log["jobId"] = scene.maybe(JOBS, 0.8)
    if kind in {"activity", "event", "error", "job"}:
        log["extras"] = random.choice(EXTRAS)
    match kind:
        case "crash":
            log["stack"] = random.choice(("at main", "line 1\nline 2"))
        case "tags":
            keys = random.sample(TAGS, random.randint(1, 2))
            log["tags"] = {key: random.choice(VALUES) for key in keys}
        case "token":
            log |= {"token": random.choice(TOKENS), "tokenType": random.choice(TOKEN_TYPES)}
            log |= {"valid": False} if random.random() < 0.3 else {}
        case "feedback":
            log["campaignType"] = random.choices(CAMPAIGN_TYPES, (3, 1))[0]
            log["campaignId"] = random.choice(CAMPAIGNS)
            log["status"] = random.choice(STATUSES)
    return {name: value for name, value in log.items() if value is not None}


_LOGS = {
    "activity": 6,
    "event": 3,
    "error": 2,
    "crash": 2,
    "job": 5,
    "tags": 3,
    "token": 4,
    "feedback": 4,
}


def _track(scene: Scene) -> History:
    """Messages as the SDKs of Segment and RudderStack send them."""
    skew = timedelta(seconds=scene.random.choice((0, 0, 3600, -7200)))
    sent = cut(scene.clock) - skew
    messages = [_message(scene, sent) for _ in range(scene.random.randint(1, 3))]
    return _remembered(scene, {"do": "track", "body": {"batch": messages, "sentAt": shown(sent)}})


def _message(scene: Scene, sent: datetime) -> dict[str, Any]:
    random = scene.random
    scene.batches += 1
    info, location = scene.maybe(INFOS[:2], 0.5), scene.maybe(LOCATIONS, 0.3)
    message: dict[str, Any] = {
        "messageId": f"message {random.randint(1, 12)}",
        "timestamp": shown(_time(scene, sent)),
        "context": {"device": {"id": random.choice(scene.devices)}},
    }
    if random.random() < 0.5:
        message["userId"] = random.choice(USERS)
    if info:
        message["context"]["device"]["model"] = info["phoneModel"]
        message["context"]["app"] = {"version": info["applicationVersionName"]}
        message["context"] |= {"locale": info["locale"]} if "locale" in info else {}
    if location:
        names = {"country": "countryCode", "region": "region", "city": "locality"}
        fields = {name: location.get(column) for name, column in names.items()}
        message["context"]["location"] = {name: text for name, text in fields.items() if text}
    match random.choice(("track", "screen", "identify")):
        case "track":
            message |= {"type": "track", "event": random.choice(NAMES[:2])}
            message |= {"properties": {"n": 1}} if random.random() < 0.5 else {}
        case "screen":
            message |= {"type": "screen", "name": random.choice(NAMES[:2])}
            if random.random() < 0.7:
                message["context"]["sessionId"] = random.choice(SESSIONS)
        case _:
            message |= {"type": "identify", "traits": {random.choice(TAGS): random.choice(VALUES)}}
            if message["traits"] and None in message["traits"].values():
                message["traits"] = {"plan": "free"}
    return message


def _campaign(scene: Scene) -> History:
    """A batch that tells one flag of one campaign several times, late or long before."""
    body = _batch(scene, sent=scene.clock)
    flag = {
        "type": "feedback",
        "campaignType": CAMPAIGN_TYPES[0],
        "campaignId": scene.random.choice(CAMPAIGNS),
        "status": scene.random.choice(STATUSES),
    }
    times = [_time(scene, scene.clock) for _ in range(scene.random.randint(2, 4))]
    logs = [flag | {"timestamp": shown(when)} for when in times]
    return _remembered(scene, {"do": "import", "bodies": [body | {"logs": logs}]})


def _fold(scene: Scene) -> History:
    """A fold, often after so long that all before is folded."""
    if scene.clock < START + timedelta(days=LASTING_DAYS) and scene.random.random() < 0.5:
        scene.clock += timedelta(days=8)
    return [{"do": "fold"}]


def _erase(scene: Scene) -> History:
    return [{"do": "erase", "device": scene.random.choice(scene.devices)}]


def _retain(scene: Scene) -> History:
    days = scene.random.choice((1, 3, 8, 15, 30))
    first_kept = (scene.clock - timedelta(days=days)).date()
    return [{"do": "retain", "first_kept": first_kept.isoformat()}]


_MAKERS = (
    (_post, 34),
    (_lines, 26),
    (_track, 8),
    (_repeat, 10),
    (lambda _: [{"do": "flush"}], 8),
    (_fold, 10),
    (_campaign, 7),
    (lambda _: [{"do": "compact"}], 8),
    (_retain, 2),
    (lambda _: [{"do": "vacuum"}], 2),
    (_erase, 1),
)
