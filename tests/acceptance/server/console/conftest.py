"""One server and one browser for all tests of the console."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from engagement.model.access import Role
from engagement.runtime.opening import Runtime, open_service
from engagement.settings import Settings
from support.browser import Window, open_context, running_browser
from support.console import register, sign_in
from support.openid_provider import (
    CLIENT_SECRET,
    CLIENT_WITH_SECRET,
    UNREACHABLE,
    running_openid_provider,
)
from support.server_process import Credentials, RunningServer, running_server

Open = Callable[..., Window]


@pytest.fixture(scope="session")
def provider() -> Iterator[str]:
    """The issuer that people can sign in at."""
    with running_openid_provider() as issuer:
        yield issuer


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, provider: str) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("console")
    settings = {
        "ENGAGEMENT_ISSUERS": f"{provider},{UNREACHABLE}",
        "ENGAGEMENT_ISSUER_AUDIENCE": "api://exports",
        "ENGAGEMENT_ISSUER_CLIENT_IDS": f"{CLIENT_WITH_SECRET},other",
        "ENGAGEMENT_ISSUER_CLIENT_SECRETS": f"{CLIENT_SECRET},-",
        "ENGAGEMENT_ALLOW_LOOPBACK_CONTAINERS": "1",
        "ENGAGEMENT_TOKEN_REQUESTS_PER_MINUTE": "1000",
        "ENGAGEMENT_FLUSH_SECONDS": "1",
        "ENGAGEMENT_LOCAL_ROOTS": str(folder / "out"),
    }
    (folder / "out").mkdir()
    with running_server(folder / "home", **settings) as running:
        yield running


@pytest.fixture(scope="session")
def beside(server: RunningServer) -> Iterator[Runtime]:
    """What the server's home folder holds, as commands beside it see it."""
    settings = Settings(home=Path(server.environment["ENGAGEMENT_HOME"]))
    with open_service(settings, run_tasks=False) as runtime:
        yield runtime


@pytest.fixture(scope="session")
def owner(beside: Runtime) -> Credentials:
    return register(beside, Role.OWNER)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A browser for the tests of a file: while it runs, this thread has an event loop."""
    with running_browser() as running:
        yield running


@pytest.fixture
def open_window(browser: Browser, server: RunningServer) -> Iterator[Open]:
    """Opens windows of browsers without cookies; none may have complained at the end."""
    windows: list[Window] = []
    with ExitStack() as closing:

        def open_one(
            credentials: Credentials | None = None, path: str = "", **options: object
        ) -> Window:
            context = closing.enter_context(open_context(browser, server.address, **options))
            window = Window(context.new_page())
            windows.append(window)
            if credentials is not None:
                sign_in(window, credentials)
            if path:
                window.go(path)
            return window

        yield open_one
    assert [complaint for window in windows for complaint in window.complaints] == []
