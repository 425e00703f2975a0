"""Tests what the files of an export look like, byte by byte where it matters."""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import jsonschema
import pyarrow.parquet as pq
import pytest

from engagement.model.export_request import ExportRequest
from engagement.model.exports import CampaignType, Compression, ExportFormat, ExportType, TimeRange
from engagement.model.records import CONTENT_KINDS, NIL_GUID
from support.batches import DEVICES, NOW, at, batch, everything, feedback, log
from support.checkout import SHARED
from support.export_files import GATHERED, csv_rows, decompressed, read_part, ungrouped
from support.home import Home, exported_files

SCHEMA = SHARED / "api" / "export.schema.json"
SCHEMA_NAMES = {
    ExportType.ACTIVITY: "activityExport",
    ExportType.EVENT: "eventExport",
    ExportType.JOB: "jobExport",
    ExportType.SESSION: "sessionExport",
    ExportType.PUSH: "pushExport",
    ExportType.TOKEN: "tokenExport",
}
SESSION = "5" * 32
AWKWARD = 'a "quoted", back\\slashed\r\nline\tand 日本語 🎉 \u2028 \u0000 end'
GUARDED = [
    "=1+1",
    "+1",
    "-1",
    "@x",
    "\tx",
    "\rx",
    "\nx",
    "  =1",
    "\u00a0=1",
    "\uff1d1",
    "\uff0b1",
    "\uff0d1",
    "\uff201",
]
HARMLESS = ["a=1", "1", "", "'=1", ".=1"]


@pytest.fixture(scope="module")
def full(shared_home: Home) -> Iterator[Home]:
    """An app with records of every kind, of several devices, from two flushes."""
    home = shared_home
    home.next_app()
    app_id = home.app_id
    for numbers in (range(4), range(4, 8)):
        home.take(*(everything(number, device=DEVICES[number % 3]) for number in numbers))
    yield home
    home.app_id = app_id


@pytest.fixture
def home(shared_home: Home) -> Iterator[Home]:
    """An app of its own."""
    before = shared_home.app_id
    shared_home.next_app()
    yield shared_home
    shared_home.app_id = before


def one_file(home: Home, request: ExportRequest, **options: Any) -> bytes:
    (data,) = exported_files(home, request, **options)
    return data


def objects(home: Home, export_type: ExportType, **options: Any) -> Any:
    """What the only part of a JsonBlob holds."""
    request = home.request(export_type, export_format=ExportFormat.JSON, **options)
    return json.loads(one_file(home, request))


@pytest.mark.parametrize("compression", list(Compression))
@pytest.mark.parametrize("export_format", list(ExportFormat))
def test_every_format_holds_the_same_records_and_the_same_bytes_twice(
    full: Home, export_format: ExportFormat, compression: Compression
) -> None:
    for export_type in ExportType:
        request = full.request(export_type, export_format=export_format, compression=compression)

        data = one_file(full, request)

        assert one_file(full, request) == data
        records = read_part(data, export_type, export_format, compression)
        assert len(records) == len(full.exported(request))
        if export_type.kind not in CONTENT_KINDS:
            assert {record["deviceId"] for record in records} == set(DEVICES[:3])


@pytest.mark.parametrize("export_type", list(SCHEMA_NAMES))
def test_json_is_valid_under_the_published_schema(full: Home, export_type: ExportType) -> None:
    if not SCHEMA.is_file():
        pytest.skip("needs ../shared, which holds the published schema")
    schema = json.loads(SCHEMA.read_text())
    wanted = schema["definitions"][SCHEMA_NAMES[export_type]]
    checker = jsonschema.Draft4Validator(
        # The published lists describe their first item only; all are held to it here.
        {"definitions": all_items(schema["definitions"]), **all_items(wanted)},
        format_checker=jsonschema.Draft4Validator.FORMAT_CHECKER,
    )

    for include_user_id in (False, True):
        found = objects(full, export_type, include_user_id=include_user_id)
        assert found
        checker.validate(found)
        whole = {"definitions": schema["definitions"], **wanted}
        jsonschema.Draft4Validator(whole).validate(found)


def all_items(schema: Any) -> Any:
    """The schema with each list of one item turned into a rule for every item."""
    if isinstance(schema, dict):
        return {
            name: all_items(value[0] if name == "items" and isinstance(value, list) else value)
            for name, value in schema.items()
        }
    return [all_items(item) for item in schema] if isinstance(schema, list) else schema


@pytest.mark.parametrize("export_type", list(GATHERED))
@pytest.mark.parametrize("part_rows_target", [2, 500_000])
def test_json_gathers_the_records_of_a_device_or_session_in_one_object(
    full: Home, export_type: ExportType, part_rows_target: int
) -> None:
    request = full.request(export_type, export_format=ExportFormat.JSON)
    group = ("sessionId", "deviceId") if export_type is ExportType.ACTIVITY else ("deviceId",)
    records = []

    for data in exported_files(full, request, part_rows_target=part_rows_target):
        part = json.loads(data)
        keys = [tuple(item[name] for name in group) for item in part]
        assert len(set(keys)) == len(keys)
        for item in part:
            inside = list(ungrouped(item, export_type))
            assert inside
            times = [record.get("timestamp", "") for record in inside]
            assert times == sorted(times)
            records += inside

    assert len(records) == len(full.exported(request))


