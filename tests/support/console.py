"""Lets tests into the console."""

import secrets

from engagement import operations
from engagement.model.access import Role, Scope
from engagement.runtime.opening import Runtime
from support.browser import Window
from support.server_process import Credentials


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
