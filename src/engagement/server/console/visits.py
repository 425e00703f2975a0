"""One look at a page: who asks, how they look at it, and how it is answered."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from zoneinfo import available_timezones

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from engagement import __version__, operations
from engagement.exceptions import ForbiddenError, UnknownAppError
from engagement.model.access import Caller, Role, Scope
from engagement.model.apps import App
from engagement.model.console import ConsoleSession
from engagement.runtime.opening import Runtime
from engagement.server.auth.code_flow import CodeFlow
from engagement.server.console import csrf, formats
from engagement.server.console.formats import Viewer
from engagement.server.console.policy import PAGE_HEADERS
from engagement.server.console.sessions import THEME_COOKIE, TIMES_COOKIE, ZONE_COOKIE
from engagement.server.console.static_files import StaticFiles
from engagement.server.dependencies import Context

TEMPLATES = Path(__file__).parent / "templates"
THEMES = ("system", "light", "dark")
Answer = Callable[[Request], Awaitable[Response]]
"""Answers requests without a session."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NavigationItem:
    """A link of the frame."""

    name: str
    """What it says."""
    href: str
    """Where it leads."""
    is_current: bool
    """Whether the page is below it."""


NAVIGATION = (
    ("Overview", "/console/"),
    ("Apps", "/console/apps"),
    ("Exports", "/console/exports"),
    ("Access", "/console/access"),
    ("System", "/console/system"),
)
"""The pages that there are, in the order of the frame."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Console:
    """What all pages work with."""

    context: Context
    """What the server was made with."""
    static: StaticFiles
    """Style sheets and scripts."""
    environment: Environment
    """The templates."""
    code_flow: CodeFlow
    """How people sign in at issuers."""
    started_at: datetime
    """When the server began to show it."""

    @property
    def runtime(self) -> Runtime:
        """The service."""
        return self.context.runtime

    def render(
        self,
        request: Request,
        template: str,
        *,
        session: ConsoleSession | None = None,
        status: int = 200,
        **values: Any,
    ) -> Response:
        """Return a page with the headers of all pages."""
        viewer = read_viewer(request.cookies)
        now = self.runtime.clock()
        text = self.environment.get_template(template).render(
            session=session,
            viewer=viewer,
            now=now,
            here=address_of(request),
            static=self.static.root,
            release=__version__,
            navigation=_navigation(request.url.path, session),
            token=lambda form: csrf.form_token(session.csrf_secret if session else "", form),
            instant=lambda at: formats.format_instant(at, viewer, now=now),
            **values,
        )
        return HTMLResponse(text, status, dict(PAGE_HEADERS))


@dataclass(frozen=True, slots=True, kw_only=True)
class PageVisit:
    """One request of somebody who is signed in."""

    request: Request
    """What was asked."""
    console: Console
    """What all pages work with."""
    session: ConsoleSession
    """Who asks."""
    form: Mapping[str, list[str]] = field(default_factory=dict)
    """What was posted."""

    @property
    def runtime(self) -> Runtime:
        """The service, which acts for whoever asks."""
        return self.console.runtime.act_for(self.session.subject)

    @property
    def caller(self) -> Caller:
        """Who asks operations."""
        return self.session.caller

    @property
    def now(self) -> datetime:
        """Now, in UTC."""
        return self.runtime.clock()

    @property
    def query(self) -> Mapping[str, str]:
        """The query of the address."""
        return self.request.query_params

    def name(self, parameter: str) -> str:
        """Return a part of the path."""
        found: str = self.request.path_params[parameter]
        return found

    def field(self, name: str) -> str:
        """Return what was posted in a field, without blanks around it."""
        return (self.form.get(name) or [""])[0].strip()

    def visible_apps(self) -> list[App]:
        """Return the apps that exist as far as this person is concerned."""
        return [app for app in operations.list_apps(self.runtime) if self.caller.sees(app)]

    def app(self, app_id: str, role: Role = Role.READER) -> App:
        """Return an app for somebody with a role; others' apps are like unknown ones.

        Raises:
            UnknownAppError: There is none, or it is out of the person's scope.
            ForbiddenError: The person may see it, but not do this.
        """
        app = operations.get_app(self.runtime, app_id)
        if not self.caller.sees(app):
            raise UnknownAppError(f"No app has the id {app_id!r}.")
        if not self.caller.may(role, app):
            raise ForbiddenError(f"This needs the role {role} for the app {app.name}.")
        return app

    def may_everywhere(self, role: Role) -> bool:
        """Whether the person has a role over everything."""
        return self.caller.may_within(role, Scope())

    def owns_something(self) -> bool:
        """Whether the person is the owner of anything."""
        return any(grant.role is Role.OWNER for grant in self.caller.grants)

    def render(self, template: str, *, status: int = 200, **values: Any) -> Response:
        """Return a page."""
        return self.console.render(
            self.request, template, session=self.session, status=status, visit=self, **values
        )

    def link(self, **changes: str | None) -> str:
        """Return the address of this page with a query that differs in what is given."""
        query = {**self.query, **changes}
        kept = {name: value for name, value in query.items() if value}
        return self.request.url.path + (f"?{urlencode(kept)}" if kept else "")


def redirect(path: str) -> Response:
    """Return the answer to a form: go there with a GET."""
    return RedirectResponse(path, 303, {"Cache-Control": "no-store"})


def reload_with_cookie(console: Console, request: Request, address: str) -> Response:
    """Return a page that loads an address of ours once more, now with the strict cookie.

    A browser does not send it where a link or a redirect of another site led here; from a page of
    ours it does.
    """
    marked = f"{address}{'&' if '?' in address else '?'}again=1"
    return console.render(request, "again.html", address=marked)


def address_of(request: Request) -> str:
    """Return path and query of a request."""
    query = request.url.query
    return request.url.path + (f"?{query}" if query else "")


def read_viewer(cookies: Mapping[str, str]) -> Viewer:
    """Return how a browser's owner looks at pages, as its cookies say it."""
    zone = cookies.get(ZONE_COOKIE, "UTC").replace("%2F", "/")
    theme = cookies.get(THEME_COOKIE, "system")
    return Viewer(
        zone=zone if zone in _zones() else "UTC",
        shows_utc=cookies.get(TIMES_COOKIE) == "utc",
        theme=theme if theme in THEMES else "system",
    )


def make_environment() -> Environment:
    """Return the templates: what they are given is escaped, and what is missing fails."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "count": formats.format_count,
        "bounded": formats.format_bounded,
        "short": formats.format_short,
        "size": formats.format_bytes,
        "duration": formats.format_duration,
        "rate": formats.format_rate,
        "outside": formats.format_outside,
        "shown_id": formats.format_id,
        "range": formats.format_range,
    }
    environment.globals |= {"percent": formats.percent}
    return environment


def _navigation(path: str, session: ConsoleSession | None) -> list[NavigationItem]:
    return [
        NavigationItem(
            name=name,
            href=href,
            is_current=path == href or (href != "/console/" and path.startswith(f"{href}/")),
        )
        for name, href in NAVIGATION
        if name != "System" or (session and session.caller.may_within(Role.READER, Scope()))
    ]


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())