def test_ids_that_a_record_lacks_are_nil_where_the_schema_requires_them(home: Home) -> None:
    home.take(batch(log("event", 1), log("job", 1, jobId=SESSION), log("crash", 1, stack="")))

    (device,) = objects(home, ExportType.EVENT)
    (job,) = objects(home, ExportType.JOB)
    (crashes,) = objects(home, ExportType.CRASH)

    assert device == {
        "deviceId": DEVICES[0],
        "events": [
            {
                "name": "event name",
                "timestamp": at(1),
                "infoId": NIL_GUID,
                "sessionId": NIL_GUID,
                "locationId": NIL_GUID,
            }
        ],
    }
    assert job["infoId"] == NIL_GUID
    assert crashes["crashes"][0]["stack"] == ""


def test_a_device_is_nested_and_says_only_what_is_known(home: Home) -> None:
    info = {"phoneModel": "m", "androidAPILevel": 19, "timeZoneOffset": -60}
    home.take(
        batch(
            log("event", 1),
            log("tags", 1, tags={"s": "x", "i": 5, "b": True}),
            log("token", 2, token="T", tokenType="GCM"),  # noqa: S106 - a record kind
            userId="somebody",
            info=info,
            location={"countrycode": "FI"},
        ),
        batch(log("event", 0), device=DEVICES[1]),
    )

    full, bare = objects(home, ExportType.DEVICE)

    seen = 1_771_581_600_000
    assert full == {
        "deviceId": DEVICES[0],
        "userId": "somebody",
        "appInfo": {"b": "true", "i": "5", "s": "x"},
        "info": info,
        "location": {"countrycode": "FI"},
        "meta": {
            "firstSeen": seen + 1000,
            "lastSeen": seen + 2000,
            "lastInfo": seen + 2000,
            "lastLocation": seen + 2000,
            "nativePushEnabled": True,
        },
    }
    assert bare == {
        "deviceId": DEVICES[1],
        "meta": {"firstSeen": seen, "lastSeen": seen, "nativePushEnabled": False},
    }


def test_tags_are_typed_and_one_object_a_device(home: Home) -> None:
    home.take(
        batch(log("tags", 1, tags={"s": "5", "i": -5, "d": "2024-02-29"}), userId="u"),
        batch(log("tags", 2, tags={"b": False, "awkward": AWKWARD, "gone": "x"})),
        batch(log("tags", 3, tags={"gone": None})),
    )

    assert objects(home, ExportType.TAG) == [
        {
            "deviceId": DEVICES[0],
            "userId": "u",
            "tags": {"s": "5", "i": -5, "d": "2024-02-29", "b": False, "awkward": AWKWARD},
        }
    ]


def test_push_statuses_are_a_set_in_the_order_of_the_schema(home: Home) -> None:
    home.take(
        batch(
            feedback(1, 1, "ContentExited"),
            feedback(2, 1, "Queued"),
            feedback(3, 1, "Queued"),
            feedback(4, 2, "None"),
            feedback(5, 9, "None"),
        )
    )

    found = objects(home, ExportType.PUSH)

    assert [(record["campaignId"], record["status"]) for record in found] == [
        (1, ["Queued", "ContentExited"]),
        (2, ["None"]),
    ]
    window = TimeRange(start=NOW.replace(year=1970), end=NOW)
    by_window = objects(home, ExportType.PUSH, time_range=window)
    assert {item["campaignId"] for item in by_window} == {1, 2, 9}
    assert objects(home, ExportType.PUSH, campaign_type=CampaignType.ANNOUNCEMENT) == []


@pytest.mark.parametrize("export_format", list(ExportFormat))
@pytest.mark.parametrize("export_type", list(ExportType))
def test_an_export_of_nothing_is_one_valid_file(
    full: Home, export_type: ExportType, export_format: ExportFormat
) -> None:
    """So that who reads it finds no records, and its columns, instead of no file."""
    for compression in Compression:
        request = full.request(export_type, export_format=export_format, compression=compression)
        filled = one_file(full, request)
        full.app_id, app_id = "f" * 32, full.app_id
        nothing = replace(request, app_id=full.app_id)

        (empty,) = exported_files(full, nothing)
        none = exported_files(full, replace(nothing, empty_file=False))

        full.app_id = app_id
        assert none == []
        assert read_part(empty, export_type, export_format, compression) == []
        if export_format is ExportFormat.PARQUET:
            assert pq.read_schema(io.BytesIO(empty)).equals(pq.read_schema(io.BytesIO(filled)))
        elif export_format is ExportFormat.CSV:
            header = decompressed(filled, compression).partition(b"\n")[0]
            assert decompressed(empty, compression) == header + b"\n"


