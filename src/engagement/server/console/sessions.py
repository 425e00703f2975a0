"""The cookie of a session, and who may have it."""

from starlette.requests import Request
from starlette.responses import Response

from engagement.model.console import NewConsoleSession
from engagement.server.console.policy import is_secure

COOKIE = "engagement"
SECURE_COOKIE = "__Host-engagement"
"""A browser takes this name only by https, from this very host, for all of its paths."""
SIGN_IN_COOKIE = "engagement_sign_in"
"""What a browser keeps while its owner signs in elsewhere, sealed."""
ZONE_COOKIE = "engagement_zone"
TIMES_COOKIE = "engagement_times"
THEME_COOKIE = "engagement_theme"
COOKIES = (COOKIE, SECURE_COOKIE, SIGN_IN_COOKIE, ZONE_COOKIE, TIMES_COOKIE, THEME_COOKIE)
"""All that the console reads."""


def read_cookie(request: Request) -> str:
    """Return what the browser proves its session with; empty if nothing."""
    return request.cookies.get(SECURE_COOKIE) or request.cookies.get(COOKIE) or ""


def set_cookie(response: Response, made: NewConsoleSession, *, public_url: str) -> None:
    """Let the browser keep a session until it is closed; scripts and other sites never see it."""
    response.set_cookie(
        SECURE_COOKIE if is_secure(public_url) else COOKIE,
        made.token,
        path="/",
        secure=is_secure(public_url),
        httponly=True,
        samesite="strict",
    )


def drop_cookie(response: Response, *, public_url: str) -> None:
    """Let the browser forget its session."""
    response.delete_cookie(
        SECURE_COOKIE if is_secure(public_url) else COOKIE,
        path="/",
        secure=is_secure(public_url),
        httponly=True,
        samesite="strict",
    )
