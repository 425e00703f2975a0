"""Makes requests at random: every type, with formats, options and odd instants."""

from datetime import datetime, time, timedelta
from random import Random
from typing import Any

from oracle_shapes import OWN_FIELDS, fields_of

from engagement.model.exports import Compression, ExportFormat, ExportType, TimeAxis

Request = dict[str, Any]

ALL_TIME = ("1970-01-01T00:00:00+00:00", "2100-01-01T00:00:00+00:00")
NAMED = {
    ExportType.ACTIVITY,
    ExportType.EVENT,
    ExportType.ERROR,
    ExportType.CRASH,
    ExportType.JOB,
}
"""Types whose records have a name, and a time by the device's own clock."""
HISTORICAL = NAMED | {ExportType.SESSION}
WITH_USER = set(ExportType) - {ExportType.INFO, ExportType.LOCATION}
_FORMATS = tuple(ExportFormat)
_COMPRESSIONS = tuple(Compression)


def make_requests(
    random: Random, *, times: list[datetime], receipts: list[datetime], clock: datetime
) -> list[Request]:
    """One request of each type, and some of another kind of the types with most to go wrong."""
    types = [*ExportType, ExportType.PUSH, *random.sample(list(ExportType), 2)]
    return [_request(random, kind, times, [*receipts, clock]) for kind in types]


def _request(
    random: Random, kind: ExportType, times: list[datetime], receipts: list[datetime]
) -> Request:
    request: Request = {"type": kind.value, "format": random.choice(_FORMATS).value}
    request["compression"] = random.choice(_COMPRESSIONS).value
    if kind in HISTORICAL:
        axis = random.choice((TimeAxis.EVENT, TimeAxis.EVENT, TimeAxis.RECEIVED))
        request["axis"] = axis.value
        request["range"] = _range(random, times if axis is TimeAxis.EVENT else receipts)
        request["info"] = random.random() < 0.3
    elif random.random() < 0.5:
        nudge = timedelta(microseconds=random.choice((-1, 0, 0, 1)))
        request["as_of"] = (random.choice(receipts) + nudge).isoformat()
    if kind in NAMED:
        request["device_timestamp"] = random.random() < 0.4
        if random.random() < 0.25:
            request["names"] = random.sample(["open", "pay", "nothing"], random.randint(1, 2))
    if kind is ExportType.PUSH:
        request["campaign_type"] = random.choices(("Poll", "Announcement"), (3, 1))[0]
        if random.random() < 0.7:
            request["range"] = _range(random, times)
        else:
            request["campaign_ids"] = random.sample([1, 7, 99], random.randint(1, 3))
    if kind in WITH_USER:
        request["user"] = random.random() < 0.4
    request["record_id"] = random.random() < 0.6
    _choose_format_options(random, request, kind)
    return {name: value for name, value in request.items() if value not in (False, None)} | (
        {"empty_file": False} if random.random() < 0.15 else {}
    )


def _choose_format_options(random: Random, request: Request, kind: ExportType) -> None:
    export_format = request["format"]
    if export_format == ExportFormat.CSV:
        request["guard"] = random.random() < 0.3
    is_published = export_format in {ExportFormat.JSON, ExportFormat.CSV}
    is_later = kind in {ExportType.INFO, ExportType.LOCATION} or any(
        request.get(name) for name in ("record_id", "info", "device_timestamp")
    )
    if is_published and not is_later:
        request["published"] = random.random() < 0.5
    if export_format == ExportFormat.JSON and kind is ExportType.TAG:
        request["record_id"] = False  # its records are members of an object, without room for more
    if export_format != ExportFormat.JSON and random.random() < 0.2:
        names = fields_of(request)
        chosen = random.sample(names, random.randint(1, len(names)))
        always = OWN_FIELDS[kind][0] if kind is not ExportType.TAG else "key"
        request["columns"] = sorted({*chosen, always})
    request["deliver"] = random.random() < 0.15


def _range(random: Random, times: list[datetime]) -> tuple[str, str]:
    """A range that begins or ends at or beside something that happened, whole days, or all."""
    choice = random.random()
    if choice < 0.35 or not times:
        return ALL_TIME
    first, last = sorted((random.choice(times), random.choice(times)))
    if random.random() < 0.3:
        first = last
    if choice < 0.65:
        start = datetime.combine(first.date(), time(0), first.tzinfo)
        end = datetime.combine(last.date(), time(0), last.tzinfo) + timedelta(days=1)
        return start.isoformat(), end.isoformat()
    nudges = [timedelta(microseconds=random.choice((-1, 0, 1, 1000))) for _ in range(2)]
    start, end = first + nudges[0], last + nudges[1]
    return start.isoformat(), max(end, start + timedelta(microseconds=1)).isoformat()
