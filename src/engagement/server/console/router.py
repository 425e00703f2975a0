"""The console's routes: who may come in, and what becomes of what goes wrong."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import structlog
from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import FixedWindowRateLimiter
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from engagement import operations
from engagement.model.console import ConsoleSession
from engagement.server.console import csrf
from engagement.server.console.events import Events
from engagement.server.console.forms import read_form
from engagement.server.console.issuer_sign_in import make_code_flow
from engagement.server.console.live import LiveHub
from engagement.server.console.pages import (
    access,
    app_settings,
    apps,
    devices,
    exports,
    keys,
    new_export,
    overview,
    refused,
    system,
)
from engagement.server.console.policy import is_from_elsewhere, is_own_form
from engagement.server.console.sessions import read_cookie
from engagement.server.console.sign_in import SignIn, ask_to_sign_in
from engagement.server.console.static_files import StaticFiles
from engagement.server.console.topics import read_topics
from engagement.server.console.visits import (
    Console,
    PageVisit,
    address_of,
    make_environment,
    reload_with_cookie,
)
from engagement.server.dependencies import Context
from engagement.server.errors import Problem, problem_of

Handler = Callable[[PageVisit], Response]
PREFIX = "/console"
TITLES = {403: "Not allowed", 404: "Not found", 409: "Not possible now", 429: "Too many requests"}
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class PageRoute:
    """What is at a path."""

    path: str
    """Below the console's own."""
    show: Handler | None = None
    """Answers a GET."""
    submit: Handler | None = None
    """Answers a POST."""
    form: str = ""
    """Names the form that posts here, for its token."""


PAGES: Sequence[PageRoute] = (
    PageRoute(path="/", show=overview.show),
    PageRoute(path="/exports", show=exports.show_list),
    PageRoute(path="/exports/new", show=new_export.choose_app),
    PageRoute(path="/exports/{task_id}", show=exports.show_export),
    PageRoute(path="/exports/{task_id}/manifest", show=exports.show_manifest),
    PageRoute(path="/exports/{task_id}/cancel", submit=exports.cancel, form="cancel-export"),
    PageRoute(path="/exports/{task_id}/retry", submit=exports.retry, form="retry-export"),
    PageRoute(path="/apps", show=apps.show_list, submit=apps.create, form="create-app"),
    PageRoute(path="/apps/{app_id}", show=apps.show),
    PageRoute(path="/apps/{app_id}/settings", show=app_settings.show),
    PageRoute(path="/apps/{app_id}/rename", submit=app_settings.rename, form="rename-app"),
    PageRoute(
        path="/apps/{app_id}/retention", submit=app_settings.set_retention, form="set-retention"
    ),
    PageRoute(
        path="/apps/{app_id}/delete",
        show=app_settings.ask_to_delete,
        submit=app_settings.delete,
        form="delete-app",
    ),
    PageRoute(path="/apps/{app_id}/names", show=apps.show_names),
    PageRoute(path="/apps/{app_id}/versions", show=apps.show_versions),
    PageRoute(path="/apps/{app_id}/newest", show=apps.show_newest),
    PageRoute(path="/apps/{app_id}/snippets", show=apps.show_snippets),
    PageRoute(path="/apps/{app_id}/keys", show=keys.show, submit=keys.create, form="create-key"),
    PageRoute(path="/apps/{app_id}/keys/{key_id}/rotate", submit=keys.rotate, form="rotate-key"),
    PageRoute(path="/apps/{app_id}/keys/{key_id}/revoke", submit=keys.revoke, form="revoke-key"),
    PageRoute(path="/apps/{app_id}/refused", show=refused.show_list),
    PageRoute(path="/apps/{app_id}/refused/replay", submit=refused.replay, form="replay-refused"),
    PageRoute(path="/apps/{app_id}/refused/drop", submit=refused.drop, form="drop-refused"),
    PageRoute(path="/apps/{app_id}/refused/{refused_id}", show=refused.show),
    PageRoute(path="/apps/{app_id}/devices", show=devices.find),
    PageRoute(path="/apps/{app_id}/devices/{deviceId}", show=devices.show),
    PageRoute(
        path="/apps/{app_id}/devices/{deviceId}/erase",
        show=devices.ask_to_erase,
        submit=devices.erase,
        form="erase-device",
    ),
    PageRoute(path="/access", show=access.show, submit=access.create_client, form="create-client"),
    PageRoute(path="/access/changes", show=access.show_changes),
    PageRoute(
        path="/access/clients/{client_id}/rotate", submit=access.rotate_client, form="rotate-client"
    ),
    PageRoute(
        path="/access/clients/{client_id}/revoke", submit=access.revoke_client, form="revoke-client"
    ),
    PageRoute(
        path="/access/sessions/{session_id}/end", submit=access.end_session, form="end-session"
    ),
    PageRoute(path="/system", show=system.show),
    PageRoute(path="/system/diagnostics", show=system.download_diagnostics),
    PageRoute(path="/apps/{app_id}/exports", show=exports.show_list),
    PageRoute(
        path="/apps/{app_id}/exports/new",
        show=new_export.show,
        submit=new_export.submit,
        form="new-export",
    ),
)


