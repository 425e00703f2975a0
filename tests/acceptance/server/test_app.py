"""Tests what holds on every route, whatever it is for: HEAD, characters, names, dates.

The routes come from the server itself, so one that nobody thought of is tested too.
"""

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.requests import cookie_parser

from engagement import operations
from engagement.model.access import Role
from support.server_in_process import (
    VERSIONS,
    Route,
    Service,
    app_path,
    routes_of,
    serve_in_process,
)

TENANT = "alpha"
PUBLISHED, CURRENT = VERSIONS
SURROGATES = st.sampled_from(["\ud800", "a\udfff", "\udc00\ud800", "x\udbffy"])
UNPAIRED = "unpaired surrogate"
SECONDS_MAX = 60
DIFFERS = {"x-ms-request-id", "date"}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("routes")
    with serve_in_process(folder / "home", local_roots=(folder / "out",)) as running:
        yield running


@pytest.fixture(scope="module")
def routes(service: Service) -> list[Route]:
    return routes_of(service)


@pytest.fixture(scope="module")
def task_id(service: Service) -> str:
    """The id of an export task that has ended, so that it does not change any more."""
    created = str(service.create(TENANT, CURRENT, "tags", {}).json()["id"])
    return operations.wait_export(service.runtime, created, timeout_seconds=SECONDS_MAX).task_id


def _send(service: Service, route: Route, **given: Any) -> httpx.Response:
    """A request of a route as the tenant's owner, with its own body unless another is given."""
    body = {"json": route.body} if route.takes_body else {}
    return service.http.request(
        route.method,
        given.pop("address", route.address(TENANT)),
        params={"api-version": route.version, **given.pop("params", {})},
        headers={**service.headers(TENANT, Role.OWNER), **given.pop("headers", {})},
        **{**body, **given},
    )


def _same_but_for_the_body(head: httpx.Response, get: httpx.Response) -> bool:
    kept = [
        {name: value for name, value in answer.headers.items() if name not in DIFFERS}
        for answer in (head, get)
    ]
    return head.status_code == get.status_code and kept[0] == kept[1] and head.content == b""


def test_head_is_answered_wherever_get_is(
    service: Service, routes: list[Route], task_id: str
) -> None:
    names = {"id": task_id}
    addresses = [
        (route.address(TENANT, **names), {"api-version": route.version}, headers)
        for route in routes
        for headers in ({}, service.headers(TENANT, Role.OWNER))
        if route.method == "GET"
    ]
    document = service.http.get("/openapi.json").json()
    tenant_id = service.clients[TENANT, Role.OWNER].tenant_id
    addresses += [
        (path.replace("{tenant}", tenant), {}, {})
        for path, verbs in document["paths"].items()
        for tenant in (tenant_id, "nobody")
        if "get" in verbs and not path.startswith("/subscriptions")
    ]
    addresses += [(path, {}, {}) for path in ("/docs", "/openapi.json", "/nowhere", "/redoc")]
    settings = ("/sourceConfig", "/projects/k/settings", "/v1/projects/k/settings")
    addresses += [(path, {}, {}) for path in settings]

    statuses = set()
    for address, params, headers in addresses:
        get = service.http.get(address, params=params, headers=headers)
        head = service.http.request("HEAD", address, params=params, headers=headers)
        if address != "/metrics":  # which counts the requests themselves
            assert _same_but_for_the_body(head, get), (address, head.headers, get.headers)
        assert head.status_code == get.status_code
        statuses.add(get.status_code)

    assert len(addresses) > 30
    assert statuses >= {200, 401, 404}


