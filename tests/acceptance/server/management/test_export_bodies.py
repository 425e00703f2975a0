"""Tests what each version of the API takes of an export and what it says of one."""

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from engagement.model.access import Role
from support.server_in_process import VERSIONS, Service, app_path, serve_in_process

TENANT = "alpha"
PUBLISHED, CURRENT = VERSIONS


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("doors")
    with serve_in_process(folder / "home", local_roots=(folder / "out",)) as running:
        yield running


def _tasks(service: Service, version: str, **query: object) -> Any:
    answer = service.http.get(
        f"{app_path(TENANT)}/devices/exportTasks",
        params={"api-version": version, **query},
        headers=service.headers(TENANT, Role.READER),
    )
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"exportOptions": {"exportUserId": True}}, 202),
        ({"ExportOptions": {"EXPORTUSERID": True}}, 202),
        ({"exportoptions": {"exportuserid": True}, "DESCRIPTION": "mine"}, 202),
        ({"exportOptions": None}, 202),
        ({"exportOptions": {"exportUserId": "maybe"}}, 400),
        ({"exportOptions": 1}, 400),
    ],
)
def test_the_published_option_is_obeyed_in_any_case(
    service: Service, body: dict[str, Any], status: int
) -> None:
    answer = service.create(TENANT, PUBLISHED, "tags", body)

    assert answer.status_code == status, answer.text
    if status == 202:
        kept = service.runtime.tasks.get(answer.json()["id"], now=service.runtime.clock())
        assert kept.request.include_user_id is ("user" in json.dumps(body).lower())
        assert kept.request.published_contract
        assert not kept.request.include_record_id


def test_of_names_that_differ_in_case_alone_the_last_holds(service: Service) -> None:
    answer = service.create(
        TENANT, PUBLISHED, "tags", {"description": "first", "Description": "last"}
    )

    assert answer.json()["description"] == "last"


def test_lists_of_2014_hold_what_it_can_show(service: Service) -> None:
    """Pages are right too: what is not shown takes no place in them."""
    before = {task["id"] for task in _all(service, PUBLISHED)}
    made = {}
    for number in range(12):
        version, word = ((CURRENT, "devices"), (CURRENT, "tags"), (PUBLISHED, "devices"))[
            number % 3
        ]
        body = {"description": f"{number}"}
        made[service.create(TENANT, version, word, body).json()["id"]] = (version, word)
    wanted = {task_id for task_id, place in made.items() if place != (CURRENT, "devices")}

    pages = list(_pages(service, PUBLISHED, top=3))
    shown = [task["id"] for page in pages for task in page["value"]]

    assert set(shown) - before == wanted
    assert len(shown) == len(set(shown))
    assert all(len(page["value"]) == 3 for page in pages[:-1])
    assert set(made) <= {task["id"] for task in _all(service, CURRENT)}
    for task_id, place in made.items():
        found = service.http.get(
            f"{app_path(TENANT)}/devices/exportTasks/{task_id}",
            params={"api-version": PUBLISHED},
            headers=service.headers(TENANT, Role.READER),
        )
        assert (found.status_code == 200) is (place != (CURRENT, "devices"))


def _pages(service: Service, version: str, *, top: int) -> Iterator[Any]:
    query: dict[str, object] = {"$top": top, "$orderby": "DATECREATED Desc"}
    while True:
        page = _tasks(service, version, **query)
        yield page
        if "nextLink" not in page:
            return
        linked = dict(httpx.URL(page["nextLink"]).params)
        query = {name: value for name, value in linked.items() if name != "api-version"}


def _all(service: Service, version: str) -> list[Any]:
    return [task for page in _pages(service, version, top=40) for task in page["value"]]


def test_later_options_are_unknown_to_2014(service: Service) -> None:
    """Fields that are not published are left aside there, and never act."""
    later = {
        "exportOptions": {"includeRecordId": True, "emptyFile": False, "includeInfo": True},
        "compression": "gzip",
    }
    answer = service.create(TENANT, PUBLISHED, "tags", later)
    kept = service.runtime.tasks.get(answer.json()["id"], now=service.runtime.clock()).request

    assert (kept.include_record_id, kept.include_info, kept.empty_file) == (False, False, True)
    for word in ("info", "locations"):
        assert service.create(TENANT, PUBLISHED, word, {}).status_code in {404, 405}


EVERYTHING: list[tuple[str, dict[str, Any]]] = [
    (
        "events",
        {
            "startTime": "2026-01-01T00:00:00.000001Z",
            "endTime": "2026-01-02T00:00:00Z",
            "timeAxis": "received",
            "eventNames": ["a", "b"],
            "columns": ["deviceId", "name"],
            "compression": "gzip",
            "description": "mine",
            "exportOptions": {
                "exportUserId": True,
                "includeRecordId": False,
                "includeInfo": True,
                "includeDeviceTimestamp": True,
                "csvFormulaGuard": True,
                "excel": True,
                "emptyFile": False,
            },
        },
    ),
    ("tags", {"asOf": "2026-01-01T00:00:00Z"}),
    (
        "feedbackByDate",
        {
            "campaignType": "Poll",
            "campaignWindowStart": "2026-01-01T00:00:00Z",
            "campaignWindowEnd": "2026-02-01T00:00:00Z",
            "asOf": "2026-01-15T00:00:00Z",
        },
    ),
    (
        "feedbackByCampaign",
        {"campaignType": "DataPush", "campaignIds": [3, 2**62], "asOf": "2026-01-15T00:00:00Z"},
    ),
]


@pytest.mark.parametrize(("word", "body"), EVERYTHING)
def test_a_task_says_what_was_asked_by_the_names_of_the_request(
    service: Service, word: str, body: dict[str, Any]
) -> None:
    answer = service.create(TENANT, CURRENT, word, body)
    assert answer.status_code == 202, answer.text
    listed = {task["id"]: task for task in _all(service, CURRENT)}
    shown = service.http.get(
        answer.headers["Location"], headers=service.headers(TENANT, Role.READER)
    ).json()

    for task in (answer.json(), shown, listed[shown["id"]]):
        assert {**task, **body} == task
        assert task["exportFormat"] == "CsvBlob"
        assert set(task["exportOptions"]) == set(EVERYTHING[0][1]["exportOptions"])
        assert "containerUrl" not in task


def test_the_document_names_every_option(service: Service) -> None:
    document = service.http.get("/openapi.json").json()
    named = set(re.findall(r'"(\w+)": {', json.dumps(document["components"]["schemas"])))

    for _, body in EVERYTHING:
        assert set(body) | set(body.get("exportOptions", {})) <= named
