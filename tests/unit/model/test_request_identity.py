"""Tests that what was asked is said in words that stay as they are, across releases."""

import json
from datetime import UTC, date, datetime

import pytest

from engagement.export.report import manifest_of
from engagement.model.codec import decode, encode
from engagement.model.export_request import ExportRequest
from engagement.model.exports import (
    CampaignType,
    Compression,
    ExportFormat,
    ExportType,
    TimeAxis,
    TimeRange,
)
from engagement.model.plan import PlanHead
from engagement.model.records import Kind
from engagement.model.request_identity import write_identity

EVERY_OPTION = ExportRequest(
    app_id="a",
    export_type=ExportType.EVENT,
    export_format=ExportFormat.CSV,
    compression=Compression.ZSTD,
    time_range=TimeRange(
        start=datetime(2026, 1, 1, tzinfo=UTC), end=datetime(2026, 1, 2, 0, 0, 0, 5, tzinfo=UTC)
    ),
    time_axis=TimeAxis.RECEIVED,
    event_names=("b", "日本"),
    columns=("name", "deviceId"),
    include_user_id=True,
    include_record_id=True,
    include_info=True,
    include_device_timestamp=True,
    csv_formula_guard=True,
    empty_file=False,
    description="mine",
)
CAMPAIGNS = ExportRequest(
    app_id="a",
    export_type=ExportType.PUSH,
    export_format=ExportFormat.JSON,
    campaign_type=CampaignType.POLL,
    campaign_ids=(3, 1),
    published_contract=True,
)
SNAPSHOT = ExportRequest(
    app_id="a",
    export_type=ExportType.TAG,
    export_format=ExportFormat.NDJSON,
    as_of=datetime(2026, 1, 1, 0, 0, 0, 123, tzinfo=UTC),
)


def test_what_was_kept_before_an_option_existed_is_read_with_its_default() -> None:
    content = json.loads(encode(SNAPSHOT))
    del content["include_info"], content["published_contract"]

    assert decode(json.dumps(content), ExportRequest) == SNAPSHOT


def test_options_that_were_not_chosen_are_no_part_of_what_was_asked() -> None:
    """A repeated request is known by the hash of these bytes, across releases."""
    identity = (
        '{"appId": "a", "exportType": "Event", "exportFormat": "CsvBlob", "compression": "gzip", '
        '"range": ["2026-01-01T00:00:00+00:00", "2026-01-02T00:00:00+00:00"], '
        '"campaignType": null, "campaignIds": [], "asOf": null, "includeUserId": false, '
        '"csvFormulaGuard": true, "description": "mine"}'
    )

    request = ExportRequest(
        app_id="a",
        export_type=ExportType.EVENT,
        export_format=ExportFormat.CSV,
        compression=Compression.GZIP,
        time_range=TimeRange.of_days(date(2026, 1, 1), date(2026, 1, 1)),
        csv_formula_guard=True,
        description="mine",
        published_contract=True,
    )

    assert write_identity(request) == identity


@pytest.mark.parametrize(
    ("request_", "identity"),
    [
        (
            EVERY_OPTION,
            (
                '{"appId": "a", "exportType": "Event", "exportFormat": "CsvBlob", '
                '"compression": "zstd", '
                '"range": ["2026-01-01T00:00:00+00:00", "2026-01-02T00:00:00.000005+00:00"], '
                '"campaignType": null, "campaignIds": [], "asOf": null, "includeUserId": true, '
                '"csvFormulaGuard": true, "description": "mine", "timeAxis": "received", '
                '"eventNames": ["b", "\\u65e5\\u672c"], "columns": ["name", "deviceId"], '
                '"includeRecordId": true, "includeInfo": true, "includeDeviceTimestamp": true, '
                '"emptyFile": false, "publishedContract": false}'
            ),
        ),
        (
            CAMPAIGNS,
            (
                '{"appId": "a", "exportType": "Push", "exportFormat": "JsonBlob", '
                '"compression": "none", "range": null, "campaignType": "Poll", '
                '"campaignIds": [3, 1], "asOf": null, "includeUserId": false, '
                '"csvFormulaGuard": false, "description": ""}'
            ),
        ),
        (
            SNAPSHOT,
            (
                '{"appId": "a", "exportType": "Tag", "exportFormat": "NdjsonBlob", '
                '"compression": "none", "range": null, "campaignType": null, "campaignIds": [], '
                '"asOf": "2026-01-01T00:00:00.000123+00:00", "includeUserId": false, '
                '"csvFormulaGuard": false, "description": "", "publishedContract": false}'
            ),
        ),
    ],
)
def test_a_repeated_request_is_known_by_the_same_bytes(
    request_: ExportRequest, identity: str
) -> None:
    assert write_identity(request_) == identity


def test_the_selection_of_a_manifest_stays_as_it_is() -> None:
    head = PlanHead(versions={Kind.EVENT: 3}, campaign_ids=(5,))

    content = json.loads(manifest_of("1", EVERY_OPTION, head, {}))

    assert content["selection"] == {
        "start": "2026-01-01T00:00:00+00:00",
        "end": "2026-01-02T00:00:00.000005+00:00",
        "asOf": None,
        "campaignType": None,
        "campaignIds": [5],
        "includeUserId": True,
        "csvFormulaGuard": True,
        "timeAxis": "received",
        "eventNames": ["b", "日本"],
        "columns": ["name", "deviceId"],
        "includeRecordId": True,
        "includeInfo": True,
        "includeDeviceTimestamp": True,
        "emptyFile": False,
    }
    assert content["tables"] == {"event": 3}
