"""Tests the one list of the options of an export and what each door makes of it."""

from dataclasses import fields
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engagement.exceptions import BadInputError, InvalidExportError
from engagement.model.choices import parse_order
from engagement.model.codec import decode, encode
from engagement.model.export_options import (
    CREATE_WORDS,
    OPTIONS,
    body_of,
    options_of,
    request_of,
    request_of_body,
)
from engagement.model.export_request import ExportRequest
from engagement.model.export_tasks import TaskOrder
from engagement.model.exports import (
    PUBLISHED_TYPES,
    CampaignType,
    Compression,
    ExportFormat,
    ExportType,
    TimeAxis,
)
from engagement.model.tag_imports import ImportProperty

DAYS = {"start": date(2026, 1, 1), "end": date(2026, 1, 2)}
NOT_OPTIONS = {"app_id", "export_type", "container_url", "published_contract", "time_range"}


def test_every_field_of_a_request_is_an_option() -> None:
    named = {field.name for field in fields(ExportRequest)} - NOT_OPTIONS

    assert named == OPTIONS.keys() - {"start", "end"}
    assert len({option.body_name for option in OPTIONS.values()}) == len(OPTIONS)
    assert len({option.flag for option in OPTIONS.values()}) == len(OPTIONS)


def test_every_type_but_push_has_a_place() -> None:
    assert {export_type.value for export_type in ExportType} - {"Push"} <= CREATE_WORDS.keys()


def test_the_published_types_are_those_of_the_published_contract() -> None:
    published = "Activity Tag Crash Error Event Job Session Token Push"

    assert [export_type.value for export_type in PUBLISHED_TYPES] == published.split()


@pytest.mark.parametrize("name", ["column", "formats", "include_userid", "x", ""])
def test_an_option_that_is_not_known_is_refused(name: str) -> None:
    with pytest.raises(InvalidExportError, match=r"must be one of export_format, .* got") as found:
        request_of("a", "Tag", "", {name: None})

    assert ("Did you mean columns?" in str(found.value)) is (name == "column")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"columns": "name"}, "columns must be a list of texts, got 'name'"),
        ({"event_names": ["a", 1]}, "event names must be a list of texts"),
        ({"campaign_ids": [True]}, "campaign ids must be a list of whole numbers"),
        ({"campaign_ids": "12"}, "campaign ids must be a list of whole numbers"),
        ({"include_user_id": "no"}, "include user id must be true or false, got 'no'"),
        ({"empty_file": 0}, "empty file must be true or false, got 0"),
        ({"description": 1}, "description must be a text"),
        ({"export_format": 1}, "export format must be one of JsonBlob"),
        ({"as_of": "2026-01-01"}, "as of needs a time of day too"),
        ({"as_of": datetime(2026, 1, 1)}, "as of needs its offset"),  # noqa: DTZ001 - that is it
        ({"start": "yesterday", "end": "2026-01-01"}, "start must be a day like .* 'yesterday'"),
        ({"start": 20260101, "end": "2026-01-01"}, "start must be a day like"),
        ({"start": "2026-01-01"}, "got only one of them"),
        ({"description": "a\ud800"}, "description must have whole characters"),
        ({"columns": ["\udfff"]}, "column must have whole characters"),
    ],
)
def test_a_value_of_another_kind_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidExportError, match=message):
        request_of("a", "Event", "", {"export_format": "CsvBlob", **options})


@pytest.mark.parametrize(
    "text",
    [
        *("2026-01-01T00:00:00", "2026-01-01T00:00:00+05:99", "2026-01-01T00:00:00+05:60"),
        *("2026-01-01T00:00:00+24:00", "2026-01-01T24:00:01Z", "2026-02-30", "2026-1-1"),
        *("20260101", "2026-W01-1", "2026-01-01T00:00:00+0500", "٢٠٢٦-01-01", "", " 2026-01-01"),
        *("0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00", "1767225600"),
    ],
)
def test_a_text_that_is_no_day_or_instant_is_refused(text: str) -> None:
    with pytest.raises(InvalidExportError, match="must be a day like 2026-11-01 or a date-time"):
        request_of("a", "Event", "", {"start": text, "end": "2026-01-02"})


@given(
    instant=st.datetimes(
        datetime(1970, 1, 2),  # noqa: DTZ001 - Hypothesis adds the zone
        datetime(2900, 1, 1),  # noqa: DTZ001
        timezones=st.integers(-23 * 60 - 59, 23 * 60 + 59).map(
            lambda minutes: timezone(timedelta(minutes=minutes))
        ),
    )
)
def test_an_instant_as_text_is_that_instant(instant: datetime) -> None:
    for text in (instant.isoformat(), instant.isoformat(sep=" ")):
        span = request_of(
            "a", "Event", "", {"start": text, "end": datetime(3000, 1, 1, tzinfo=UTC)}
        ).time_range

        assert span is not None
        assert span.start == instant
        assert span.start.utcoffset() == timedelta(0)


