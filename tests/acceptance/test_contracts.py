"""Holds the server to its documents: the published one and the one it generates.

Schemathesis makes requests from a document, good and bad ones, one after another and in chains,
with and without authentication, and compares each answer with what the document says.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support import access_tokens
from support.checkout import SHARED
from support.server_process import RunningServer, import_batches, running_server
from support.waiting import WAIT_SECONDS_MAX, waiting_for

PUBLISHED = SHARED / "api/mobile-engagement-2014-12-01.openapi.json"
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "ignored_auth",
)
SETTINGS = f"""
hooks = {json.dumps(str(Path(access_tokens.__file__)))}
request-timeout = {WAIT_SECONDS_MAX}
suppress-health-check = ["too_slow"]  # that data is slow to make says nothing of the server
[warnings]
fail-on = ["missing_auth"]  # an operation that only ever refuses its caller was not tested
"""
NAMES = {
    "subscriptionId": "default",
    "resourceGroupName": "default",
    "appCollection": "default",
    "appName": "first",
}
OURS = ("/exportTasks", "/importTasks", "/appCollections", "/apps", "/supportedPlatforms",
        "/checkAppCollectionNameAvailability", "/devices", "/users")  # fmt: skip
BATCH = {
    "batchId": "b1",
    "sentAt": "2026-01-02T10:00:00Z",
    "deviceId": "d" * 32,
    "userId": "ada",
    "logs": [{"type": "tags", "timestamp": "2026-01-02T10:00:00Z", "tags": {"level": 7}}],
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server with an app that has a device, whose exports go to a folder."""
    folder = tmp_path_factory.mktemp("contracts")
    batches = folder / "batches.ndjson"
    batches.write_text(json.dumps(BATCH) + "\n", encoding="utf-8")
    import_batches(folder / "home", batches)
    with running_server(
        folder / "home",
        ENGAGEMENT_LOCAL_ROOTS=str(folder / "out"),
        ENGAGEMENT_REQUESTS_PER_MINUTE="1000000000",
        ENGAGEMENT_TOKEN_REQUESTS_PER_MINUTE="1000000000",  # noqa: S106 - a number
    ) as running:
        yield running


def _narrowed(document: dict[str, Any], version: str, container: str) -> dict[str, Any]:
    """The document with names that exist, so that requests get past the 404s."""
    known = {**NAMES, "api-version": version}

    def narrow(node: Any) -> None:
        if isinstance(node, dict):
            if "in" in node and node.get("name") in known:
                node["schema"] = {"type": "string", "enum": [known[node["name"]]]}
            for name, value in node.items():
                if name in {"containerUrl", "storageUrl"} and isinstance(value, dict):
                    node[name] = {"type": "string", "enum": [container, "https://example.org/c"]}
                else:
                    narrow(value)
        elif isinstance(node, list):
            for item in node:
                narrow(item)

    narrow(document)
    return document


def _check(
    server: RunningServer,
    document: dict[str, Any],
    folder: Path,
    examples: int,
    *,
    scheme: str = "Bearer",
) -> None:
    address, form = server.token_request(server.client("owner"))
    client = {"address": address, "form": form, "scheme": scheme}
    (folder / access_tokens.CLIENT_FILE).write_text(json.dumps(client), encoding="utf-8")
    (folder / "schemathesis.toml").write_text(SETTINGS, encoding="utf-8")
    (folder / "document.json").write_text(json.dumps(document), encoding="utf-8")
    with waiting_for("Schemathesis"):  # as long as the test may take, which depends on the count
        done = subprocess.run(
            [
                *(sys.executable, "-m", "schemathesis.cli", "run", "document.json"),
                *("--url", server.address),
                *("--checks", ",".join(CHECKS), "--max-examples", str(examples)),
                *("--generation-deterministic", "--no-color"),
            ],
            cwd=folder,
            check=False,
            capture_output=True,
            text=True,
        )
    assert done.returncode == 0, done.stdout[-8_000:] + done.stderr[-2_000:]
    assert " passed" in done.stdout


@pytest.mark.skipif(not PUBLISHED.is_file(), reason="needs the published contract in ../shared")
def test_every_answer_is_as_the_published_contract_has_it(
    server: RunningServer, tmp_path: Path, examples: int
) -> None:
    document = json.loads(PUBLISHED.read_text(encoding="utf-8"))
    document["paths"] = {
        path: operations
        for path, operations in document["paths"].items()
        if any(word in path for word in OURS) and "campaigns" not in path
    }
    container = f"file://{server.environment['ENGAGEMENT_LOCAL_ROOTS']}/c"

    _check(server, _narrowed(document, "2014-12-01", container), tmp_path, examples)


def test_every_answer_is_as_the_generated_document_has_it(
    server: RunningServer, tmp_path: Path, examples: int
) -> None:
    with server.http() as http:
        document = http.get("/openapi.json").raise_for_status().json()
    # The app must keep its name, by which all other requests find it.
    names = {"type": "string", "enum": [NAMES["appName"], "a/b"]}
    document["components"]["schemas"]["RenameBody"]["properties"]["name"] = names
    container = f"file://{server.environment['ENGAGEMENT_LOCAL_ROOTS']}/c"

    _check(server, _narrowed(document, "2026-11-01", container), tmp_path, examples)


def test_a_planted_difference_is_found(server: RunningServer, tmp_path: Path) -> None:
    document = _platforms_only(server)
    document["components"]["schemas"]["Platforms"]["required"] = ["platforms", "planted"]

    with pytest.raises(AssertionError, match="planted"):
        _check(server, document, tmp_path, 5)


def test_a_run_that_is_only_ever_refused_fails(server: RunningServer, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="returned only 401/403"):
        _check(server, _platforms_only(server), tmp_path, 5, scheme="Planted")


def _platforms_only(server: RunningServer) -> dict[str, Any]:
    with server.http() as http:
        document = http.get("/openapi.json").raise_for_status().json()
    document["paths"] = {
        path: operations
        for path, operations in document["paths"].items()
        if path.endswith("/supportedPlatforms")
    }
    return _narrowed(document, "2026-11-01", "file:///nowhere")


def test_the_documentation_page_needs_nobody_else(server: RunningServer) -> None:
    with server.http() as http:
        page = http.get("/docs").raise_for_status()

        assert "://" not in page.text.replace("http://www.w3.org", "")
        for path in page.text.split('"'):
            if path.startswith("/static"):
                assert http.get(path).is_success
        assert "'self'" in page.headers["content-security-policy"]