def build_console(context: Context, *, is_stopping: Callable[[], bool]) -> ASGIApp:
    """Return the console as an application of its own, for the paths below its prefix.

    Args:
        context: What the server was opened with.
        is_stopping: Whether the server is about to end, and its streams with it.
    """
    console = Console(
        context=context,
        static=StaticFiles(),
        environment=make_environment(),
        code_flow=make_code_flow(context),
        started_at=context.runtime.clock(),
    )
    sign_in = SignIn(console)
    pages = ConsolePages(console)
    runtime = context.runtime
    hub = LiveHub(lambda topics: read_topics(runtime, topics), is_stopping=is_stopping)
    events = Events(runtime, hub)
    routes = [
        Route(f"{PREFIX}/static/{{digest}}/{{name:path}}", pages.guard(console.static.answer)),
        *(
            Route(f"{PREFIX}{path}", pages.guard(answer), methods=methods)
            for path, answer, methods in sign_in.routes
        ),
        Route(f"{PREFIX}/events", pages.guard(pages.with_session(events.stream))),
        Route(f"{PREFIX}/live", pages.guard(pages.with_session(events.values))),
        *(pages.route(page) for page in PAGES),
    ]
    return Router(routes, redirect_slashes=True, default=pages.answer_unknown)


class ConsolePages:
    """Lets those in who are signed in, and answers with a page whatever happens."""

    def __init__(self, console: Console) -> None:
        self._console = console
        settings = console.runtime.settings
        self._limiter = FixedWindowRateLimiter(MemoryStorage())
        self._rate = RateLimitItemPerMinute(settings.requests_per_minute)

    def route(self, page: PageRoute) -> Route:
        """Return the route of a page."""

        async def answer(request: Request) -> Response:
            return await self._answer(page, request)

        methods = ["GET"] * bool(page.show) + ["POST"] * bool(page.submit)
        return Route(f"{PREFIX}{page.path}", self.guard(answer), methods=methods)

    def guard(self, answer: Callable[[Request], object]) -> Callable[[Request], object]:
        """Return what answers the same, and with a page where that fails."""

        async def answer_or_explain(request: Request) -> Response:
            try:
                response: Response = await answer(request)  # type: ignore[misc]
            except ClientDisconnect:
                raise
            except Exception as error:  # noqa: BLE001 - whatever it is, it gets a page
                return self._explain(request, error)
            return response

        return answer_or_explain

    def with_session(
        self, answer: Callable[[Request, ConsoleSession | None], Awaitable[Response]]
    ) -> Callable[[Request], object]:
        """Return what answers with the session of the request, if there is one."""

        async def answer_session(request: Request) -> Response:
            return await answer(request, await self._find_session(request))

        return answer_session

    async def answer_unknown(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Say that there is no such page, to those who are signed in."""
        request = Request(scope, receive)
        session = await self._find_session(request)
        if session is None:
            response = ask_to_sign_in(request)
        else:
            request.state.session = session
            response = self._explain(request, Problem(404, "NotFound", "There is no such page."))
        await response(scope, receive, send)

    async def _answer(self, page: PageRoute, request: Request) -> Response:
        session = await self._find_session(request)
        if session is None:
            is_first = request.method == "GET" and "again" not in request.query_params
            if is_first and is_from_elsewhere(request):
                return reload_with_cookie(self._console, request, address_of(request))
            return ask_to_sign_in(request)
        request.state.session = session
        if not self._limiter.hit(self._rate, session.subject):
            raise Problem(
                429, "TooManyRequests", "You asked for more pages than a minute may have.",
                {"Retry-After": "60"},
            )  # fmt: skip
        if request.method == "GET" and page.show is not None:
            visit = PageVisit(request=request, console=self._console, session=session)
            return await run_in_threadpool(page.show, visit)
        return await self._submit(page, request, session)

    async def _submit(self, page: PageRoute, request: Request, session: ConsoleSession) -> Response:
        if page.submit is None or not is_own_form(request):
            raise Problem(403, "Forbidden", "Only a form of this console can do this.")
        form = await read_form(request)
        given = (form.get(csrf.FIELD) or [""])[0]
        if not csrf.is_form_token(session.csrf_secret, page.form, given):
            raise Problem(403, "Forbidden", "The form was of another session; load the page again.")
        visit = PageVisit(request=request, console=self._console, session=session, form=form)
        return await run_in_threadpool(page.submit, visit)

    async def _find_session(self, request: Request) -> ConsoleSession | None:
        token = read_cookie(request)
        if not token:
            return None
        return await run_in_threadpool(
            operations.find_console_session, self._console.runtime, token
        )

    def _explain(self, request: Request, error: Exception) -> Response:
        """Return the page of a problem; a fault of ours says nothing more, and is logged."""
        reason = problem_of(error)
        status = reason.status_code
        if status == 500:  # noqa: PLR2004 - HTTP's own number
            _log.error("console_page_failed", error=type(error).__name__, exc_info=error)
        response = self._console.render(
            request,
            "problem.html",
            session=getattr(request.state, "session", None),
            status=status,
            title=TITLES.get(status, "This did not work"),
            what=reason.detail,
            safe="" if request.method == "GET" else "Nothing was changed.",
            action="",
            code=reason.code,
            request_id=getattr(request.state, "request_id", ""),
            back="/console/",
            back_name="To the first page",
        )
        response.headers.update(reason.headers or {})
        return response
