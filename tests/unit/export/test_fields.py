"""Tests the options that narrow an export: names, columns, and how they are kept."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engagement.exceptions import InvalidExportError
from engagement.export.fields import Additions, shape_of
from engagement.export.requests import shape_of_request
from engagement.model.codec import decode, encode
from engagement.model.export_request import ExportRequest
from engagement.model.exports import (
    Compression,
    ExportFormat,
    ExportType,
    TimeAxis,
)
from support.batches import DEVICES, batch, everything, log
from support.export_files import csv_rows, read_part
from support.home import Home, exported_files, open_home

NARROW_FORMATS = [item for item in ExportFormat if item is not ExportFormat.JSON]
NAMED = [
    ExportType.ACTIVITY,
    ExportType.EVENT,
    ExportType.ERROR,
    ExportType.CRASH,
    ExportType.JOB,
]
AWKWARD = ['say "hi"', "a,b", "日本語 🎉", "it's", "100%", "[a-z]*", "x" * 64]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """Records of every kind, of several devices, some of them with awkward names."""
    with open_home(tmp_path_factory.mktemp("options") / "home") as home:
        for numbers in (range(4), range(4, 8)):
            home.take(*(everything(number, device=DEVICES[number % 3]) for number in numbers))
        home.take(*(batch(*_named(place, name)) for place, name in enumerate(AWKWARD)))
        yield home


def _named(seconds: float, name: str) -> list[dict[str, Any]]:
    more = {"crash": {"stack": "at main"}, "job": {"jobId": f"job {name}"}}
    kinds = [item.kind.value for item in NAMED]
    return [log(kind, seconds, name=name, **more.get(kind, {})) for kind in kinds]


def records(home: Home, request: ExportRequest, **options: int) -> list[dict[str, Any]]:
    return [
        record
        for data in exported_files(home, request, **options)
        for record in read_part(
            data, request.export_type, request.export_format, request.compression
        )
    ]


@pytest.mark.parametrize("export_format", list(ExportFormat))
@pytest.mark.parametrize("export_type", NAMED)
def test_only_records_with_a_name_that_was_asked_for(
    home: Home, export_type: ExportType, export_format: ExportFormat
) -> None:
    names = (AWKWARD[0], AWKWARD[2], f"{export_type.kind} name", "of nobody")
    every = records(home, home.request(export_type, export_format=export_format))

    request = home.request(export_type, export_format=export_format, event_names=names)
    found = records(home, request, part_rows_target=3)

    wanted = [item for item in every if item["name"] in names]
    assert sorted(found, key=repr) == sorted(wanted, key=repr)
    assert {record["name"] for record in found} == set(names[:3])


@given(names=st.sets(st.sampled_from([*AWKWARD, "event name", "nothing", "A,b", "a", "%"])))
def test_names_match_whole_and_exactly(home: Home, names: set[str]) -> None:
    request = home.request(ExportType.EVENT, event_names=tuple(names))

    found = {row["name"] for row in home.exported(request)}

    assert found == (names or {*AWKWARD, "event name"}) & {*AWKWARD, "event name"}


def test_names_that_nothing_has_make_an_empty_export(home: Home) -> None:
    plan = home.plan(home.request(ExportType.ERROR, event_names=("of nobody",)))

    assert [part.rows for part in plan.parts] == [0]


@pytest.mark.parametrize("export_type", [item for item in ExportType if item not in NAMED])
def test_records_without_names_cannot_be_asked_by_name(home: Home, export_type: ExportType) -> None:
    with pytest.raises(InvalidExportError, match="Activity, Event, Error, Crash, Job records"):
        home.request(export_type, event_names=("a",))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (tuple(f"{number}" for number in range(101)), "up to 100 event names, got 101"),
        (("a", ""), "1 to 64 characters, got 0"),
        (("x" * 65,), "1 to 64 characters, got 65"),
    ],
)
def test_names_have_limits(home: Home, names: tuple[str, ...], message: str) -> None:
    with pytest.raises(InvalidExportError, match=message):
        home.request(ExportType.EVENT, event_names=names)


@pytest.mark.parametrize("export_type", [item for item in ExportType if not item.is_historical])
def test_snapshots_have_no_time_axis(home: Home, export_type: ExportType) -> None:
    with pytest.raises(InvalidExportError, match="is for histories"):
        home.request(export_type, time_axis=TimeAxis.RECEIVED)


CONTENT_IDS = {ExportType.INFO: "infoId", ExportType.LOCATION: "locationId"}


@settings(max_examples=25)
@given(data=st.data())
def test_chosen_columns_hold_what_all_columns_hold(home: Home, data: st.DataObject) -> None:
    export_type = data.draw(st.sampled_from(list(ExportType)))
    export_format = data.draw(st.sampled_from(NARROW_FORMATS))
    has_user = data.draw(st.booleans())
    names = [field.name for field in shape_of(export_type, Additions(user_id=has_user)).fields]
    columns = data.draw(st.lists(st.sampled_from(names), min_size=1, max_size=5))
    if export_format is ExportFormat.CSV:
        columns.append(CONTENT_IDS.get(export_type, "deviceId"))
    whole = home.request(export_type, export_format=export_format, include_user_id=has_user)
    chosen = home.request(
        export_type,
        export_format=export_format,
        include_user_id=has_user,
        columns=tuple(columns),
    )

    found, every = records(home, chosen), records(home, whole)

    assert found == [
        {name: value for name, value in record.items() if name in columns} for record in every
    ]


@pytest.mark.parametrize("export_format", NARROW_FORMATS)
def test_columns_come_in_the_types_own_order(home: Home, export_format: ExportFormat) -> None:
    request = home.request(
        ExportType.EVENT,
        export_format=export_format,
        columns=("infoId", "timestamp", "name", "name"),
    )

    (data,) = exported_files(home, request)

    assert [field.name for field in shape_of_request(request).fields] == [
        "name",
        "timestamp",
        "infoId",
    ]
    if export_format is ExportFormat.CSV:
        assert csv_rows(data.decode())[0] == ["name", "timestamp", "infoId"]
    if export_format is ExportFormat.NDJSON:
        assert list(json.loads(data.splitlines()[0])) == ["name", "timestamp", "infoId"]


def test_a_record_without_any_chosen_value_is_an_empty_object(home: Home) -> None:
    request = home.request(ExportType.EVENT, columns=("jobId", "extras"))

    lines = [json.loads(line) for line in exported_files(home, request)[0].splitlines()]

    assert {} in lines
    assert {"extras": {"quote": '"\n'}} in lines
    assert len(lines) == len(home.exported(request))


def test_unknown_columns_are_refused_with_those_that_there_are(home: Home) -> None:
    request = home.request(ExportType.TOKEN, columns=("token", "userId"))

    with pytest.raises(InvalidExportError, match="of deviceId, token, type, got 'userId'"):
        shape_of_request(request)


def test_the_published_json_has_all_its_columns(home: Home) -> None:
    with pytest.raises(InvalidExportError, match="CsvBlob, NdjsonBlob and ParquetBlob alone"):
        home.request(ExportType.EVENT, export_format=ExportFormat.JSON, columns=("name",))


@pytest.mark.parametrize(
    ("export_type", "column"),
    [
        (ExportType.EVENT, "infoId"),
        (ExportType.EVENT, "extras"),
        (ExportType.DEVICE, "region"),
        (ExportType.JOB, "end"),
        (ExportType.TAG, "userId"),
    ],
)
def test_a_csv_without_a_value_in_every_row_is_refused(
    home: Home, export_type: ExportType, column: str
) -> None:
    request = home.request(export_type, export_format=ExportFormat.CSV, columns=(column,))

    with pytest.raises(InvalidExportError, match=f"which {column} may lack; add deviceId"):
        shape_of_request(request)


@pytest.mark.parametrize("export_type", list(ExportType))
def test_a_csv_of_one_column_has_no_empty_line(home: Home, export_type: ExportType) -> None:
    for field in shape_of(export_type, Additions(user_id=True)).fields:
        request = home.request(
            export_type,
            export_format=ExportFormat.CSV,
            include_user_id=True,
            columns=(field.name,),
        )
        try:
            shape_of_request(request)
        except InvalidExportError:
            continue
        (data,) = exported_files(home, request)
        assert b"\r\n\r\n" not in data


@pytest.mark.parametrize("compression", list(Compression))
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"time_axis": TimeAxis.RECEIVED},
        {"event_names": ("b", "a", "日本")},
        {"columns": ("name", "deviceId")},
        {"time_axis": TimeAxis.RECEIVED, "event_names": ("a",), "columns": ("name",)},
    ],
)
def test_a_kept_request_comes_back_equal(
    home: Home, compression: Compression, options: dict[str, Any]
) -> None:
    request = home.request(ExportType.EVENT, compression=compression, **options)

    assert decode(encode(request), ExportRequest) == request
