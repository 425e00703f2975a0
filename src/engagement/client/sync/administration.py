# Generated from ../asynchronous/administration.py by `make generate`; edit that file instead.
"""What owners of an app ask a server for: keys, name, retention, its end, who changed what."""

from datetime import datetime

from engagement.client import app_calls
from engagement.client.sync.apps import AppDirectory
from engagement.client.sync.connection import ServerConnection
from engagement.model.apps import App, AppKey, NewAppKey
from engagement.model.audit import RecordedChange


class AppAdministration:
    """The part of a client that needs the role owner."""

    _apps: AppDirectory
    _connection: ServerConnection

    def list_keys(self, app: App | str) -> list[AppKey]:
        """Return the keys that devices of an app write with, those that have ended too."""
        return self._connection.call(app_calls.list_keys(self._apps.find(app)))

    def create_key(
        self, app: App | str, name: str, *, ends_at: datetime | None = None
    ) -> NewAppKey:
        """Make a further key of an app; the key is shown this once.

        If the connection breaks in the wrong moment, there may be a second one that nobody knows.

        Raises:
            BadInputError: The name or the end cannot be.
        """
        owner = self._apps.find(app)
        return self._connection.call(app_calls.create_key(owner, name, ends_at))

    def rotate_key(
        self,
        app: App | str,
        key_id: str,
        *,
        keep_hours: int | None = None,
        ends_at: datetime | None = None,
    ) -> NewAppKey:
        """Make a key in the place of another, which goes on for some hours, 90 days if not given.

        Raises:
            UnknownAppKeyError: The app has no such key.
            IllegalStateError: The old key has ended.
        """
        owner = self._apps.find(app)
        call = app_calls.rotate_key(owner, key_id, keep_hours, ends_at)
        return self._connection.call(call)

    def revoke_key(self, app: App | str, key_id: str) -> AppKey:
        """End a key: what is sent with it is refused within 2 seconds.

        Raises:
            UnknownAppKeyError: The app has no such key.
        """
        owner = self._apps.find(app)
        return self._connection.call(app_calls.revoke_key(owner, key_id))

    def rename_app(self, app: App | str, name: str) -> App:
        """Give an app another name, and so another resource path."""
        old = self._apps.find(app)
        new = self._connection.call(app_calls.rename_app(old, name))
        self._apps.forget(old)
        return new

    def set_retention(self, app: App | str, days: int | None) -> App:
        """Keep so many days of an app's history from now on, None for all, and return the app.

        Raises:
            BadInputError: History cannot be kept for so many days.
        """
        owner = self._apps.find(app)
        changed = self._connection.call(app_calls.set_retention(owner, days))
        return self._apps.find(changed)

    def delete_app(self, app: App | str, *, confirm: str) -> int:
        """Delete an app with all its data, for good; return how many tasks must end first.

        While there are some, the app is gone and its data goes soon.

        Args:
            app: The app.
            confirm: Its name, as a proof that it is the one that is meant.

        Raises:
            BadInputError: The name is another one; nothing was deleted.
        """
        owner = self._apps.find(app)
        unfinished = self._connection.call(app_calls.delete_app(owner, confirm))
        self._apps.forget(owner)
        return unfinished

    def list_changes(self, app: App | str, *, before: int | None = None) -> list[RecordedChange]:
        """Return the newest changes of an app, from before a position on; empty if none is left."""
        owner = self._apps.find(app)
        return self._connection.call(app_calls.list_changes(owner, before))
