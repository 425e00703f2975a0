"""Tests that a request for an export cannot be built wrong, nor shown with its secret."""

from dataclasses import FrozenInstanceError, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from engagement.exceptions import (
    InvalidExportError,
)
from engagement.model.apps import App, NewApp
from engagement.model.export_request import ExportRequest
from engagement.model.exports import CampaignType, ExportFormat, ExportType, TimeRange

START = datetime(2024, 2, 28, tzinfo=UTC)
ONE_DAY = timedelta(days=1)
SECRET = "https://account.example/container?sig=secret"  # noqa: S105 - not one of anybody's
DAYS = TimeRange(start=START, end=START + ONE_DAY)
WANTED: dict[str, Any] = {
    "app_id": "a" * 32,
    "export_type": ExportType.EVENT,
    "export_format": ExportFormat.JSON,
    "container_url": SECRET,
    "time_range": DAYS,
}
PUSH = WANTED | {
    "export_type": ExportType.PUSH,
    "time_range": None,
    "campaign_type": CampaignType.POLL,
    "campaign_ids": (1,),
}
TAG = WANTED | {"export_type": ExportType.TAG, "time_range": None}


@pytest.mark.parametrize("wanted", [WANTED, PUSH, TAG, PUSH | {"campaign_ids": (0, 2**63 - 1)}])
def test_a_possible_request_is_built(wanted: dict[str, Any]) -> None:
    assert ExportRequest(**wanted).export_type is wanted["export_type"]


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (WANTED | {"time_range": None}, "needs a start and an end"),
        (TAG | {"time_range": DAYS}, "takes no date range"),
        (WANTED | {"campaign_ids": (1,)}, "Only a Push export takes campaigns"),
        (WANTED | {"campaign_type": CampaignType.POLL}, "Only a Push export takes campaigns"),
        (PUSH | {"campaign_type": None}, "needs a campaign type"),
        (PUSH | {"campaign_ids": ()}, "got neither"),
        (PUSH | {"time_range": DAYS}, "got both"),
        (PUSH | {"campaign_ids": (1, -1)}, "0 to 2"),
        (PUSH | {"campaign_ids": (2**63,)}, "0 to 2"),
        (WANTED | {"as_of": START}, "takes a date range"),
        (TAG | {"as_of": START.replace(tzinfo=None)}, "must be in UTC"),
        (WANTED | {"csv_formula_guard": True}, "is for CsvBlob"),
    ],
)
def test_an_impossible_request_cannot_be_built(wanted: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidExportError, match=message) as refused:
        ExportRequest(**wanted)

    assert "secret" not in str(refused.value)


def test_secrets_are_not_shown() -> None:
    app = App(app_id="1", name="n", collection="c", resource_group="g", subscription="s")

    assert "secret" not in repr(ExportRequest(**WANTED))
    assert "secret" not in repr(NewApp(app=app, app_key="secret"))


def test_nouns_do_not_change() -> None:
    request = ExportRequest(**WANTED)

    with pytest.raises(FrozenInstanceError):
        request.app_id = "b"  # type: ignore[misc] # what is refused here
    assert replace(request, description="x") != request
