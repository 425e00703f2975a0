"""Tests what may be gone back to, what counts as our own form, and where one may sign in."""

import pytest
from starlette.requests import Request

from engagement.server.console.policy import is_own_form, may_sign_in, safe_return


def _request(**headers: str) -> Request:
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "method": "POST", "path": "/", "headers": pairs})


@pytest.mark.parametrize(
    "path",
    [
        None, "", "/", "//example.org/console/", "https://example.org/console/", "/consolex/",
        "/console/../docs", "/console/\\example.org", "javascript:alert(1)", "/console/\r\nX: y",
    ],
)  # fmt: skip
def test_only_paths_of_the_console_are_gone_back_to(path: str | None) -> None:
    assert safe_return(path) == "/console/"


def test_a_page_is_gone_back_to_with_its_query() -> None:
    assert safe_return("/console/exports?state=Failed") == "/console/exports?state=Failed"


@pytest.mark.parametrize(
    ("headers", "is_own"),
    [
        ({"sec_fetch_site": "same-origin"}, True),
        ({"sec_fetch_site": "same-site"}, False),
        ({"sec_fetch_site": "cross-site", "origin": "http://a", "host": "a"}, False),
        ({"sec_fetch_site": "none"}, False),
        ({"origin": "http://a:1", "host": "a:1"}, True),
        ({"origin": "http://a:2", "host": "a:1"}, False),
        ({"origin": "null", "host": "a:1"}, False),
        ({"host": "a:1"}, False),
    ],
)
def test_only_our_own_pages_post_forms(headers: dict[str, str], is_own: bool) -> None:  # noqa: FBT001 - a table's column
    assert is_own_form(_request(**headers)) is is_own


def test_nobody_signs_in_where_the_way_is_open_to_others() -> None:
    assert may_sign_in("https://example.org")
    assert may_sign_in("http://127.0.0.1:8080")
    assert may_sign_in("http://[::1]:8080")
    assert not may_sign_in("http://10.0.0.1:8080")
