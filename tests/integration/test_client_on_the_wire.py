"""Puts the client on lines that break, servers that lie and answers that get lost.

A server of ours does none of this, so answers are scripted; how the client gets on with a real
one is for the acceptance tests.
"""

import asyncio
import json
import logging
import traceback
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engagement import AsyncClient, Client
from engagement.client.responses import NoResponseError
from engagement.exceptions import (
    BadInputError,
    EngagementError,
    ErrorCode,
    IllegalStateError,
    InvalidExportError,
    NotAuthenticatedError,
    ServerError,
    ServerUnreachableError,
    TooManyRequestsError,
    class_of_code,
)
from engagement.model.apps import App
from engagement.model.exports import ExportState

SERVER = "https://exports.example.org"
SECRET = "sig=canary%2Fsas"  # noqa: S105 - what must not be seen
CONTAINER = f"https://a.blob.core.windows.net/c?{SECRET}"
APP = App(app_id="a1", name="app", collection="c", resource_group="g", subscription="s")


def task(state: str = "Queued", **more: Any) -> dict[str, Any]:
    """A task as the server writes it."""
    return {
        "id": "1" * 32,
        "exportType": "Tag",
        "exportFormat": "JsonBlob",
        "compression": "none",
        "state": state,
        "container": "https://a.blob.core.windows.net/c",
        "folder": "Tag/" + "1" * 32,
        "description": "",
        "dateCreated": "2026-01-01T00:00:00.000Z",
        "attempt": 1,
        "progress": {
            "partsTotal": 0,
            "partsDone": 0,
            "rowsTotal": 0,
            "rowsDone": 0,
            "bytesDone": 0,
            "rowsPerSecond": None,
            "secondsLeft": None,
        },
        **more,
    }


class Line:
    """A client whose requests are answered from a script, and what it sent and waited."""

    def __init__(self, *script: httpx.Response | Exception, **access: Any) -> None:
        self.script = list(script)
        self.requests: list[httpx.Request] = []
        self.waits: list[float] = []
        self.client = Client(
            SERVER,
            http=httpx.Client(transport=httpx.MockTransport(self._answer)),
            pause=self.waits.append,
            **{"token": "t", **access},
        )

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        found = self.script.pop(0)
        return come(found)


def come(found: httpx.Response | Exception) -> httpx.Response:
    """The answer as it comes over a line, in a stream; a broken line is raised."""
    if isinstance(found, Exception):
        raise found
    stream = httpx.ByteStream(found.content)
    return httpx.Response(found.status_code, headers=found.headers, stream=stream)


def error(status: int, code: str, **headers: str) -> httpx.Response:
    """A refusal in the published shape."""
    body = {"error": {"code": code, "message": f"Because of {code}."}}
    return httpx.Response(status, json=body, headers=headers)


def test_a_creation_that_is_repeated_carries_the_same_key() -> None:
    line = Line(
        httpx.ReadTimeout("slow"),
        httpx.Response(502, text="<html>bad gateway"),
        httpx.Response(202, json=task()),
    )

    made = line.client.create_export(APP, "Tag", CONTAINER)

    assert made.task.task_id == "1" * 32
    keys = {request.headers["Idempotency-Key"] for request in line.requests}
    assert len(line.requests) == 3
    assert len(keys) == 1
    assert len(line.waits) == 2
    line.script.append(httpx.Response(202, json=task()))
    line.client.create_export(APP, "Tag", CONTAINER)
    assert line.requests[-1].headers["Idempotency-Key"] not in keys


def test_a_server_that_asks_for_time_gets_it() -> None:
    busy = error(429, "TooManyRequests", **{"Retry-After": "7"})
    line = Line(busy, httpx.Response(200, json=task()))
    line.client.get_export(APP, "1" * 32)
    assert line.waits == [7.0]

    line = Line(error(429, "TooManyRequests", **{"Retry-After": "3600"}))
    with pytest.raises(TooManyRequestsError):
        line.client.get_export(APP, "1" * 32)
    assert line.waits == []


@pytest.mark.parametrize("retries", [0, 1, 4])
def test_a_line_that_stays_broken_is_told_after_the_tries(retries: int) -> None:
    line = Line(*[httpx.ConnectError("no")] * (retries + 1), retries=retries)

    with pytest.raises(ServerUnreachableError):
        line.client.get_export(APP, "1" * 32)

    assert line.script == []
    assert len(line.waits) == retries


def test_a_cancel_whose_answer_was_lost_is_found_to_have_worked() -> None:
    refused = error(409, "IllegalState")
    line = Line(httpx.ReadError("cut"), refused, httpx.Response(200, json=task("Cancelled")))
    assert line.client.cancel_export(APP, "1" * 32).state is ExportState.CANCELLED

    line = Line(refused)
    with pytest.raises(IllegalStateError):
        line.client.cancel_export(APP, "1" * 32)


