"""This module opens the server inside the test process, with three tenants and their clients."""

import asyncio
import io
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
from starlette.types import ASGIApp

from engagement import operations
from engagement.api.auth import Authentication
from engagement.api.context import AppsByPath, Context
from engagement.api.metrics import Metrics
from engagement.model.access import NewClient, Role, Scope
from engagement.model.apps import App
from engagement.runtime import Runtime, open_runtime
from engagement.server import build_server, current_server, published_server
from engagement.settings import Settings

PUBLIC_URL = "http://service.test"
VERSIONS = ("2014-12-01", "2026-11-01")
TENANTS = ("north", "south", "west")
MANY_REQUESTS = 10_000_000
DEADLINE_SECONDS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """A subscription with one app, and a client of each role over it."""

    app: App
    """Its app."""
    clients: Mapping[Role, NewClient]
    """With their secrets."""
    tokens: Mapping[Role, str] = field(repr=False)
    """An access token of each."""

    @property
    def path(self) -> str:
        """Of the app."""
        return self.app.resource_path


class Door:
    """The very server that `engagement serve` serves, called without a socket."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.log = io.StringIO()
        self._runner = asyncio.Runner()
        self.reopen()

    def reopen(self) -> None:
        """Begin as a new server does: nothing of tokens, apps and limits is remembered."""
        self.asgi: ASGIApp = build_server(self.runtime, public_url=PUBLIC_URL)

    def close(self) -> None:
        """Nothing is called any more."""
        self._runner.close()

    def run(self, work: Awaitable[Any]) -> Any:
        """The outcome of a coroutine."""

        async def awaited() -> Any:
            return await work

        return self._runner.run(awaited())

    def call(self, method: str, path: str, token: str | None = None, **more: Any) -> httpx.Response:
        """The answer to a request, as httpx sends it; paths begin with a slash."""
        headers = [*more.pop("headers", ())]
        if token is not None:
            headers.append(("Authorization", f"Bearer {token}"))

        async def sent() -> httpx.Response:
            transport = httpx.ASGITransport(self.asgi)
            async with httpx.AsyncClient(transport=transport, base_url=PUBLIC_URL) as client:
                return await client.request(method, path, headers=headers, **more)

        answer: httpx.Response = self.run(sent())
        return answer

    def raw(
        self,
        method: str,
        path: str,
        headers: list[tuple[bytes, bytes]],
        receive: Callable[[], Awaitable[Any]] | None = None,
        query: bytes = b"api-version=2026-11-01",
    ) -> tuple[int, dict[bytes, bytes], bytes]:
        """Status, headers and body of a request whose bytes no client library chose."""
        return self.run(self._raw(method, path, headers, receive or _no_body, query))

    async def _raw(
        self,
        method: str,
        path: str,
        headers: list[tuple[bytes, bytes]],
        receive: Callable[[], Awaitable[Any]],
        query: bytes,
    ) -> tuple[int, dict[bytes, bytes], bytes]:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode("utf-8", "replace"),
            "query_string": query,
            "root_path": "",
            "headers": headers,
            "client": ("127.0.0.1", 1),
            "server": ("service.test", 80),
        }
        await self.asgi(scope, receive, send)
        body = b"".join(one.get("body", b"") for one in sent[1:])
        return sent[0]["status"], dict(sent[0]["headers"]), body

    def token_request(self, form: Mapping[str, str], *, version: str = "v2.0/") -> httpx.Response:
        """The answer of the token endpoint."""
        tenant = operations.tenant_id(self.runtime)
        return self.call("POST", f"/{tenant}/oauth2/{version}token", data=dict(form))

    def token(self, made: NewClient) -> str:
        """An access token of a client, got by its secret."""
        answer = self.token_request(form_of(made))
        assert answer.status_code == 200, answer.text
        token: str = answer.json()["access_token"]
        return token

    def documents(self) -> dict[str, dict[str, Any]]:
        """The OpenAPI document of each version's routes, made from the routes themselves."""
        context = Context(
            runtime=self.runtime,
            apps=AppsByPath(self.runtime),
            authentication=Authentication(self.runtime, public_url=PUBLIC_URL),
            metrics=Metrics(dict),
            public_url=PUBLIC_URL,
        )
        servers = (published_server(context), current_server(context))
        return dict(zip(VERSIONS, (one.openapi() for one in servers), strict=True))


def form_of(made: NewClient) -> dict[str, str]:
    """What a client sends to get a token."""
    return {
        "grant_type": "client_credentials",
        "client_id": made.client.client_id,
        "client_secret": made.client_secret,
        "scope": "https://management.azure.com/.default",
    }


@contextmanager
def open_door(
    folder: Path,
    *,
    workers: bool = False,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    **settings: Any,
) -> Iterator[Door]:
    """A server on a new home in a folder; containers may be folders in `folder / "out"`."""
    out = folder / "out"
    out.mkdir(exist_ok=True)
    given = {"requests_per_minute": MANY_REQUESTS, "local_roots": (out,), **settings}
    with open_runtime(
        Settings(home=folder / "home", **given), workers=workers, clock=clock
    ) as runtime:
        door = Door(runtime)
        structlog.configure(
            processors=[structlog.processors.JSONRenderer()],
            logger_factory=structlog.PrintLoggerFactory(door.log),
        )
        try:
            yield door
        finally:
            structlog.reset_defaults()
            door.close()


def add_tenants(door: Door) -> dict[str, Tenant]:
    """Three subscriptions; the names of all but the subscription are the same."""
    return {name: _tenant(door, name) for name in TENANTS}


def _tenant(door: Door, name: str) -> Tenant:
    app = operations.create_app(
        door.runtime, name="app", collection="all", resource_group="group", subscription=name
    ).app
    scope = Scope.parse(f"/subscriptions/{name}")
    clients = {
        role: operations.create_client(door.runtime, name=f"{name} {role}", role=role, scope=scope)
        for role in Role
    }
    tokens = {role: door.token(made) for role, made in clients.items()}
    return Tenant(app=app, clients=clients, tokens=tokens)


def finished(door: Door, task_id: str) -> str:
    """The state of an export task when it has ended."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline:
        task = operations.get_export(door.runtime, task_id)
        if task.state.is_final:
            return task.state.value
        time.sleep(0.02)
    pytest.fail(f"The task must end in {DEADLINE_SECONDS} s.")


async def _no_body() -> dict[str, Any]:
    return {"type": "http.request", "body": b"", "more_body": False}