@given(first=st.dates(max_value=date(2500, 1, 1)), more=st.integers(0, 10_000))
def test_days_as_text_are_those_days(first: date, more: int) -> None:
    last = first + timedelta(days=more)

    as_text = request_of("a", "Event", "", {"start": str(first), "end": str(last)})

    assert as_text == request_of("a", "Event", "", {"start": first, "end": last})


@pytest.mark.parametrize("export_format", list(ExportFormat))
@pytest.mark.parametrize("chosen", [None, True, False])
def test_record_ids_are_in_all_but_json_where_nothing_is_said(
    export_format: ExportFormat, *, chosen: bool | None
) -> None:
    options = {"export_format": export_format, "include_record_id": chosen}

    request = request_of("a", "Tag", "", options)

    usual = export_format is not ExportFormat.JSON
    assert request.include_record_id is (usual if chosen is None else chosen)


def test_the_contract_of_2014_has_no_record_ids() -> None:
    options = {"export_format": "CsvBlob"}

    assert not request_of("a", "Tag", "", options, published_contract=True).include_record_id


instants = st.datetimes(datetime(1970, 1, 1), datetime(2400, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
switches = {
    "include_user_id": st.booleans(),
    "include_record_id": st.booleans(),
    "empty_file": st.booleans(),
}


@st.composite
def requests(draw: st.DrawFn) -> ExportRequest:
    """Any request that can be."""
    export_type = draw(st.sampled_from(list(ExportType)))
    export_format = draw(st.sampled_from(list(ExportFormat)))
    options: dict[str, Any] = {
        "export_format": export_format,
        "compression": draw(st.sampled_from(list(Compression))),
        "description": draw(st.text(max_size=5)),
        **{name: draw(value) for name, value in switches.items()},
    }
    if export_format is ExportFormat.CSV:
        options["csv_formula_guard"] = draw(st.booleans())
        options["excel"] = draw(st.booleans())
    if export_format is not ExportFormat.JSON:
        options["columns"] = draw(st.lists(st.text(min_size=1, max_size=3), max_size=3))
    if export_type.is_historical:
        options["time_axis"] = draw(st.sampled_from(list(TimeAxis)))
        options["include_info"] = draw(st.booleans())
    else:
        options["as_of"] = draw(st.none() | instants)
    if export_type.has_device_time:
        options["include_device_timestamp"] = draw(st.booleans())
    if export_type.is_named:
        options["event_names"] = draw(st.lists(st.text(min_size=1, max_size=3), max_size=3))
    by_id = export_type is ExportType.PUSH and draw(st.booleans())
    if export_type is ExportType.PUSH:
        options["campaign_type"] = draw(st.sampled_from(list(CampaignType)))
    if by_id:
        options["campaign_ids"] = draw(st.lists(st.integers(0, 2**63 - 1), min_size=1, max_size=3))
    elif export_type.is_historical or export_type is ExportType.PUSH:
        options["start"] = draw(instants)
        options["end"] = options["start"] + draw(
            st.timedeltas(timedelta(microseconds=1), timedelta(days=400))
        )
    return request_of("app", export_type, "", options)


@given(request=requests())
def test_what_every_door_shows_makes_the_same_request(request: ExportRequest) -> None:
    body = body_of(request)

    again = request_of_body("app", request.export_type, body, published_contract=False)

    assert again == request
    assert request_of("app", request.export_type, "", options_of(request)) == request
    assert decode(encode(request), ExportRequest) == request


@given(
    properties=st.sampled_from([TaskOrder, ImportProperty]),
    data=st.data(),
    direction=st.sampled_from(["", " asc", " DESC", "  Desc ", "\tASC"]),
)
def test_an_order_is_understood_in_any_case(
    properties: type[TaskOrder] | type[ImportProperty], data: st.DataObject, direction: str
) -> None:
    chosen = data.draw(st.sampled_from(list(properties)))
    word = data.draw(st.sampled_from([chosen.value, chosen.value.upper(), chosen.value.lower()]))

    assert parse_order(properties, word + direction) == (chosen, "desc" in direction.lower())


@pytest.mark.parametrize("text", [" ", "taskId up", "taskId asc, dateCreated", "state", "asc"])
def test_an_order_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(BadInputError, match="orderby must be one of taskId, errorDetails"):
        parse_order(TaskOrder, text)