def test_a_retry_whose_answer_was_lost_is_found_to_have_worked() -> None:
    refused = error(409, "IllegalState")
    running = httpx.Response(200, json=task("Started", attempt=2))
    line = Line(httpx.ReadError("cut"), refused, running)
    assert line.client.retry_export(APP, "1" * 32, CONTAINER).task.attempt == 2

    failed = httpx.Response(200, json=task("Failed", attempt=2))
    line = Line(httpx.ReadError("cut"), refused, failed)
    with pytest.raises(IllegalStateError):
        line.client.retry_export(APP, "1" * 32, CONTAINER)


def test_a_redirect_is_not_followed() -> None:
    line = Line(httpx.Response(307, headers={"Location": "https://evil.example/"}))

    with pytest.raises(ServerError, match="307"):
        line.client.get_export(APP, "1" * 32)

    assert [request.url.host for request in line.requests] == ["exports.example.org"]


def test_a_next_page_at_another_host_is_asked_of_the_server() -> None:
    link = "https://evil.example/steal?%24skip=40&%24top=40&api-version=2026-11-01"
    first = httpx.Response(200, json={"value": [task()], "nextLink": link})
    second = httpx.Response(200, json={"value": [task(), task(id="2" * 32)]})
    line = Line(first, second)

    found = [export.task_id for export in line.client.list_exports(APP)]

    assert found == ["1" * 32, "2" * 32]
    assert {request.url.host for request in line.requests} == {"exports.example.org"}
    assert line.requests[1].url.params["$skip"] == "40"


def test_a_token_is_kept_and_renewed_when_it_is_refused() -> None:
    def token(text: str) -> httpx.Response:
        return httpx.Response(200, json={"access_token": text, "expires_in": 3600})

    seen = httpx.Response(200, json=task())
    line = Line(
        *(token("one"), seen, seen, error(401, "NotAuthenticated"), token("two"), seen),
        token=None,
        tenant_id="t",
        client_id="c",
        client_secret="s",  # noqa: S106 - none
    )
    for _ in range(3):
        line.client.get_export(APP, "1" * 32)

    used = [
        request.headers["Authorization"] for request in line.requests if request.method == "GET"
    ]
    assert used == ["Bearer one", "Bearer one", "Bearer one", "Bearer two"]
    line.script = [error(401, "NotAuthenticated"), token("three"), error(401, "NotAuthenticated")]
    with pytest.raises(NotAuthenticatedError):
        line.client.get_export(APP, "1" * 32)


def test_an_answer_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engagement.client.sync.connection.ANSWER_BYTES_MAX", 10)
    line = Line(httpx.Response(200, json=task()))

    with pytest.raises(ServerError, match="got more"):
        line.client.get_export(APP, "1" * 32)


bodies = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*task(), "value", "error", "code"]), inner, max_size=5)
    ),
)


@given(
    status=st.integers(200, 599).filter(lambda item: item not in {401, 429, 502, 503, 504}),
    body=bodies.map(lambda item: json.dumps(item).encode()) | st.binary(max_size=20),
)
def test_whatever_a_server_answers_is_a_task_or_a_clear_error(status: int, body: bytes) -> None:
    line = Line(httpx.Response(status, content=body))
    with pytest.raises(EngagementError) as found:
        line.client.get_export(APP, "1" * 32)
    assert str(found.value)
    assert SERVER not in str(found.value)


@pytest.mark.parametrize("name", [name for name in task() if name != "description"])
def test_a_task_without_a_field_is_named_as_unreadable(name: str) -> None:
    cut = {key: value for key, value in task().items() if key != name}
    with pytest.raises(ServerError, match="cannot be read"):
        Line(httpx.Response(200, json=cut)).client.get_export(APP, "1" * 32)


def test_a_code_that_is_newer_than_the_client_keeps_its_message() -> None:
    with pytest.raises(BadInputError, match=r"Because of FromTheFuture\."):
        Line(error(400, "FromTheFuture")).client.get_export(APP, "1" * 32)
    newer = Line(httpx.Response(200, json=task("Failed", errorCode="FromTheFuture")))
    assert newer.client.get_export(APP, "1" * 32).error_code is ErrorCode.INTERNAL


@pytest.mark.parametrize("code", list(ErrorCode))
def test_a_failed_task_raises_the_class_of_its_code(code: ErrorCode) -> None:
    failed = httpx.Response(200, json=task("Failed", errorCode=code.value, errorDetails="Because."))
    line = Line(failed, failed)
    poller = line.client.follow_export(APP, "1" * 32)

    for fail in (poller.result, lambda: line.client.read(poller.task, CONTAINER)):
        with pytest.raises(EngagementError, match=r"^Because\.$") as found:
            fail()
        assert found.value.code is code
        assert type(found.value) is class_of_code(code)
    assert poller.wait() == poller.task
    assert type(poller.task.error) is class_of_code(code)


