"""Signing in and out: by a client's secret, at an issuer, or by a code of the home folder."""

from collections.abc import Sequence
from urllib.parse import urlencode

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from engagement import operations
from engagement.exceptions import NotAuthenticatedError
from engagement.model.console import NewConsoleSession
from engagement.server.console import csrf
from engagement.server.console.forms import FormErrors, read_form
from engagement.server.console.issuer_sign_in import IssuerSignIn
from engagement.server.console.policy import (
    HOME,
    is_own_form,
    may_sign_in,
    safe_return,
)
from engagement.server.console.sessions import (
    THEME_COOKIE,
    TIMES_COOKIE,
    drop_cookie,
    read_cookie,
    set_cookie,
)
from engagement.server.console.visits import (
    THEMES,
    Answer,
    Console,
    address_of,
    redirect,
)
from engagement.server.errors import Problem

PREFERENCE_SECONDS = 31_536_000
WRONG = "The client id or its secret is not right."


def ask_to_sign_in(request: Request) -> Response:
    """Return the way to the sign-in page, and from there back to here."""
    here = address_of(request) if request.method == "GET" else HOME
    return redirect(
        "/console/sign-in" + ("" if here == HOME else f"?{urlencode({'return': here})}")
    )


class SignIn:
    """The pages before a session, and the end of one."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._at_issuers = IssuerSignIn(console)

    @property
    def routes(self) -> Sequence[tuple[str, Answer, list[str]]]:
        """Paths below the console's own, what answers there and to which methods."""
        return (
            ("/sign-in", self._show, ["GET"]),
            ("/sign-in", self._by_client, ["POST"]),
            ("/sign-in/code", self._show_code, ["GET"]),
            ("/sign-in/code", self._by_code, ["POST"]),
            *self._at_issuers.routes,
            ("/sign-out", self._sign_out, ["POST"]),
            ("/appearance", self._set_appearance, ["GET"]),
        )

    async def _show(self, request: Request) -> Response:
        return self._render(request, request.query_params.get("return"))

    async def _by_client(self, request: Request) -> Response:
        self._check_own_form(request)
        form = await read_form(request)
        values = {
            name: form.get(name, [""])[0] for name in ("client_id", "client_secret", "return")
        }
        client_id = values["client_id"].strip()
        address = request.client.host if request.client else ""
        # Whoever fails often waits for turns with the others, and a right secret is never refused.
        proven = await self._console.context.authentication.secret_threads.run(
            address,
            lambda: operations.authenticate_client(
                self._console.runtime, client_id, values["client_secret"]
            ),
        )
        if proven is None:
            self._console.context.authentication.count_failure(address)
            errors = FormErrors({"": WRONG})
            return self._render(
                request, values["return"], client_id=client_id, errors=errors, status=422
            )
        made = await run_in_threadpool(
            operations.open_session_of_client, self._console.runtime, proven
        )
        return self._enter(made, values["return"])

    async def _show_code(self, request: Request) -> Response:
        """Show a button, so that whatever previews links does not spend the code."""
        code = request.query_params.get("code", "")
        return self._console.render(request, "sign_in_code.html", code=code, errors=FormErrors())

    async def _by_code(self, request: Request) -> Response:
        self._check_own_form(request)
        form = await read_form(request)
        code = form.get("code", [""])[0]
        try:
            made = await run_in_threadpool(
                operations.open_session_by_code, self._console.runtime, code
            )
        except NotAuthenticatedError as error:
            self._console.context.authentication.count_failure(
                request.client.host if request.client else ""
            )
            errors = FormErrors({"": str(error)})
            return self._console.render(
                request, "sign_in_code.html", status=422, code="", errors=errors
            )
        return self._enter(made, None)

    def _enter(self, made: NewConsoleSession, return_path: str | None) -> Response:
        response = redirect(safe_return(return_path))
        set_cookie(response, made, public_url=self._console.context.public_url)
        return response

    async def _sign_out(self, request: Request) -> Response:
        token = read_cookie(request)
        session = await run_in_threadpool(
            operations.find_console_session, self._console.runtime, token
        )
        if session is not None:
            self._check_own_form(request)
            given = (await read_form(request)).get(csrf.FIELD, [""])[0]
            if not csrf.is_form_token(session.csrf_secret, "sign-out", given):
                raise Problem(403, "Forbidden", "The form was of another session.")
            await run_in_threadpool(
                operations.end_console_session, self._console.runtime, session.session_id
            )
        response = redirect("/console/sign-in?ended=1")
        drop_cookie(response, public_url=self._console.context.public_url)
        return response

    async def _set_appearance(self, request: Request) -> Response:
        """Keep how somebody looks at pages; it is worth nothing to anybody else."""
        response = redirect(safe_return(request.query_params.get("return")))
        theme, times = request.query_params.get("theme"), request.query_params.get("times")
        if theme in THEMES:
            _keep(response, THEME_COOKIE, theme)
        if times in {"utc", "local"}:
            _keep(response, TIMES_COOKIE, times)
        return response

    def _render(
        self,
        request: Request,
        return_path: str | None,
        *,
        client_id: str = "",
        errors: FormErrors | None = None,
        status: int = 200,
    ) -> Response:
        return self._console.render(
            request,
            "sign_in.html",
            status=status,
            possible=may_sign_in(self._console.context.public_url),
            return_path=safe_return(return_path),
            issuers=self._console.code_flow.issuers,
            ended="ended" in request.query_params,
            client_id=client_id,
            errors=errors or FormErrors(),
        )

    def _check_own_form(self, request: Request) -> None:
        if not may_sign_in(self._console.context.public_url) or not is_own_form(request):
            raise Problem(403, "Forbidden", "Only the sign-in page of this console can do this.")


def _keep(response: Response, name: str, value: str) -> None:
    response.set_cookie(name, value, path="/console", max_age=PREFERENCE_SECONDS, samesite="strict")