def test_csv_tells_null_from_empty_and_quotes_only_what_it_must(home: Home) -> None:
    home.take(
        batch(
            log("crash", 1, name="plain", stack=""),
            log("crash", 2, name='a "b", c', stack=AWKWARD, sessionId=SESSION),
        )
    )

    text = one_file(home, home.request(ExportType.CRASH, export_format=ExportFormat.CSV)).decode()

    header, first, second = csv_rows(text)
    assert text.splitlines()[1] == f'{DEVICES[0]},plain,{at(1)},,,,""'
    assert first == [DEVICES[0], "plain", at(1), None, None, None, ""]
    assert second == [DEVICES[0], 'a "b", c', at(2), None, SESSION, None, AWKWARD]
    fields = ["deviceId", "name", "timestamp", "infoId", "sessionId", "locationId", "stack"]
    assert header == fields
    by_library = list(csv.reader(io.StringIO(text, newline="")))
    assert by_library == [[item or "" for item in row] for row in (header, first, second)]


def test_the_formula_guard_disarms_what_a_spreadsheet_would_run(home: Home) -> None:
    home.take(
        batch(
            log("tags", 1, tags={f"g{place}": value for place, value in enumerate(GUARDED)}),
            log("tags", 1, tags={f"h{place}": value for place, value in enumerate(HARMLESS)}),
        )
    )

    def values(*, guard: bool) -> list[str | None]:
        request = home.request(
            ExportType.TAG, export_format=ExportFormat.CSV, csv_formula_guard=guard
        )
        _, *rows = csv_rows(one_file(home, request).decode())
        numbered = {str(row[2]): row[3] for row in rows}
        return [numbered[f"g{place}"] for place in range(len(GUARDED))] + [
            numbered[f"h{place}"] for place in range(len(HARMLESS))
        ]

    assert values(guard=False) == [*GUARDED, *HARMLESS]
    assert values(guard=True) == [*(f"'{item}" for item in GUARDED), *HARMLESS]


def test_user_ids_are_added_where_asked_for(full: Home) -> None:
    for export_type in (kind for kind in ExportType if kind.kind not in CONTENT_KINDS):
        always = export_type in {ExportType.DEVICE, ExportType.TAG, ExportType.PUSH}
        for is_asked in (False, True):
            request = full.request(
                export_type, export_format=ExportFormat.NDJSON, include_user_id=is_asked
            )
            data = one_file(full, request)
            records = read_part(data, export_type, ExportFormat.NDJSON, Compression.NONE)
            has_user = all("userId" in record for record in records)
            assert has_user is (always or is_asked)


def test_parquet_has_types_and_is_compressed_inside(full: Home) -> None:
    request = full.request(
        ExportType.EVENT, export_format=ExportFormat.PARQUET, compression=Compression.ZSTD
    )

    file = pq.ParquetFile(io.BytesIO(one_file(full, request)))

    types = dict(zip(file.schema_arrow.names, map(str, file.schema_arrow.types), strict=True))
    assert types["timestamp"] == "timestamp[ms, tz=UTC]"
    assert set(types.values()) <= {"timestamp[ms, tz=UTC]", "string", "large_string"}
    codecs = {file.metadata.row_group(0).column(column).compression for column in range(3)}
    assert codecs == {"ZSTD"}


def test_parquet_keeps_dictionaries_of_all_but_times_and_record_ids(full: Home) -> None:
    """Theirs would be kept beside the values, of which each is another."""
    for export_type in ExportType:
        options = {"include_record_id": True} if export_type.kind.is_historical else {}
        request = full.request(export_type, export_format=ExportFormat.PARQUET, **options)

        metadata = pq.ParquetFile(io.BytesIO(one_file(full, request))).metadata

        group = metadata.row_group(0)
        for index in range(group.num_columns):
            column = group.column(index)
            is_time = metadata.schema.column(index).logical_type.type == "TIMESTAMP"
            is_unique = is_time or column.path_in_schema == "recordId"
            is_bit = column.physical_type == "BOOLEAN"  # has no dictionary ever
            assert column.has_dictionary_page is not (is_unique or is_bit), column.path_in_schema


def test_gzip_says_nothing_of_when_it_was_made(full: Home) -> None:
    request = full.request(ExportType.EVENT, compression=Compression.GZIP)

    data = one_file(full, request)

    magic, time_and_flags = data[:3], data[3:8]
    assert magic == b"\x1f\x8b\x08"
    assert time_and_flags == bytes(5)
    assert decompressed(data, Compression.GZIP).count(b"\n") == 16


def test_parts_together_are_the_whole(full: Home) -> None:
    for export_type in ExportType:
        request = full.request(export_type)
        whole = one_file(full, request).splitlines()

        parts = exported_files(full, request, part_rows_target=1)

        assert len(parts) > 1 or len(whole) == 1
        assert sorted(line for part in parts for line in part.splitlines()) == sorted(whole)
