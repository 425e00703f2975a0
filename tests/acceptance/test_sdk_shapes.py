"""Makes the requests of SDKs that cannot run here, as their sources make them."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from engagement.model.exports import ExportType
from support.exporting import exported
from support.sdk_shapes import SHAPES
from support.server_process import RunningServer, running_server
from support.waiting import WAIT_SECONDS_MAX

PUBLIC_HOST = "collect.example.org:8443"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("shapes")
    with running_server(
        folder / "home",
        ENGAGEMENT_LOCAL_ROOTS=str(tmp_path_factory.getbasetemp()),
        ENGAGEMENT_PUBLIC_URL=f"https://{PUBLIC_HOST}",
    ) as running:
        yield running


@pytest.mark.parametrize("name", SHAPES)
def test_what_an_sdk_tells_is_exported(server: RunningServer, name: str, tmp_path: Path) -> None:
    shape, app = SHAPES[name], server.app()

    answer = shape.send(server.address, app["appKey"])

    types = [ExportType(item) for item in shape.expected]
    found = exported(server, server.client("owner"), app["appId"], tmp_path, types)
    assert (answer.status_code, answer.json()) == (200, {"success": True})
    for export_type, wanted in shape.expected.items():
        fields = [
            {field: record.get(field) for field in item}
            for item, record in zip(wanted, found[export_type], strict=True)
        ]
        assert fields == wanted, export_type


def test_a_web_page_may_ask_from_anywhere(server: RunningServer) -> None:
    order = {
        "Origin": "https://shop.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,x-retry-count",
    }

    answers = [
        httpx.options(server.address + path, headers=order, trust_env=False)
        for path in ("/v1/t", "/v1/batch", "/v1/projects/k/settings")
    ]

    for answer in answers:
        assert answer.status_code == 204
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert "POST" in answer.headers["Access-Control-Allow-Methods"]
        allowed = answer.headers["Access-Control-Allow-Headers"].lower().split(", ")
        assert {"authorization", "content-type", "x-retry-count"} <= set(allowed)


def test_a_web_page_reads_every_answer_and_when_to_come_again(server: RunningServer) -> None:
    key = server.app()["appKey"]
    shape = SHAPES["analytics-next"]

    answers = [
        shape.send(server.address, key),
        shape.send(server.address, "wrong"),
        httpx.get(f"{server.address}/v1/t", trust_env=False, timeout=WAIT_SECONDS_MAX),
        httpx.get(
            f"{server.address}/v1/projects/k/settings", trust_env=False, timeout=WAIT_SECONDS_MAX
        ),
    ]

    assert [item.status_code for item in answers] == [200, 401, 405, 200]
    for answer in answers:
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert answer.headers["Access-Control-Expose-Headers"] == "Retry-After"


@pytest.mark.parametrize("path", ["/projects/{key}/settings", "/v1/projects/{key}/settings"])
def test_segments_sdks_are_told_to_send_here(server: RunningServer, path: str) -> None:
    answer = httpx.get(
        server.address + path.format(key="my-key"), trust_env=False, timeout=WAIT_SECONDS_MAX
    )

    assert answer.status_code == 200
    assert answer.json()["integrations"] == {
        "Segment.io": {"apiKey": "my-key", "apiHost": f"{PUBLIC_HOST}/v1"}
    }
    assert answer.json()["metrics"] == {"sampleRate": 0}  # else it reports to Segment


@pytest.mark.parametrize("path", ["/sourceConfig?p=android&v=1.27.0&bv=34", "/sourceConfig/?p=npm"])
def test_rudderstacks_sdks_are_told_that_they_are_enabled(server: RunningServer, path: str) -> None:
    answer = httpx.get(
        server.address + path,
        auth=("my-key", ""),
        trust_env=False,
        timeout=WAIT_SECONDS_MAX,
    )

    source = answer.json()["source"]
    assert answer.status_code == 200
    assert (source["enabled"], source["destinations"]) == (True, [])
    assert {"id", "name", "config", "updatedAt"} <= set(source)
