"""Tests that any valid records come out of every export as they were put in."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from engagement.model.exports import (
    FEEDBACK_STATUSES,
    Compression,
    ExportFormat,
    ExportType,
    TimeRange,
)
from support.batches import DEVICES, NOW
from support.expected_records import EPOCH, NIL, Batch, expected_records, shown
from support.export_files import read_part
from support.home import Home, exported_files, open_home

JSON_FORMATS = {ExportFormat.JSON, ExportFormat.NDJSON}
LAST = datetime(9999, 12, 30, 23, 59, 59, 999_000, tzinfo=UTC)
"""The last instant of the last day that a range of whole days can name."""
EDGES = [
    datetime(1970, 1, 1, tzinfo=UTC),
    datetime(1999, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC),
    datetime(2000, 2, 29, 12, tzinfo=UTC),
    datetime(2024, 2, 29, 23, 59, 59, 999_000, tzinfo=UTC),
    datetime(2024, 3, 1, tzinfo=UTC),
    datetime(2038, 1, 19, 3, 14, 8, tzinfo=UTC),
    datetime(2100, 2, 28, 23, 59, 59, 1000, tzinfo=UTC),
    LAST,
]
CAMPAIGNS = (0, 1, 2**31, 2**63 - 1)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    with open_home(tmp_path_factory.mktemp("round") / "home") as home:
        yield home


awkward = st.sampled_from(
    [
        *("", " ", '"', '""', ",", "a,b", "\\", "\n", "\r\n", "\r", "\t", "\x00", "\x7f", "\u2028"),
        *("é", "日本", "🎉", "👩\u200d👩\u200d👧", "مرحبا", "\ufeff", "\U0010ffff"),
        *("=1", "'", "null", "NaN", "true", '{"a":1}', "</script>"),
    ]
)
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | awkward
printable = st.text(
    st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20
) | awkward.filter(lambda item: item != "" and not any(ord(c) < 32 or c == "\x7f" for c in item))
keys = st.from_regex(r"[a-zA-Z][a-zA-Z_0-9]{0,9}", fullmatch=True)
guids = st.sampled_from([f"{number:032x}" for number in (1, 16**32 - 1)])
numbers = (
    st.integers(-(2**70), 2**70)
    | st.sampled_from([0, -1, 2**53 + 1, 2**63, -(2**63), 10**300])
    | st.floats(allow_nan=False, allow_infinity=False)
)
scalars = text | numbers | st.booleans() | st.none()
# Numbers inside keep their digits, which only the very same spelling can be compared with.
nested = st.lists(text | st.integers(-9, 9), max_size=2) | st.dictionaries(keys, text, max_size=2)
extras = st.none() | st.dictionaries(keys, scalars | nested, max_size=4)
close = [
    datetime(2024, 2, 29, 23, 59, 59, tzinfo=UTC) + timedelta(hours=item) for item in (0, 1, 26)
]
times = (
    st.sampled_from(close)
    | st.sampled_from(EDGES)
    | st.datetimes(
        datetime(1970, 1, 1),  # noqa: DTZ001 - UTC is put on next
        datetime(9999, 12, 30),  # noqa: DTZ001 - same
    ).map(lambda when: when.replace(microsecond=when.microsecond // 1000 * 1000, tzinfo=UTC))
)
lasting = st.none() | st.sampled_from([0, 1, 60_000, 90_000_000])
tag_values = (
    text
    | st.integers(-(2**63), 2**63 - 1)
    | st.booleans()
    | st.none()
    | st.sampled_from(["2024-02-29", "2023-02-29", "2024-2-9"])
)


@st.composite
def logs(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(
        st.sampled_from(["activity", "event", "error", "crash", "job", "tags", "token", "feedback"])
    )
    when = draw(times)
    log: dict[str, Any] = {"type": kind, "timestamp": shown(when)}
    if kind in {"activity", "event", "error", "crash", "job"}:
        log["name"] = draw(printable)
    if kind in {"activity", "event", "error", "job"} and (bag := draw(extras)) is not None:
        log["extras"] = bag
    if kind in {"activity", "job"} and (milliseconds := draw(lasting)) is not None:
        log["end"] = shown(when + min(timedelta(milliseconds=milliseconds), LAST - when))
    if kind == "activity" or (kind in {"event", "error", "crash"} and draw(st.booleans())):
        log["sessionId"] = draw(guids)
    if kind == "job" or (kind in {"event", "error"} and draw(st.booleans())):
        log["jobId"] = draw(guids)
    match kind:
        case "crash":
            log["stack"] = draw(text)
        case "tags":
            some_keys = st.sampled_from(["a", "b"]) | keys
            log["tags"] = draw(st.dictionaries(some_keys, tag_values, min_size=1, max_size=3))
        case "token":
            log |= {"token": draw(printable), "tokenType": draw(st.sampled_from(["GCM", "APNS"]))}
            log["valid"] = draw(st.booleans())
        case "feedback":
            log |= {
                "campaignType": draw(st.sampled_from(["Poll", "Announcement"])),
                "campaignId": draw(st.sampled_from(CAMPAIGNS)),
                "status": draw(st.sampled_from(FEEDBACK_STATUSES)),
            }
    return log


@st.composite
def batches(draw: st.DrawFn) -> Batch:
    sent: Batch = {
        "sentAt": "2026-03-01T12:00:00Z",
        "deviceId": draw(st.sampled_from(DEVICES[:2])),
        "logs": draw(st.lists(logs(), max_size=9)),
    }
    if draw(st.booleans()):
        sent["userId"] = draw(printable)
    if draw(st.booleans()):
        sent["info"] = {"phoneModel": draw(text), "screenWidth": draw(st.integers(0, 2**62))}
    if draw(st.booleans()):
        sent["location"] = {"countryCode": draw(text)}
    return sent


@settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow])
@given(
    sent=st.lists(batches(), min_size=1, max_size=5),
    compressions=st.permutations(list(Compression)),
    rounds=st.integers(1, 3),
    part_rows_target=st.sampled_from([1, 3, 500_000]),
    has_user=st.booleans(),
)
def test_what_goes_in_comes_out(  # noqa: PLR0913 - Hypothesis gives each by its name
    home: Home,
    *,
    sent: list[Batch],
    compressions: list[Compression],
    rounds: int,
    part_rows_target: int,
    has_user: bool,
) -> None:
    accept(home, sent, rounds)

    for export_type in ExportType:
        for export_format, compression in zip(
            ExportFormat, [*compressions, Compression.GZIP], strict=True
        ):
            options = {"campaign_ids": CAMPAIGNS} if export_type is ExportType.PUSH else {}
            request = home.request(
                export_type,
                export_format=export_format,
                compression=compression,
                include_user_id=has_user,
                **options,
            )
            found = [
                record
                for data in exported_files(home, request, part_rows_target=part_rows_target)
                for record in read_part(data, export_type, export_format, compression)
            ]
            is_json = export_format in JSON_FORMATS
            wanted = expected_records(sent, export_type, is_json=is_json, has_user=has_user)
            note(f"{export_type} {export_format}")
            assert counted(found) == counted(
                as_written(item, export_type, export_format) for item in wanted
            )


def accept(home: Home, sent: list[Batch], rounds: int) -> None:
    """Accept the batches in a few rounds, each flushed."""
    home.next_app()
    size = -(-len(sent) // rounds)
    for start in range(0, len(sent), size):
        some = sent[start : start + size]
        bodies = [
            json.dumps(item | {"batchId": f"{start + place}"}).encode()
            for place, item in enumerate(some)
        ]
        home.take(*bodies)


def as_written(
    record: dict[str, Any], export_type: ExportType, export_format: ExportFormat
) -> dict[str, Any]:
    """The record as its format spells it: JSON gives a tag's value the type that others name.

    The published JsonBlob has a device's times in milliseconds since 1970, other formats as text.
    """
    if export_type is ExportType.DEVICE and export_format is not ExportFormat.JSON:
        times = [
            name for name in ("firstSeen", "lastSeen", "lastInfo", "lastLocation") if name in record
        ]
        return record | {
            name: shown(EPOCH + timedelta(milliseconds=record[name])) for name in times
        }
    if export_type is not ExportType.TAG or export_format not in JSON_FORMATS:
        return record
    value = record["value"]
    typed = json.loads(value) if record["type"] in {"integer", "boolean"} else value
    kept = {"value": typed} | (
        {} if export_format is ExportFormat.JSON else {"type": record["type"]}
    )
    return {name: item for name, item in record.items() if name not in {"value", "type"}} | kept


def counted(records: Iterable[dict[str, Any]]) -> Counter[str]:
    """The records as a bag: how often each is there."""
    return Counter(json.dumps(record, sort_keys=True) for record in records)


def test_the_last_instant_of_all_is_exported_by_an_open_range(home: Home) -> None:
    """A range of whole days cannot end after 9999, one of instants can name its last day."""
    last = shown(LAST + timedelta(days=1))
    logs = [
        {"type": "event", "name": "e", "timestamp": last},
        {"type": "activity", "name": "a", "timestamp": last, "sessionId": NIL},
    ]
    accept(home, [{"sentAt": last, "deviceId": DEVICES[0], "logs": logs}], 1)
    everything = TimeRange(start=EDGES[0], end=datetime.max.replace(tzinfo=UTC))

    for export_type in (ExportType.EVENT, ExportType.ACTIVITY, ExportType.SESSION):
        assert len(home.exported(home.request(export_type, time_range=everything))) == 1


@settings(max_examples=10)
@given(
    seconds=st.lists(st.integers(0, 4 * 86_400), min_size=1, max_size=8),
    span=st.lists(st.integers(0, 4 * 86_400), min_size=2, max_size=2, unique=True).map(sorted),
    part_rows_target=st.sampled_from([1, 500_000]),
)
def test_a_range_holds_its_start_and_not_its_end(
    home: Home, seconds: list[int], span: list[int], part_rows_target: int
) -> None:
    midnight = datetime(2024, 2, 27, tzinfo=UTC)
    edges = [*seconds, *span]
    sent = [
        {
            "type": "job",
            "name": "j",
            "jobId": f"{place}",
            "timestamp": shown(midnight + timedelta(seconds=item)),
        }
        for place, item in enumerate(edges)
    ]
    accept(home, [{"sentAt": shown(NOW), "deviceId": DEVICES[0], "logs": sent}], 1)
    start, end = (midnight + timedelta(seconds=item) for item in span)

    request = home.request(ExportType.JOB, time_range=TimeRange(start=start, end=end))
    found = home.exported(request, part_rows_target=part_rows_target)

    wanted = sorted(edge for edge in edges if span[0] <= edge < span[1])
    assert sorted((row["start"] - midnight).total_seconds() for row in found) == wanted
