"""The keys of an installation, and what is known of them."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class KeyState(StrEnum):
    """Whether a key is at hand."""

    PRESENT = "present"
    LOST = "lost"
    NONE = "none"
    """There is none yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FormerSigningKey:
    """A key that signed access tokens before the one that does now."""

    public_key_pem: str
    """What its tokens are checked with."""
    ends_at: datetime
    """When the last of its tokens has ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKeys:
    """What access tokens are signed and checked with."""

    private_key_pem: str = field(repr=False)
    """The key that signs."""
    former: tuple[FormerSigningKey, ...] = ()
    """Keys that signed before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyStatus:
    """How the keys of an installation are."""

    vault_key: KeyState
    """The key that everything is sealed with."""
    vault_key_id: str | None
    """Its id; None if there is none yet."""
    sealed: int
    """Texts that are sealed with it."""
    sealed_lost: int
    """Texts that no key at hand opens."""
    signing_key: KeyState
    """The key that signs access tokens."""
    former_keys_end_at: tuple[datetime, ...]
    """When the tokens of each key that signed before have ended."""
