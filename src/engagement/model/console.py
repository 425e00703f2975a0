"""Who looks at the console: a session, and how it was opened."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from engagement.model.access import Caller, Grant


class SignInMethod(StrEnum):
    """How somebody proved who they are."""

    CLIENT = "client"
    CODE = "code"
    ISSUER = "issuer"


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleSession:
    """A browser that is signed in; the cookie that proves it is not kept."""

    session_id: str
    """Names the session in lists; it proves nothing."""
    method: SignInMethod
    """How it was opened."""
    subject: str
    """The id of a client, or the issuer and the subject of an issuer's user."""
    name: str
    """Whom to greet, in words."""
    grants: tuple[Grant, ...]
    """What may be done, and where."""
    secret_id: str | None
    """Of a client: the secret that it proved, with which the session ends."""
    csrf_secret: str = field(repr=False)
    """What the tokens of this session's forms are made with."""
    created_at: datetime
    """When it was opened."""
    last_used_at: datetime
    """When a page was last asked for, to the minute."""
    ends_at: datetime
    """When it ends, used or not."""

    @property
    def caller(self) -> Caller:
        """Who asks operations, as an access token of the API would say it."""
        return Caller(client_id=self.subject, grants=self.grants)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewConsoleSession:
    """A session that was just opened, with what only its browser knows."""

    session: ConsoleSession
    """The session."""
    token: str = field(repr=False)
    """The value of the cookie; only a hash of it is kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignInCode:
    """What whoever has the home folder may sign in with, once."""

    code: str = field(repr=False)
    """The code; only a hash of it is kept."""
    ends_at: datetime
    """When it ends, used or not."""
