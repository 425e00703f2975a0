"""Lets tests into the console."""

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import httpx

from engagement import operations
from engagement.model.access import Role, Scope
from engagement.runtime.opening import Runtime
from engagement.server.console import csrf
from support.browser import Window
from support.server_process import Credentials, RunningServer
from support.waiting import WAIT_SECONDS_MAX


def register(runtime: Runtime, role: Role, scope: str = "/") -> Credentials:
    """Return a new client with a role."""
    made = operations.create_client(
        runtime, name=f"{role} {secrets.token_hex(4)}", role=role, scope=Scope.parse(scope)
    )
    return Credentials(
        tenant_id=made.tenant_id,
        client_id=made.client.client_id,
        client_secret=made.client_secret,
    )


def sign_in(window: Window, credentials: Credentials) -> None:
    """Sign in as a person does."""
    window.go("/console/sign-in")
    window.page.get_by_label("Client id").fill(credentials.client_id)
    window.page.get_by_label("Secret").fill(credentials.client_secret)
    window.page.get_by_role("button", name="Sign in").click()
    window.page.get_by_role("button", name="Sign out").wait_for()


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """Somebody who is signed in, without a browser."""

    http: httpx.Client
    """Holds the cookies; redirections are not followed."""
    csrf_secret: str
    """What the tokens of the session's forms are made with."""

    def get(self, path: str) -> httpx.Response:
        """What the console answers."""
        return self.http.get(path)

    def post(self, path: str, form: str, fields: Mapping[str, str] | None = None) -> httpx.Response:
        """What the console answers to a form of its own, with its token."""
        token = csrf.form_token(self.csrf_secret, form)
        data = {**(fields or {}), csrf.FIELD: token}
        return self.http.post(path, data=data, headers={"Sec-Fetch-Site": "same-origin"})


@contextmanager
def visiting(server: RunningServer, beside: Runtime, credentials: Credentials) -> Iterator[Visitor]:
    """Sign in, as a browser would, and visit."""
    with httpx.Client(base_url=server.address, timeout=WAIT_SECONDS_MAX, trust_env=False) as http:
        proof = {
            "client_id": credentials.client_id,
            "client_secret": credentials.client_secret,
            "return": "/console/",
        }
        answer = http.post(
            "/console/sign-in", data=proof, headers={"Sec-Fetch-Site": "same-origin"}
        )
        assert answer.status_code == 303, answer.text
        session = operations.find_console_session(beside, http.cookies["engagement"])
        assert session is not None
        yield Visitor(http=http, csrf_secret=session.csrf_secret)
