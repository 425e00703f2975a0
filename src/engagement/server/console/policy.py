"""What a page may run and load, and where it may be visible: nothing that is not ours."""

from urllib.parse import urlsplit

from starlette.requests import Request

from engagement.model.hosts import LOOPBACK_HOSTS

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
PAGE_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cache-Control": "no-store",
    # Without it a browser says `Origin: null` of our own forms.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
"""What each page and each of its parts says."""
HOME = "/console/"


def is_from_elsewhere(request: Request) -> bool:
    """Whether a link of another site led here, so that the strict cookie was not sent."""
    return request.headers.get("sec-fetch-site") == "cross-site"


def is_own_form(request: Request) -> bool:
    """Whether a page of ours posted this, as the browser says it."""
    fetch_site = request.headers.get("sec-fetch-site")
    if fetch_site is not None:
        return fetch_site == "same-origin"
    origin = urlsplit(request.headers.get("origin", ""))
    return bool(origin.netloc) and origin.netloc == request.headers.get("host")


def is_secure(public_url: str) -> bool:
    """Whether browsers reach the server by https."""
    return public_url.startswith("https://")


def may_sign_in(public_url: str) -> bool:
    """Whether a cookie can be kept from others on the way: by https, or on this machine."""
    return is_secure(public_url) or urlsplit(public_url).hostname in LOOPBACK_HOSTS


def safe_return(path: str | None) -> str:
    """Return a path of the console to go back to; its first page for anything else."""
    if path is None or not path.startswith(HOME) or "\\" in path or not path.isprintable():
        return HOME
    split = urlsplit(path)
    return path if not split.netloc and not split.scheme and ".." not in path else HOME
