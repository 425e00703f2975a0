"""An app: the owner of records and of the keys its devices write with."""

import hashlib
import secrets
from dataclasses import dataclass, field
from datetime import datetime

from engagement.exceptions import BadInputError

PROVIDER = "Microsoft.MobileEngagement"
"""The resource provider, as the published contract names it in every path."""
KEY_ID_CHARACTERS = 16
"""So much of a key's hash is its id."""
FIRST_KEY_NAME = "first"
"""The name of the key that an app is registered with."""
RETENTION_DAYS_MAX = 36_500


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """A registered mobile application."""

    app_id: str
    """32 hexadecimal digits."""
    name: str
    """Its name inside the collection."""
    collection: str
    """The app collection it belongs to."""
    resource_group: str
    """Azure-style resource group of the collection."""
    subscription: str
    """Azure-style subscription of the collection."""
    retention_days: int | None = None
    """Days of history that are kept of it; None keeps all."""

    def __post_init__(self) -> None:
        """Refuse a retention that cannot be."""
        if self.retention_days is not None:
            check_retention(self.retention_days)

    @property
    def resource_path(self) -> str:
        """The app's path in the management API, as the published contract spells it."""
        return (
            f"/subscriptions/{self.subscription}/resourceGroups/{self.resource_group}"
            f"/providers/{PROVIDER}/appcollections/{self.collection}"
            f"/apps/{self.name}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class NewApp:
    """An app that was just registered, with the key that is shown once."""

    app: App
    """The app."""
    app_key: str = field(repr=False)
    """What its devices write with; only a hash of it is kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AppKey:
    """What is known of a key that devices of an app write with; the key itself is nowhere."""

    key_id: str
    """Names the key, and gives nothing of it away."""
    name: str
    """The operator's own words."""
    created_at: datetime
    """When it was made."""
    ends_at: datetime | None = None
    """When it ends by itself; None if it does not."""
    revoked_at: datetime | None = None
    """When it was revoked; None if it was not."""
    last_used_at: datetime | None = None
    """When a device wrote with it last, to some minutes; None if none did."""

    def is_live(self, now: datetime) -> bool:
        """Whether devices can write with it."""
        return self.revoked_at is None and (self.ends_at is None or self.ends_at > now)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAppKey:
    """A key that was just made, shown this once."""

    key: AppKey
    """What is kept of it."""
    app_key: str = field(repr=False)
    """What devices write with."""


def check_retention(days: int) -> None:
    """Return only when history can be kept for so many days.

    Raises:
        BadInputError: It cannot.
    """
    if not 1 <= days <= RETENTION_DAYS_MAX:
        raise BadInputError(
            f"The retention of history must be 1 to {RETENTION_DAYS_MAX:,} days, got {days}."
        )


def new_app_key() -> str:
    """A key that no one can guess, for the devices of an app to write with."""
    return secrets.token_urlsafe(32)


def hash_app_key(key: str) -> str:
    """What is kept of an app's key, in hexadecimal digits; any text that is given has one."""
    return hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()


def app_key_id(key_sha256: str) -> str:
    """The id of the key with this hash: enough of it to tell keys apart, too little to use."""
    return key_sha256[:KEY_ID_CHARACTERS]
