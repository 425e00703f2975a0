"""Tests that the command which a page shows makes the very export of the page."""

import json
import shlex
from datetime import UTC, datetime
from itertools import pairwise

import pytest

from engagement.model.apps import App
from engagement.model.export_options import request_of, request_of_body
from engagement.model.export_request import ExportRequest
from engagement.model.exports import ExportType
from engagement.server.console.commands import SAS_PLACE, call_of, command_of

APP = App(app_id="a" * 32, name="n", collection="c", resource_group="g", subscription="s")
REQUESTS = {
    "history": request_of(
        APP.app_id,
        "Event",
        "",
        {
            "export_format": "CsvBlob",
            "compression": "gzip",
            "start": "2026-11-01",
            "end": "2026-11-30",
            "event_names": ["buy; rm -rf", "it's"],
            "csv_formula_guard": True,
            "include_record_id": False,
            "empty_file": False,
            "description": "for Ann's team",
        },
    ),
    "snapshot": request_of(APP.app_id, "Tag", "", {"as_of": datetime(2026, 11, 1, 8, tzinfo=UTC)}),
    "campaigns": request_of(
        APP.app_id, "Push", "", {"campaign_type": "Poll", "campaign_ids": [1, 2]}
    ),
}


@pytest.mark.parametrize("name", REQUESTS)
def test_the_command_can_be_pasted_and_says_all(name: str) -> None:
    request = REQUESTS[name]
    words = shlex.split(command_of(request))

    assert words[:4] == ["engagement", "export", "create", request.export_type.value]
    assert words[4:8] == ["--app", APP.app_id, "--container", SAS_PLACE]
    pairs = set(pairwise(words))
    assert {("--event-name", text) for text in request.event_names} <= pairs
    assert {("--campaign", str(number)) for number in request.campaign_ids} <= pairs
    assert ("--formula-guard" in words) == request.csv_formula_guard
    assert ("--no-empty-file" in words) == (not request.empty_file)


@pytest.mark.parametrize("name", REQUESTS)
def test_the_call_has_the_body_that_makes_the_same_request(name: str) -> None:
    request: ExportRequest = REQUESTS[name]
    line, _, body = call_of(APP, request).partition("\n\n")

    made = request_of_body(
        APP.app_id, ExportType(request.export_type), json.loads(body), published_contract=False
    )
    assert line.startswith(f"POST {APP.resource_path}/devices/exportTasks/")
    assert made == request
