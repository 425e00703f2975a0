"""Runs an OpenID provider that people can sign in at, one of a certified implementation."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from html.parser import HTMLParser
from urllib.parse import urljoin

import httpx

from support.checkout import TESTS
from support.servers import install_node_packages, required_program, running_process
from support.waiting import WAIT_SECONDS_MAX

FOLDER = TESTS / "openid"
CLIENT_ID = "console"
CLIENT_WITH_SECRET = "console-with-secret"  # noqa: S105 - an id
CLIENT_SECRET = "a secret of the issuer's: 100 % / + &"  # noqa: S105 - of a server that ends with the test
UNREACHABLE = "http://127.0.0.1:1"
"""An issuer that nobody can sign in at."""
ACCOUNTS: Mapping[str, Sequence[str]] = {
    "ada": ["owner"],
    "ben": ["reader:/subscriptions/visited", "of something else"],
    "cleo": [],
}
"""Who may sign in, with any password, and the roles that the provider says they have."""


@contextmanager
def running_openid_provider() -> Iterator[str]:
    """A provider on a free loopback port; gives its issuer name, at another site than 127.0.0.1."""
    node = required_program("node")
    install_node_packages(FOLDER, "oidc-provider")
    command = [node, str(FOLDER / "provider.mjs"), json.dumps(ACCOUNTS)]
    with running_process(command, {}, re.compile(r"listens on (http://localhost:\d+)")) as issuer:
        yield issuer


def sign_in_at_provider(address: str, name: str) -> str:
    """Sign in with a browser's requests, and return the address that the provider sends it to."""
    with httpx.Client(timeout=WAIT_SECONDS_MAX, trust_env=False) as http:
        answer = http.get(address)
        while True:
            if answer.is_redirect:
                target = urljoin(str(answer.url), answer.headers["location"])
                if not target.startswith(_origin(address)):
                    return target
                answer = http.get(target)
            else:
                answer.raise_for_status()
                form = _Form(answer)
                data = {"login": name, "password": "any", **form.hidden}
                answer = http.post(urljoin(str(answer.url), form.action), data=data)


class _Form(HTMLParser):
    """Where a page's form posts to, and what it posts besides what a person fills in."""

    def __init__(self, page: httpx.Response) -> None:
        super().__init__()
        self.action = ""
        self.hidden: dict[str, str] = {}
        self.feed(page.text)
        assert self.action, page.text

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.action = given["action"]
        if tag == "input" and given.get("type") == "hidden":
            self.hidden[given["name"]] = given["value"]


def _origin(address: str) -> str:
    url = httpx.URL(address)
    return f"{url.scheme}://{url.netloc.decode()}/"
