"""An app: the owner of records and of the key its devices write with."""

import hashlib
import secrets
from dataclasses import dataclass, field

PROVIDER = "Microsoft.MobileEngagement"
"""The resource provider, as the published contract names it in every path."""


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


def new_app_key() -> str:
    """A key that no one can guess, for the devices of an app to write with."""
    return secrets.token_urlsafe(32)


def hash_app_key(key: str) -> str:
    """What is kept of an app's key, in hexadecimal digits; any text that is given has one."""
    return hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()