def _places_of_text(body: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where a body has a text, a name of a property included (marked by None at the end)."""
    if isinstance(body, str):
        yield path
    elif isinstance(body, dict):
        for name, value in body.items():
            yield (*path, name, None)
            yield from _places_of_text(value, (*path, name))
    elif isinstance(body, list):
        for place, value in enumerate(body):
            yield from _places_of_text(value, (*path, place))


def _with_text(body: Any, path: tuple[Any, ...], text: str) -> Any:
    """The body with another text at a place."""
    if not path:
        return text
    first, *rest = path
    if rest == [None]:
        return {text if name == first else name: value for name, value in body.items()}
    if isinstance(body, dict):
        return {
            name: _with_text(value, tuple(rest), text) if name == first else value
            for name, value in body.items()
        }
    return [
        _with_text(value, tuple(rest), text) if place == first else value
        for place, value in enumerate(body)
    ]


EVERY_FIELD: dict[str, Any] = {
    "description": "d",
    "columns": ["name"],
    "eventNames": ["a"],
    "compression": "none",
    "timeAxis": "event",
    "asOf": "2026-01-01T00:00:00Z",
    "startTime": "2026-01-01T00:00:00Z",
    "endTime": "2026-01-02T00:00:00Z",
    "exportOptions": {"exportUserId": "yes"},
    "tags": {"id": {"key": "value"}},
    "unknown": [{"deep": ["text"]}],
}


@settings(max_examples=40)
@given(data=st.data(), text=SURROGATES)
def test_half_a_character_in_any_field_of_a_body_is_refused(
    service: Service, routes: list[Route], data: st.DataObject, text: str
) -> None:
    route = data.draw(st.sampled_from([route for route in routes if route.takes_body]))
    body = {**route.body, **data.draw(st.sampled_from([{}, EVERY_FIELD]))}
    place = data.draw(st.sampled_from(list(_places_of_text(body))))
    content = json.dumps(_with_text(body, place, text))
    if data.draw(st.booleans()):  # as bytes that are no UTF-8, rather than escaped
        raw = json.dumps(json.loads(content), ensure_ascii=False)
        encoded = raw.encode("utf-8", "surrogatepass")
    else:
        encoded = content.encode()

    answer = _send(
        service, route, content=encoded, headers={"Content-Type": "application/json"}, json=None
    )

    if "/cancel" in route.path:  # it takes no body
        assert answer.status_code == 404
        return
    assert answer.status_code == 400, (route, answer.text)
    assert answer.json()["error"]["code"] == "BadRequest"
    assert UNPAIRED in answer.text


@settings(max_examples=40)
@given(data=st.data(), escaped=st.sampled_from(["%ED%A0%80", "a%ED%BF%BF", "%ff", "%C3", "%80x"]))
def test_half_a_character_in_any_path_or_query_is_refused(
    service: Service, routes: list[Route], data: st.DataObject, escaped: str
) -> None:
    route = data.draw(st.sampled_from(routes))
    names = re.findall(r"{(\w+)}", route.path)
    name = data.draw(st.sampled_from([*names, "$filter", "$orderby", "$select", "dryRun", "x"]))
    place = {name: escaped} if name in names else {}
    query = "" if name in names else f"&{quote(name)}={escaped}"
    address = f"{route.address(TENANT, **place)}?api-version={route.version}{query}"

    answer = service.http.request(
        route.method,
        address,
        headers=service.headers(TENANT, Role.OWNER),
        json=route.body if route.takes_body else None,
    )

    assert answer.status_code == 400, (route, answer.text)
    assert answer.json()["error"]["code"] == "BadRequest"


@given(data=st.data(), value=st.binary(min_size=1, max_size=12).map(lambda text: b"k" + text))
def test_whatever_a_header_holds_is_no_fault_of_ours(
    service: Service, routes: list[Route], data: st.DataObject, value: bytes
) -> None:
    route = data.draw(st.sampled_from(routes))
    name = data.draw(
        st.sampled_from(["Idempotency-Key", "x-ms-client-request-id", "Content-Type", "Accept"])
    )
    kept = bytes(byte for byte in value if byte not in b"\r\n\0")
    owner = service.headers(TENANT, Role.OWNER)

    answer = service.http.request(
        route.method,
        route.address(TENANT),
        params={"api-version": route.version},
        headers=[
            *((key.encode(), text.encode()) for key, text in owner.items()),
            (name.encode(), kept),
        ],
        content=json.dumps(route.body) if route.takes_body else None,
    )

    assert answer.status_code < 500


def test_no_route_reads_cookies_of_others(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python's reading of these takes 9 s for 60 kB, and every route has its cookies read."""
    read: list[str] = []

    def keep(text: str) -> dict[str, str]:
        read.append(text)
        return cookie_parser(text)

    monkeypatch.setattr("starlette.requests.cookie_parser", keep)
    hostile = 'a="' + '\\"' * 30_000 + '"; engagement_theme=dark'
    for path in ("/healthz", "/openapi.json", "/docs", "/nowhere", "/console/", "/console/sign-in"):
        for cookie in (hostile, f"engagement={hostile}"):
            answer = service.http.get(path, headers={"Cookie": cookie})
            assert answer.status_code < 500, path

    assert set(read) == {"engagement_theme=dark"}


def _in_other_case(data: st.DataObject, name: str) -> str:
    return "".join(letter.swapcase() if data.draw(st.booleans()) else letter for letter in name)


@settings(max_examples=40)
@given(data=st.data())
def test_published_bodies_have_names_in_any_case(
    service: Service, routes: list[Route], data: st.DataObject
) -> None:
    route = data.draw(
        st.sampled_from(
            [route for route in routes if (route.method, route.version) == ("POST", PUBLISHED)]
        )
    )
    usual = _send(service, route)
    body = {_in_other_case(data, name): value for name, value in route.body.items()}

    answer = _send(service, route, json=body)

    assert usual.status_code not in {400, 500} or "container" in usual.text.lower()
    assert (answer.status_code, answer.json().get("error")) == (
        usual.status_code,
        usual.json().get("error"),
    )


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "text",
    [
        *("2026-01-01T00:00:00", "2026-01-01T00:00:00+05:99", "2026-01-01T00:00:00+05:60"),
        *("2026-01-01T00:00:00+24:00", "20260101", "1767225600", "soon", ""),
        *(1767225600, 1767225600000, 20260101, True, ["2026-01-01"]),
    ],
)
def test_a_date_that_is_none_is_refused(service: Service, version: str, text: object) -> None:
    window = {"campaignWindowStart": text, "campaignWindowEnd": "2026-02-01T00:00:00Z"}
    days = {"startDate": text, "endDate": "2026-02-01"}
    by_window = service.create(
        TENANT, version, "feedbackByDate", {"campaignType": "Poll", **window}
    )
    by_days = service.create(TENANT, version, "events", days)

    for answer in (by_window, by_days):
        assert answer.status_code == 400
        assert answer.json()["error"]["code"] == "BadRequest"


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("day", ["2026-01-01", "2026-01-01T00:00:00Z", "2026-01-01T00:00:00.000Z"])
def test_a_day_may_be_its_midnight(service: Service, version: str, day: str) -> None:
    answer = service.create(TENANT, version, "events", {"startDate": day, "endDate": "2026-01-01"})

    assert answer.status_code == 202, answer.text


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("kind", ["exportTasks", "importTasks"])
def test_every_list_takes_an_order_in_any_case(service: Service, version: str, kind: str) -> None:
    word = "taskId" if kind == "exportTasks" else "jobId"
    answers = {
        text: service.http.get(
            f"{app_path(TENANT)}/devices/{kind}",
            params={"api-version": version, "$orderby": text},
            headers=service.headers(TENANT, Role.READER),
        )
        for text in (f"{word} DESC", f"{word.upper()} desc", "DateCreated", f"{word} up", "x", " ")
    }

    statuses = [answer.status_code for answer in answers.values()]
    assert statuses == [200, 200, 200, 400, 400, 400]
    assert {answer.json()["error"]["code"] for answer in list(answers.values())[3:]} == {"BadInput"}
