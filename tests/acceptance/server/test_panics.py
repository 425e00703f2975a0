"""Tests that a panic of an extension, which is no `Exception`, stops one request only."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from polars.exceptions import PanicException

from engagement import operations
from engagement.server.collection import native
from support.batches import batch, log
from support.server_in_process import Role, Service, app_path, serve_in_process

Ask = Callable[[Service], httpx.Response]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with serve_in_process(tmp_path_factory.mktemp("home")) as running:
        yield running


def _list_exports(service: Service) -> httpx.Response:
    answer: httpx.Response = service.http.request(
        "GET",
        f"{app_path('alpha')}/devices/exportTasks",
        params={"api-version": "2026-11-01"},
        headers=service.headers("alpha", Role.READER),
    )
    return answer


def _post_batch(service: Service) -> httpx.Response:
    app = operations.list_apps(service.runtime)[0]
    key = operations.create_key(service.runtime, app.app_id, name="panics").app_key
    answer: httpx.Response = service.http.request(
        "POST",
        native.PATH,
        content=batch(log("event")),
        headers={"Authorization": f"Bearer {key}"},
    )
    return answer


def _ask_whether_ready(service: Service) -> httpx.Response:
    answer: httpx.Response = service.http.request("GET", "/readyz")
    return answer


@pytest.mark.parametrize(
    ("operation", "ask", "code"),
    [
        ("list_exports_page", _list_exports, "InternalServerError"),
        ("collect_batch", _post_batch, "InternalServerError"),
        ("list_damaged_tables", _ask_whether_ready, "NotReady"),
    ],
    ids=["management", "collection", "readiness"],
)
def test_a_panic_is_answered_and_the_next_request_is_served(
    service: Service,
    monkeypatch: pytest.MonkeyPatch,
    operation: str,
    ask: Ask,
    code: str,
) -> None:
    def panic(*_: Any, **__: Any) -> None:
        raise PanicException("canary")

    with monkeypatch.context() as patched:
        patched.setattr(operations, operation, panic)
        answer = ask(service)

    assert answer.is_server_error
    assert answer.json()["error"]["code"] == code
    assert "canary" not in answer.text
    assert ask(service).is_success
