"""Tests who gets in: tenants see their own alone, and roles do what they may.

The table of routes comes from the server itself, so a route that nobody thought of fails the test.
"""

import httpx
import pytest

from engagement import operations
from engagement.model.access import Role
from engagement.runtime.logging import start_logging
from support.server_in_process import TENANTS, VERSIONS, Route, Service


def _same(item: httpx.Response, other: httpx.Response) -> bool:
    drop = {"x-ms-request-id", "date"}
    kept = [{k: v for k, v in each.headers.items() if k not in drop} for each in (item, other)]
    return (
        item.status_code == other.status_code
        and item.content == other.content
        and (kept[0] == kept[1])
    )


def test_every_route_has_a_row(routes: list[Route]) -> None:
    assert len({(route.method, route.path) for route in routes}) >= 28
    assert all(route.needs in Role for route in routes)


def test_nobody_gets_in_without_a_token(service: Service, routes: list[Route]) -> None:
    for route in routes:
        for headers in ({}, {"Authorization": "Bearer nonsense"}, {"Authorization": "Basic eDp5"}):
            answer = service.ask(route, "alpha", headers)

            assert answer.status_code == 401, route
            assert answer.headers["WWW-Authenticate"].startswith("Bearer ")


def test_others_resources_are_like_unknown_ones(service: Service, routes: list[Route]) -> None:
    for route in routes:
        for tenant in TENANTS:
            headers = service.headers(tenant, Role.OWNER)
            unknown = service.ask(route, "nobody", headers)
            assert unknown.status_code == 404, route
            for other in set(TENANTS) - {tenant}:
                assert _same(service.ask(route, other, headers), unknown), route


def test_a_role_may_what_it_is_for(service: Service, routes: list[Route]) -> None:
    for route in routes:
        for role in Role:
            answer = service.ask(route, "beta", service.headers("beta", role))

            assert (answer.status_code == 403) is not role.includes(route.needs), (route, role)
            assert answer.status_code not in {401, 500}


def test_names_are_the_same_in_any_case(service: Service, routes: list[Route]) -> None:
    headers = service.headers("gamma", Role.OWNER)
    for route in routes:
        usual = service.ask(route, "gamma", headers)
        answer = service.http.request(
            route.method,
            route.address("GAMMA").swapcase(),
            params={"api-version": route.version},
            headers=headers,
            json=route.body if route.takes_body else None,
        )

        assert answer.status_code == usual.status_code, route


def test_a_fault_of_ours_is_an_answer_and_a_log_entry_without_values(
    service: Service, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        secret = "CANARY"  # noqa: F841, S105 - a local variable that no log may show
        raise ValueError

    monkeypatch.setattr(operations, "list_exports_page", fail)
    start_logging()

    route = Route(
        version=VERSIONS[0],
        method="GET",
        path="/subscriptions/{subscriptionId}/resourceGroups/{resourceGroupName}/providers"
        "/Microsoft.MobileEngagement/appcollections/{appCollection}/apps/{appName}"
        "/devices/exportTasks",
        operation="ExportTasks_List",
    )
    answer = service.ask(route, "alpha", service.headers("alpha", Role.READER))
    log = capsys.readouterr().err

    assert answer.status_code == 500
    assert answer.json()["error"]["code"] == "InternalServerError"
    assert "ValueError" in log
    assert "CANARY" not in log