@pytest.mark.parametrize(
    "options", [{"column": ["name"]}, {"columns": "name"}, {"as_of": "2026"}, {"empty_file": "no"}]
)
def test_an_option_that_cannot_be_is_refused_before_anything_is_sent(
    options: dict[str, Any],
) -> None:
    line = Line()
    for make in (
        lambda: line.client.create_export(APP, "Tag", CONTAINER, **options),
        lambda: line.client.estimate_export(APP, "Tag", **options),
    ):
        with pytest.raises(InvalidExportError):
            make()

    assert line.requests == []


def test_what_is_asked_is_sent_whole() -> None:
    line = Line(
        httpx.Response(202, json=task(exportType="Push", campaignType="Poll", campaignIds=[1]))
    )

    line.client.create_export(
        APP,
        "Push",
        CONTAINER,
        export_format="NdjsonBlob",
        campaign_type="poll",
        campaign_ids=[1],
        as_of="2026-01-01T01:00:00+01:00",
        empty_file=False,
        description="mine",
    )

    assert line.requests[0].url.path.endswith("/exportTasks/feedbackByCampaign")
    assert json.loads(line.requests[0].content) == {
        "containerUrl": CONTAINER,
        "exportFormat": "NdjsonBlob",
        "compression": "none",
        "campaignType": "Poll",
        "campaignIds": [1],
        "asOf": "2026-01-01T00:00:00Z",
        "description": "mine",
        "exportOptions": {
            "exportUserId": False,
            "includeRecordId": True,
            "includeInfo": False,
            "includeDeviceTimestamp": False,
            "csvFormulaGuard": False,
            "excel": False,
            "emptyFile": False,
        },
    }


def test_a_task_of_a_request_that_cannot_be_is_the_answers_fault() -> None:
    line = Line(httpx.Response(200, json=task(exportType="Event")))  # without its range

    with pytest.raises(ServerError, match="cannot be read"):
        line.client.get_export(APP, "1" * 32)


def _chain(error: BaseException | None) -> list[type[BaseException]]:
    """The classes of an exception and of all that it keeps alive."""
    return [] if error is None else [type(error), *_chain(error.__context__)]


def test_no_secret_is_logged_or_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    line = Line(httpx.ConnectError(f"GET {CONTAINER}"), retries=0)
    with pytest.raises(ServerUnreachableError) as found:
        line.client.create_export(APP, "Tag", CONTAINER)
    line = Line(httpx.Response(202, json=task()))
    line.client.create_export(APP, "Tag", CONTAINER)

    assert caplog.records
    shown = "".join(traceback.format_exception(found.value)) + repr(vars(line.client))
    assert "canary" not in caplog.text + shown
    assert _chain(found.value) == [ServerUnreachableError, NoResponseError]


@pytest.mark.parametrize(
    "server",
    [
        *("", "exports.example.org", "ftp://host", "http://exports.example.org", "https://"),
        *("https://user:hush@host", "https://host?x=1", "https://host#x", "https://host:99999"),
    ],
)
def test_an_address_that_cannot_work_is_refused(server: str) -> None:
    with pytest.raises(BadInputError, match="server") as found:
        Client(server, token="t")  # noqa: S106 - none
    assert "hush" not in str(found.value)


@pytest.mark.parametrize(
    "access",
    [{}, {"tenant_id": "t"}, {"token": "t", "client_id": "c"}, {"client_secret": "s"}],
)
def test_half_of_the_credentials_are_refused(access: dict[str, str]) -> None:
    with pytest.raises(BadInputError, match="token"):
        Client(SERVER, **access)  # type: ignore[arg-type]


def test_the_asynchronous_client_awaits_its_token_and_its_pauses() -> None:
    waits: list[float] = []
    answers = [httpx.ReadError("cut"), httpx.Response(200, json=task("Succeeded"))]

    def answer(request: httpx.Request) -> httpx.Response:
        assert request.headers["Authorization"] == "Bearer awaited"
        return come(answers.pop(0))

    async def token() -> str:
        return "awaited"

    async def pause(seconds: float) -> None:
        waits.append(seconds)

    async def use() -> None:
        http = httpx.AsyncClient(transport=httpx.MockTransport(answer))
        client = AsyncClient(SERVER, http=http, pause=pause, token=token)
        assert (await client.get_export(APP, "1" * 32)).state is ExportState.SUCCEEDED
        await http.aclose()

    asyncio.run(use())
    assert len(waits) == 1
