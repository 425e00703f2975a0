"""What comes back over HTTP, whichever library fetched it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

ANSWER_BYTES_MAX = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpResponse:
    """A response whose body was read; a redirect is one too."""

    status: int
    """HTTP status."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Headers, names in lower case."""
    body: bytes = field(default=b"", repr=False)
    """The body, as it came over the line."""
    follows_lost_try: bool = False
    """Whether the request may have been carried out by an earlier try, whose response was lost."""

    @property
    def is_success(self) -> bool:
        """Whether the status says so."""
        return 200 <= self.status < 300  # noqa: PLR2004 - HTTP's own numbers


class NoResponseError(Exception):
    """No whole response came; the request may have been carried out or not.

    Its message holds no address, since that of a container holds a credential.
    """
