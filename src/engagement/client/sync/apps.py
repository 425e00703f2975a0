# Generated from ../asynchronous/apps.py by `make generate`; edit that file instead.
"""Finds the apps that a client names by their ids or paths, and remembers them."""

from engagement.client import calls
from engagement.client.sync.connection import ServerConnection
from engagement.exceptions import BadInputError, UnknownAppError
from engagement.model.apps import App


class AppDirectory:
    """The apps of a server that the caller may see."""

    def __init__(self, connection: ServerConnection, *, subscription: str) -> None:
        self._connection = connection
        self._subscription = subscription
        self._apps: dict[str, App] = {}

    def list_all(self, subscription: str | None = None) -> list[App]:
        """Return the apps of a subscription.

        Raises:
            UnknownAppError: It has none.
        """
        wanted = subscription or self._subscription
        apps: list[App] = []
        for collection in self._connection.call(calls.list_collections(wanted)):
            listed = self._connection.call(calls.list_apps(collection))
            apps += listed
        self._remember(apps)
        return apps

    def find(self, app: App | str) -> App:
        """Return the app of an id, a resource path, or a name that one app of the subscription has.

        Raises:
            UnknownAppError: There is none, or the caller may not see it.
            BadInputError: Several have the name, or it is neither an id nor a resource path.
        """
        if isinstance(app, App):
            self._remember([app])
            return app
        if app.lower() in self._apps:
            return self._apps[app.lower()]
        if app.startswith("/"):
            calls.app_names(app)
            collection = app.rstrip("/").rsplit("/", 2)[0]
            self._remember(self._connection.call(calls.list_apps(collection)))
        elif "/" in app:
            raise BadInputError(f"A resource path must begin with a slash, got {app[:200]!r}.")
        else:
            self.list_all()
        found = self._apps.get(app.rstrip("/").lower()) or self._of_name(app)
        if found is None:
            raise UnknownAppError(f"No app that the client may see is {app[:200]!r}.")
        return found

    def _of_name(self, name: str) -> App | None:
        named = {app.app_id: app for app in self._apps.values() if app.name.lower() == name.lower()}
        if len(named) > 1:
            raise BadInputError(
                f"Several apps have the name {name[:80]!r}; give an id: {', '.join(named)}."
            )
        return next(iter(named.values()), None)

    def forget(self, app: App) -> None:
        """Look an app up anew when it is named again."""
        self._apps = {name: known for name, known in self._apps.items() if known != app}

    def _remember(self, apps: list[App]) -> None:
        for app in apps:
            self._apps[app.app_id.lower()] = self._apps[app.resource_path.lower()] = app
