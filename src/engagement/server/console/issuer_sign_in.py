"""Signing in at an OpenID issuer: there and back, in the same browser."""

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from engagement import operations
from engagement.exceptions import BadInputError, EngagementError, NotAuthenticatedError
from engagement.model.codec import decode, encode
from engagement.server.auth.code_flow import Beginning, CodeFlow
from engagement.server.auth.openid_issuers import IssuerUnavailableError
from engagement.server.console.formats import visible_text
from engagement.server.console.policy import is_secure, may_sign_in, safe_return
from engagement.server.console.sessions import SIGN_IN_COOKIE, set_cookie
from engagement.server.console.visits import Answer, Console, redirect, reload_with_cookie
from engagement.server.dependencies import Context
from engagement.server.errors import Problem, problem_of

PATH = "/console/sign-in"
CALLBACK_PATH = f"{PATH}/callback"
SEALED_FOR = "a sign-in at an issuer"
LIFE = timedelta(minutes=10)
DESCRIPTION_CHARACTERS_MAX = 200
_ERROR_WORD = re.compile(r"[a-z_]{1,40}")


def make_code_flow(context: Context) -> CodeFlow:
    """Return how people sign in at the issuers that the settings name.

    Raises:
        BadInputError: The settings name more or fewer clients than issuers.
    """
    settings = context.runtime.settings
    return CodeFlow(
        context.authentication.issuers,
        client_ids=settings.issuer_client_ids,
        client_secrets=settings.issuer_client_secrets,
        callback=f"{context.public_url}{CALLBACK_PATH}",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _PendingSignIn:
    """What the browser keeps meanwhile, sealed."""

    beginning: Beginning
    """What was begun."""
    return_path: str
    """Where to go when it is done."""
    ends_at: datetime
    """When it is too late."""


class IssuerSignIn:
    """The way to an issuer, and the way back from it."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._flow = console.code_flow

    @property
    def routes(self) -> Sequence[tuple[str, Answer, list[str]]]:
        """Paths below the console's own, what answers there and to which methods."""
        return (
            ("/sign-in/issuer", self._begin, ["GET"]),
            ("/sign-in/callback", self._finish, ["GET"]),
        )

    async def _begin(self, request: Request) -> Response:
        """Send the browser to an issuer; by a link, since policies stop forms that lead away."""
        self._check_address()
        issuer = request.query_params.get("name", "")
        try:
            address, beginning = await self._flow.begin(issuer)
        except NotAuthenticatedError as error:
            return self._explain(request, issuer, error)
        pending = _PendingSignIn(
            beginning=beginning,
            return_path=safe_return(request.query_params.get("return")),
            ends_at=self._console.runtime.clock() + LIFE,
        )
        sealed = self._console.runtime.vault.seal(encode(pending), context=SEALED_FOR)
        response = redirect(address)
        # The issuer's redirect back comes from another site, with which a strict cookie does not.
        response.set_cookie(
            SIGN_IN_COOKIE,
            base64.urlsafe_b64encode(sealed).decode(),
            path=PATH,
            max_age=int(LIFE.total_seconds()),
            secure=is_secure(self._console.context.public_url),
            httponly=True,
            samesite="lax",
        )
        return response

    async def _finish(self, request: Request) -> Response:
        """Open a session for whoever the issuer says has come back."""
        self._check_address()
        address = request.client.host if request.client else ""
        issuer = ""
        try:
            pending = self._read_pending(request)
            issuer = pending.beginning.issuer
            user = await self._flow.finish(
                pending.beginning,
                code=_read_code(request, pending.beginning.state),
                named=request.query_params.get("iss"),
            )
            made = await run_in_threadpool(
                operations.open_session_of_user,
                self._console.runtime,
                user.caller,
                name=user.name,
                rights_end_at=datetime.fromtimestamp(user.rights_end_at, UTC),
            )
        except EngagementError as error:
            if not isinstance(error, IssuerUnavailableError):
                self._console.context.authentication.count_failure(address)
            response = self._explain(request, issuer, error)
        else:
            # By a redirect, the page would be asked for without the new cookie, as from elsewhere.
            response = reload_with_cookie(self._console, request, pending.return_path)
            set_cookie(response, made, public_url=self._console.context.public_url)
        response.delete_cookie(SIGN_IN_COOKIE, path=PATH)
        return response

    def _read_pending(self, request: Request) -> _PendingSignIn:
        """Return what this browser began.

        Raises:
            NotAuthenticatedError: Nothing, or too long ago.
        """
        try:
            sealed = base64.urlsafe_b64decode(request.cookies.get(SIGN_IN_COOKIE, "").encode())
            text = self._console.runtime.vault.open(sealed, context=SEALED_FOR)
            pending = decode(text, _PendingSignIn)
        except (EngagementError, ValueError):
            pending = None
        if pending is None or self._console.runtime.clock() >= pending.ends_at:
            raise NotAuthenticatedError(
                "A sign-in must end within 10 minutes, in the browser in which it began, at "
                f"{self._console.context.public_url}; please begin again."
            )
        return pending

    def _explain(self, request: Request, issuer: str, error: EngagementError) -> Response:
        where = f" by {visible_text(issuer[:200])}" if issuer else ""
        status = 503 if isinstance(error, IssuerUnavailableError) else problem_of(error).status_code
        return self._console.render(
            request,
            "problem.html",
            status=status,
            title="Not signed in",
            what=f"You could not be signed in{where}. {visible_text(str(error))}",
            safe="Nothing was changed.",
            action="Try again, or sign in with a client.",
            code=error.code.value,
            request_id=getattr(request.state, "request_id", ""),
            back=PATH,
            back_name="To the sign-in page",
        )

    def _check_address(self) -> None:
        if not may_sign_in(self._console.context.public_url):
            raise Problem(403, "Forbidden", "Nobody can sign in at an address without https.")


def _read_code(request: Request, state: str) -> str:
    """Return the code that the issuer gave for what was begun.

    Raises:
        BadInputError: It did not give one; says what it said instead.
        NotAuthenticatedError: It is for another sign-in.
    """
    query = request.query_params
    if query.get("state") != state:
        raise NotAuthenticatedError(
            "The answer must be to the sign-in that began last in this browser; please begin again."
        )
    error = query.get("error")
    if error is not None:
        word = error if _ERROR_WORD.fullmatch(error) else "an error"
        text = query.get("error_description", "")[:DESCRIPTION_CHARACTERS_MAX]
        raise BadInputError(f"It says {word}" + (f": {text}" if text else "."))
    code = query.get("code")
    if not code:
        raise BadInputError("It must answer with a code or an error, and gave neither.")
    return code
