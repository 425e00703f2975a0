"""Serves in this process, for tests of who gets in."""

from collections.abc import Iterator

import pytest

from support.server_in_process import Route, Service, routes_of, serve_in_process


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with serve_in_process(tmp_path_factory.mktemp("access")) as running:
        yield running


@pytest.fixture(scope="module")
def routes(service: Service) -> list[Route]:
    return routes_of(service)
