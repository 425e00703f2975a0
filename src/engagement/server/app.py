"""The ASGI server: both versions of the API, and the endpoints of devices."""

import json
import re
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any
from urllib.parse import parse_qs

from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from engagement.exceptions import EngagementError
from engagement.model.executors import SERVER_ROLES, ProcessRole
from engagement.runtime.opening import Runtime
from engagement.server import health, token_endpoint
from engagement.server.auth.authentication import Authentication
from engagement.server.body_threads import BodyThreads
from engagement.server.collection.admission import Admission
from engagement.server.collection.native import NativeEndpoint
from engagement.server.collection.router import CollectionEndpoint, CollectionRouter
from engagement.server.collection.segment import SdkSettingsEndpoint, TrackingEndpoint
from engagement.server.console.router import build_console
from engagement.server.console.sessions import COOKIES
from engagement.server.dependencies import AppsByPath, Context
from engagement.server.errors import Problem, answer_to, invalid_fields, problem_of
from engagement.server.management import (
    app_settings,
    apps,
    devices,
    exports_2014_12_01,
    exports_2026_11_01,
    resources,
)
from engagement.server.metrics import metrics_of
from engagement.server.middleware import EdgeMiddleware, RequestLimits
from engagement.server.points import PointRecorder
from engagement.server.recent_look import RecentLook
from engagement.server.state_look import look_at_state

TITLE = "Engagement Export"
API_VERSION = {
    "name": "api-version",
    "in": "query",
    "required": True,
    "description": "The version of the API.",
    "schema": {"type": "string", "enum": [exports_2026_11_01.VERSION]},
}
VERSIONS = (exports_2014_12_01.VERSION, exports_2026_11_01.VERSION)


def build_server(
    runtime: Runtime,
    *,
    public_url: str,
    roles: Collection[ProcessRole] = SERVER_ROLES,
    is_stopping: Callable[[], bool] = lambda: False,
    points: PointRecorder | None = None,
) -> CollectionRouter:
    """Return the server of an opened service.

    Args:
        runtime: The service; it must outlive the server.
        roles: Which paths it answers, besides those of health: devices', those of the API and the
            console, or both.
        public_url: Address by which clients reach the server, without a slash at its end.
        is_stopping: Whether the server is about to end, and streams of events with it.
        points: Where what charts are drawn from is counted; whoever gives it has it kept.
    """
    authentication = Authentication(runtime, public_url=public_url)
    metrics = metrics_of(runtime)
    points = PointRecorder(runtime) if points is None else points
    context = Context(
        runtime=runtime,
        apps=AppsByPath(runtime),
        authentication=authentication,
        metrics=metrics,
        points=points,
        state_look=RecentLook(partial(look_at_state, runtime)),
        body_threads=BodyThreads(1, name="large-request"),
        public_url=public_url,
    )
    settings = runtime.settings
    admission = Admission(runtime, metrics, points)
    api = EdgeMiddleware(
        Versions(
            published=build_published_app(context, roles),
            current=build_current_app(context, roles),
            console=(
                build_console(context, is_stopping=is_stopping)
                if ProcessRole.API in roles
                else None
            ),
        ),
        authentication=authentication,
        metrics=metrics,
        limits=RequestLimits(
            request_bytes_max=settings.request_bytes_max,
            requests_per_minute=settings.requests_per_minute,
            cookies=COOKIES if ProcessRole.API in roles else (),
        ),
        public_url=public_url,
    )
    endpoints: list[CollectionEndpoint] = []
    if ProcessRole.COLLECT in roles:
        endpoints += [
            NativeEndpoint(admission),
            TrackingEndpoint(admission),
            SdkSettingsEndpoint(public_url),
        ]
    return CollectionRouter(endpoints, others=api, metrics=metrics)


