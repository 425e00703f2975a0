"""Names what the client's logic asks of whoever runs it: send, wait, compute.

The logic is written once, as generators that yield steps and get what came of them. The two
clients only differ in how they take a step, blocking or not.
"""

from collections.abc import Awaitable, Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

Result = TypeVar("Result")

FrameKind = Literal["polars", "pandas", "arrow"]
"""The libraries whose frames an export can be read as."""

ANSWER_BYTES_MAX = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    """Send a request; gives an `Answer` or a `Lost`. Redirects are answers."""

    method: str
    """GET or POST."""
    url: str = field(repr=False)
    """Where to; it may hold a credential."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Its headers."""
    body: bytes | None = field(default=None, repr=False)
    """Its body."""
    bytes_max: int = ANSWER_BYTES_MAX
    """How much of an answer's body is read; one byte more shows that there was more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """Wait; gives nothing."""

    seconds: float
    """How long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Compute or read a file, away from an event loop; gives what the function returns."""

    run: Callable[[], Any]
    """The function; what it raises ends everything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AskToken:
    """Call the user's own function for a token; gives the token."""

    source: Callable[[], str | Awaitable[str]] = field(repr=False)
    """The function; only an `AsyncClient` takes one that must be awaited."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back."""

    status: int
    """HTTP status."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Headers, names in lower case."""
    body: bytes = field(default=b"", repr=False)
    """The body, as it came over the line."""

    @property
    def is_success(self) -> bool:
        """Whether the status says so."""
        return 200 <= self.status < 300  # noqa: PLR2004 - HTTP's own numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """No whole answer came; the request may have been carried out or not."""

    reason: str
    """What happened, without addresses."""


Step = Send | Pause | Work | AskToken
Steps = Generator[Step, Any, Result]
"""A piece of logic that ends with a result."""
