"""Gives routes what they work with: the runtime, the caller and the app of the path."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Annotated, Any
from urllib.parse import quote, urlencode

from fastapi import Depends
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from engagement import operations
from engagement.exceptions import ForbiddenError, UnknownAppError
from engagement.model.access import Caller, Role
from engagement.model.apps import PROVIDER, App
from engagement.runtime.opening import Runtime
from engagement.server.auth.authentication import Authentication
from engagement.server.body_threads import BodyThreads
from engagement.server.metrics import Metrics
from engagement.server.points import PointRecorder
from engagement.server.recent_look import RecentLook
from engagement.server.state_look import StateLook

SUBSCRIPTION_PATH = f"/subscriptions/{{subscriptionId}}/providers/{PROVIDER}"
COLLECTION_PATH = (
    "/subscriptions/{subscriptionId}/resourceGroups/{resourceGroupName}"
    f"/providers/{PROVIDER}/appcollections/{{appCollection}}"
)
APP_NAMES = ("subscriptionId", "resourceGroupName", "appCollection", "appName")
APPS_REMEMBERED_SECONDS = 2
APPS_REMEMBERED_MAX = 10_000
INLINE_BYTES_MAX = 16 * 1024
"""A body up to this size is decoded in the event loop, which takes under 5 ms."""
APP_PATH = f"{COLLECTION_PATH}/apps/{{appName}}"

Names = tuple[str, str, str, str]
"""Subscription, resource group, collection and app, as a path has them."""


class AppsByPath:
    """The apps of resource paths; those that were asked for a moment ago without the database."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._found: dict[Names, tuple[App, float]] = {}

    def get_cached(self, names: Names) -> App | None:
        """Return the app, if it was found a moment ago."""
        found = self._found.get(names)
        return found[0] if found is not None and time.monotonic() < found[1] else None

    def find(self, names: Names) -> App:
        """Return the app.

        Raises:
            UnknownAppError: There is none.
        """
        subscription, resource_group, collection, name = names
        app = operations.find_app(
            self._runtime,
            subscription=subscription,
            resource_group=resource_group,
            collection=collection,
            name=name,
        )
        if len(self._found) >= APPS_REMEMBERED_MAX:
            self._found.clear()
        self._found[names] = (app, time.monotonic() + APPS_REMEMBERED_SECONDS)
        return app


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What the server was opened with."""

    runtime: Runtime
    """The service."""
    apps: AppsByPath
    """The apps of resource paths."""
    authentication: Authentication
    """Who may come in."""
    metrics: Metrics
    """What is counted."""
    points: PointRecorder
    """What charts are drawn from."""
    state_look: RecentLook[StateLook]
    """What the state database says of how the service is."""
    body_threads: BodyThreads
    """Where large bodies are decoded, one caller after the other."""
    public_url: str
    """Address by which clients reach the server, without a slash at its end."""


# Dependencies are coroutines, since FastAPI would send plain functions to another thread each.


async def context_of(request: Request) -> Context:
    """Return what the server was opened with, acting for whoever makes the request."""
    context: Context = request.app.state.context
    caller: Caller | None = getattr(request.state, "caller", None)
    if caller is None or request.method == "GET":
        return context
    return replace(context, runtime=context.runtime.act_for(caller.client_id))


async def caller_of(request: Request) -> Caller:
    """Return who makes the request; the middleware admits nobody else."""
    caller: Caller = request.state.caller
    return caller


InContext = Annotated[Context, Depends(context_of)]
ByCaller = Annotated[Caller, Depends(caller_of)]


class AppFor:
    """The app of the path, for callers with a role; others' apps are like unknown ones."""

    def __init__(self, role: Role) -> None:
        self._role = role

    async def __call__(self, request: Request) -> App:
        """Return the app.

        Raises:
            UnknownAppError: There is none, or the caller may not know of it.
            ForbiddenError: The caller may read it, but not do this.
        """
        context: Context = request.app.state.context
        caller: Caller = request.state.caller
        names = tuple(request.path_params[name] for name in APP_NAMES)
        app = context.apps.get_cached(names)
        if app is None:
            app = await run_in_threadpool(context.apps.find, names)
        if not caller.sees(app):
            raise UnknownAppError("No app has this resource path.")
        if not caller.may(self._role, app):
            raise ForbiddenError(f"This needs the role {self._role}, which the client lacks.")
        return app


readable_app = AppFor(Role.READER)
AppToRead = Annotated[App, Depends(readable_app)]
AppToExport = Annotated[App, Depends(AppFor(Role.EXPORTER))]
AppToOwn = Annotated[App, Depends(AppFor(Role.OWNER))]


class BodyRoute(APIRoute):
    """A route whose function is given its body, decoded and checked.

    FastAPI does that in the event loop, where a mebibyte of wrong fields would hold all others up
    for half a second; so it is done in a thread if there is much of it.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return FastAPI's own function, run where the size of the body allows it."""
        handler = super().get_route_handler()
        if self.body_field is None:
            return handler

        async def answer(request: Request) -> Response:
            if len(await request.body()) <= INLINE_BYTES_MAX:
                return await handler(request)
            context: Context = request.app.state.context
            caller: Caller = request.state.caller
            return await context.body_threads.run(
                caller.client_id, lambda: asyncio.run(handler(request))
            )

        return answer


class DirectRoute(APIRoute):
    """A route whose function reads the request by itself.

    Clients ask for a task's state again and again, and FastAPI's reading of a request takes
    longer than the answer.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the function itself."""
        handler: Callable[[Request], Coroutine[Any, Any, Response]] = self.endpoint
        return handler


def resource_address(context: Context, app: App, rest: str, query: dict[str, str]) -> str:
    """Return the absolute address of something that belongs to an app."""
    path = quote(f"{app.resource_path}/{rest}", safe="/")
    return f"{context.public_url}{path}?{urlencode(query)}"