class Versions:
    """Sends a request to the version that it names; what is no resource has no version."""

    def __init__(self, *, published: ASGIApp, current: ASGIApp, console: ASGIApp | None) -> None:
        self._current = current
        self._console = console
        self._by_version = {
            exports_2014_12_01.VERSION: published,
            exports_2026_11_01.VERSION: current,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        path = scope.get("path", "")
        is_console = path == "/console" or path.startswith("/console/")
        if scope["type"] == "http" and is_console and self._console is not None:
            await self._console(scope, receive, send)
            return
        if scope["type"] != "http" or not path.startswith("/subscriptions"):
            await self._current(scope, receive, send)
            return
        await self._by_version[_version(scope)](scope, receive, send)


def _version(scope: Scope) -> str:
    given: list[str] = parse_qs(scope["query_string"].decode("latin-1")).get("api-version", [])
    known = ", ".join(VERSIONS)
    if not given:
        raise Problem(
            400, "MissingApiVersionParameter", f"The query needs api-version, one of {known}."
        )
    if len(given) > 1 or given[0] not in VERSIONS:
        raise Problem(
            400, "InvalidApiVersionParameter", f"The api-version must be given once: {known}."
        )
    return given[0]


def build_published_app(context: Context, roles: Collection[ProcessRole] = SERVER_ROLES) -> FastAPI:
    """Return the application of version 2014-12-01, whose document was published elsewhere."""
    app = FastAPI(title=TITLE, version=exports_2014_12_01.VERSION, openapi_url=None)
    routers = [exports_2014_12_01.router, resources.router, devices.router]
    _equip(app, context, routers if ProcessRole.API in roles else [])
    return app


def build_current_app(context: Context, roles: Collection[ProcessRole] = SERVER_ROLES) -> FastAPI:
    """Return the application of version 2026-11-01, and of everything without a version."""
    app = FastAPIOffline(
        title=TITLE,
        version=exports_2026_11_01.VERSION,
        summary="Raw mobile-engagement data, exported into your own storage, proven complete.",
        servers=[{"url": context.public_url}],
    )
    own = [exports_2026_11_01.router, apps.router, app_settings.router]
    routers = [*own, resources.router, devices.router, token_endpoint.router]
    _equip(app, context, routers if ProcessRole.API in roles else [])
    app.include_router(health.router)
    app.openapi = lambda: _document(app)  # type: ignore[method-assign] # FastAPI's own way
    _serve_document(app)
    return app


def _serve_document(app: FastAPI) -> None:
    """Write the document once and in a thread, as anybody may ask for it again and again."""
    path = str(app.openapi_url)
    document = RecentLook(lambda: json.dumps(app.openapi()).encode(), seconds=float("inf"))

    async def answer(request: Request) -> Response:
        del request
        return Response(await document.wait(), media_type="application/json")

    own = [route for route in app.router.routes if getattr(route, "path", None) != path]
    app.router.routes[:] = own
    app.add_route(path, answer, include_in_schema=False)


def _equip(app: FastAPI, context: Context, routers: Sequence[APIRouter]) -> None:
    app.state.context = context
    for router in routers:
        app.include_router(router)
    app.add_exception_handler(RequestValidationError, _invalid)
    for kind in (EngagementError, HTTPException, Exception):
        app.add_exception_handler(kind, _failed)


async def _failed(request: Request, error: Exception) -> Response:
    """Answer; a fault of ours is raised again behind it, so that the middleware logs it."""
    reason = problem_of(error)
    request.app.state.context.metrics.count_error(reason.code)
    return answer_to(reason)


async def _invalid(request: Request, error: Exception) -> Response:
    errors = error.errors() if isinstance(error, RequestValidationError) else []
    return await _failed(request, invalid_fields(errors))


def _document(app: FastAPI) -> dict[str, Any]:
    """Return the generated document, with authentication and without FastAPI's own errors."""
    if app.openapi_schema is not None:
        return app.openapi_schema
    document = FastAPI.openapi(app)
    schemes = document.setdefault("components", {}).setdefault("securitySchemes", {})
    schemes["bearer"] = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
    for path, operations_of_path in document["paths"].items():
        for operation in operations_of_path.values():
            operation["responses"].pop("422", None)
            if path.startswith("/subscriptions"):
                operation["security"] = [{"bearer": []}]
                operation["parameters"] = [*_path_parameters(path, operation), API_VERSION]
    for name in ("HTTPValidationError", "ValidationError"):
        document["components"].get("schemas", {}).pop(name, None)
    return document


def _path_parameters(path: str, operation: dict[str, Any]) -> list[dict[str, Any]]:
    """The parameters of an operation with those of its path, which routes read by themselves."""
    declared = operation.get("parameters", [])
    known = {parameter["name"] for parameter in declared}
    return [
        *(
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in re.findall(r"{(\w+)}", path)
            if name not in known
        ),
        *declared,
    ]
