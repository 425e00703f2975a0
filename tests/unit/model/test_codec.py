"""Tests that every value of an export comes back from its JSON as it was."""

from datetime import UTC
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engagement.exceptions import ErrorCode, InvalidExportError
from engagement.model.codec import decode, encode
from engagement.model.export_request import ExportRequest
from engagement.model.export_tasks import ExportTask
from engagement.model.exports import (
    CampaignType,
    Compression,
    Estimate,
    ExportFormat,
    ExportState,
    ExportType,
    Progress,
    Receipt,
    TimeAxis,
    TimeRange,
)
from engagement.model.manifest import Manifest
from engagement.model.plan import Part, Plan, PlanHead
from engagement.model.records import Kind

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
COUNTS = st.integers(0, 2**63 - 1)
INSTANTS = st.datetimes(timezones=st.just(UTC))
FLOATS = st.floats(0, allow_infinity=False)
RANGES = (
    st.tuples(INSTANTS, INSTANTS)
    .filter(lambda ends: ends[0] != ends[1])
    .map(lambda ends: TimeRange(start=min(ends), end=max(ends)))
)


@st.composite
def requests(draw: st.DrawFn) -> ExportRequest:
    """Any request that can be built, without a container URL, as one is kept."""
    kind = draw(st.sampled_from(ExportType))
    options: dict[str, Any] = {}
    if kind is ExportType.PUSH:
        options["campaign_type"] = draw(st.sampled_from(CampaignType))
        if draw(st.booleans()):
            options["time_range"] = draw(RANGES)
        else:
            options["campaign_ids"] = tuple(draw(st.lists(COUNTS, min_size=1, max_size=4)))
    elif kind.is_historical:
        options["time_range"] = draw(RANGES)
        options["time_axis"] = draw(st.sampled_from(TimeAxis))
    else:
        options["as_of"] = draw(st.none() | INSTANTS)
    if kind.is_named:
        names = st.lists(TEXTS.filter(bool), max_size=3)
        options["event_names"] = tuple(draw(names))
    export_format = draw(st.sampled_from(ExportFormat))
    if export_format is not ExportFormat.JSON:
        options["columns"] = tuple(draw(st.lists(TEXTS, max_size=3)))
    if draw(st.booleans()):
        options["published_contract"] = True
    else:
        options["include_record_id"] = draw(st.booleans())
        options["include_info"] = kind.is_historical and draw(st.booleans())
        options["include_device_timestamp"] = kind.has_device_time and draw(st.booleans())
    return ExportRequest(
        app_id=draw(TEXTS),
        export_type=kind,
        export_format=export_format,
        compression=draw(st.sampled_from(Compression)),
        include_user_id=draw(st.booleans()),
        csv_formula_guard=export_format is ExportFormat.CSV and draw(st.booleans()),
        empty_file=draw(st.booleans()),
        description=draw(TEXTS),
        **options,
    )


FILES = st.dictionaries(st.sampled_from(Kind), st.lists(TEXTS, max_size=3).map(tuple), max_size=3)
PLACES = st.none() | TEXTS | st.tuples(INSTANTS, COUNTS)
PARTS = st.builds(
    Part,
    index=st.integers(0, 2**31),
    first_day=st.none() | st.dates(),
    last_day=st.none() | st.dates(),
    device_from=st.none() | TEXTS,
    device_to=st.none() | TEXTS,
    files=FILES,
    rows=st.none() | COUNTS,
    place_from=PLACES,
    place_to=PLACES,
)
HEADS = st.builds(
    PlanHead,
    versions=st.dictionaries(st.sampled_from(Kind), COUNTS, max_size=3),
    campaign_ids=st.lists(COUNTS, max_size=4).map(tuple),
)
RECEIPTS = st.builds(
    Receipt,
    name=TEXTS,
    rows=COUNTS,
    rows_read=COUNTS,
    bytes=COUNTS,
    sha256=TEXTS,
    first_at=st.none() | INSTANTS,
    last_at=st.none() | INSTANTS,
)
PROGRESS = st.builds(
    Progress,
    parts_total=COUNTS,
    parts_done=COUNTS,
    rows_total=COUNTS,
    rows_done=COUNTS,
    bytes_done=COUNTS,
    rows_per_second=st.none() | FLOATS,
    seconds_left=st.none() | FLOATS,
)
VALUES: dict[type, st.SearchStrategy[Any]] = {
    ExportRequest: requests(),
    Part: PARTS,
    PlanHead: HEADS,
    Plan: st.builds(Plan, head=HEADS, parts=st.lists(PARTS, max_size=3).map(tuple)),
    Receipt: RECEIPTS,
    Progress: PROGRESS,
    Estimate: st.builds(Estimate, rows=COUNTS, parts=COUNTS, bytes=st.none() | COUNTS),
    ExportTask: st.builds(
        ExportTask,
        task_id=TEXTS,
        request=requests(),
        state=st.sampled_from(ExportState),
        container=TEXTS,
        folder=TEXTS,
        created_at=INSTANTS,
        started_at=st.none() | INSTANTS,
        completed_at=st.none() | INSTANTS,
        error_code=st.none() | st.sampled_from(ErrorCode),
        error_details=st.none() | TEXTS,
        progress=PROGRESS,
        attempt=st.integers(1, 2**31),
    ),
    Manifest: st.builds(
        Manifest,
        task_id=TEXTS,
        app_id=TEXTS,
        selection=st.dictionaries(TEXTS, st.none() | st.booleans() | TEXTS, max_size=3),
        tables=st.dictionaries(TEXTS, COUNTS, max_size=3),
        fields=st.lists(st.tuples(TEXTS, TEXTS), max_size=3).map(tuple),
        parts=st.lists(RECEIPTS, max_size=3).map(tuple),
    ),
}


@pytest.mark.parametrize("of", VALUES, ids=lambda of: of.__name__)
@given(data=st.data())
def test_a_value_comes_back_from_its_json_as_it_was(of: type, data: st.DataObject) -> None:
    value = data.draw(VALUES[of])

    assert decode(encode(value), of) == value


def test_another_type_is_refused() -> None:
    text = encode(PlanHead(versions={Kind.EVENT: 3}))

    for wrong in (text.replace("event", "nothing"), text.replace("3", '"3"'), text[:-1], "[]"):
        with pytest.raises(ValueError, match=r"."):
            decode(wrong, PlanHead)


def test_an_impossible_value_is_refused_as_by_its_constructor() -> None:
    request = ExportRequest(
        app_id="a", export_type=ExportType.TAG, export_format=ExportFormat.NDJSON
    )

    with pytest.raises(InvalidExportError, match="needs a start and an end date"):
        decode(encode(request).replace("Tag", "Event"), ExportRequest)
