"""Reads tracking messages for the oracle, as far as histories make them."""

from datetime import date, datetime, timedelta
from typing import Any

from oracle_model import SKEW_MAX, Batch, Record, Row, instant, number_rows


def read_messages(body: Record, known: dict[str, date], *, received: datetime) -> list[Batch]:
    """The batches that new messages make: one of each device and what is said of it alike."""
    received_ms = received.replace(microsecond=received.microsecond // 1000 * 1000)
    skew = received_ms - instant(body["sentAt"])
    shift = skew if abs(skew) > SKEW_MAX else timedelta(0)
    groups: dict[str, list[Row]] = {}
    senders: dict[str, dict[str, Any]] = {}
    for message in body["batch"]:
        key = f"message {message['messageId']}"
        if key in known:
            continue
        known[key] = received.date()
        own = instant(message["timestamp"])
        at = min(own + shift, received_ms)
        sender = _sender(message)
        senders[str(sender)] = sender
        times = {"at": at, "own": own, "end": None, "source": message["messageId"]}
        rows = [_EMPTY | times | record for record in _told(message)]
        groups.setdefault(str(sender), []).extend(rows)
    batches = []
    for name, rows in groups.items():
        number_rows(rows)
        batches.append(Batch(**senders[name], received=received, rows=rows))
    return batches


_EMPTY = dict.fromkeys(("sessionId", "job", "extras", "stack"))


def _sender(message: Record) -> dict[str, Any]:
    context = message["context"]
    info = {
        "phoneModel": context["device"].get("model"),
        "applicationVersionName": context.get("app", {}).get("version"),
        "locale": context.get("locale"),
    }
    place = context.get("location", {})
    location = {
        "countryCode": place.get("country"),
        "region": place.get("region"),
        "locality": place.get("city"),
    }
    return {
        "device": context["device"]["id"],
        "user": message.get("userId"),
        "info": {name: text for name, text in info.items() if text} or None,
        "location": {name: text for name, text in location.items() if text} or None,
    }


def _told(message: Record) -> list[Row]:
    match message["type"]:
        case "track":
            extras = message.get("properties")
            return [{"kind": "event", "name": message["event"], "extras": extras}]
        case "screen":
            session = message["context"].get("sessionId")
            return [{"kind": "activity", "name": message["name"], "sessionId": session}]
        case _:
            return [
                {"kind": "tags", "key": key, "value": value}
                for key, value in message["traits"].items()
            ]
