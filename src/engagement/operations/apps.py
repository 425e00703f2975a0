"""The operations on apps."""

from dataclasses import replace

from engagement.exceptions import BadInputError, UnknownAppError
from engagement.model.apps import App, NewApp, check_retention, hash_app_key, new_app_key
from engagement.model.audit import Action
from engagement.model.records import new_guid
from engagement.operations.audit import record_change
from engagement.runtime.opening import Runtime, keep_app_file
from engagement.store.app_files import register_first_key

NAME_CHARACTERS_MAX = 64


def create_app(
    runtime: Runtime, *, name: str, collection: str, resource_group: str, subscription: str
) -> NewApp:
    """A registered app, with the key that is shown this once.

    Raises:
        BadInputError: A name is empty or too long, or the app exists.
    """
    given = {
        "app name": name,
        "collection": collection,
        "resource group": resource_group,
        "subscription": subscription,
    }
    for what, value in given.items():
        _require_path_name(what, value)
    app = App(
        app_id=new_guid(),
        name=name,
        collection=collection,
        resource_group=resource_group,
        subscription=subscription,
    )
    _require_new(runtime, app)
    key = new_app_key()
    subject = f"app {app.resource_path}"
    record_change(runtime, Action.APP_CREATE, app_id=app.app_id, subject=subject)
    runtime.apps.add(register_first_key(app, hash_app_key(key), runtime.clock()))
    keep_app_file(runtime, app.app_id)
    return NewApp(app=app, app_key=key)


def rename_app(runtime: Runtime, app_id: str, *, name: str) -> App:
    """The app with another name, and so with another resource path.

    Clients whose scope is this very app go on with it; roles that other issuers' tokens give for
    its old path are theirs to change.

    Raises:
        UnknownAppError: No app has this id.
        BadInputError: The name cannot be used, or an app of the collection has it.
    """
    old = runtime.apps.get(app_id)
    _require_path_name("app name", name)
    new = replace(old, name=name)
    if name.lower() != old.name.lower():
        _require_new(runtime, new)
    subject = f"app {old.resource_path} to {name!r}"
    record_change(runtime, Action.APP_RENAME, app_id=app_id, subject=subject)
    runtime.apps.rename(
        app_id,
        name,
        scopes={
            client.client_id: replace(client.scope, app=name)
            for client in runtime.clients.list_all()
            if client.scope.app is not None and client.scope.covers(old)
        },
    )
    keep_app_file(runtime, app_id)
    return runtime.apps.get(app_id)


def set_retention(runtime: Runtime, app_id: str, days: int | None) -> App:
    """The app, of whose history so many days are kept from now on; None keeps all.

    What is older goes with the daily upkeep of a server.

    Raises:
        UnknownAppError: There is none.
        BadInputError: History cannot be kept for so many days.
    """
    if days is not None:
        check_retention(days)
    app = runtime.apps.get(app_id)
    subject = f"app {app.resource_path}: {'all' if days is None else f'{days} days'}"
    record_change(runtime, Action.RETENTION_SET, app_id=app_id, subject=subject)
    runtime.apps.set_retention(app_id, days)
    keep_app_file(runtime, app_id)
    return runtime.apps.get(app_id)


def list_apps(runtime: Runtime) -> list[App]:
    """Every app, oldest first."""
    return runtime.apps.list_all()


def get_app(runtime: Runtime, app_id: str) -> App:
    """The app with this id.

    Raises:
        UnknownAppError: There is none.
    """
    return runtime.apps.get(app_id)


def find_named_app(runtime: Runtime, text: str) -> App:
    """The app that a person means: by its id, its resource path, or its name if one alone has it.

    Raises:
        UnknownAppError: There is none.
        BadInputError: Several apps have the name.
    """
    found = runtime.apps.list_all()
    wanted = text.rstrip("/").lower()
    exact = [app for app in found if wanted in {app.app_id, app.resource_path.lower()}]
    named = exact or [app for app in found if app.name.lower() == wanted]
    if len(named) > 1:
        ids = ", ".join(app.app_id for app in named)
        raise BadInputError(f"Several apps have the name {text[:80]!r}; give an id: {ids}.")
    return named[0] if named else runtime.apps.get(text)


def find_app(
    runtime: Runtime, *, subscription: str, resource_group: str, collection: str, name: str
) -> App:
    """The app at a resource path, whatever its upper and lower case.

    Raises:
        UnknownAppError: There is none.
    """
    app = runtime.apps.find(
        subscription=subscription, resource_group=resource_group, collection=collection, name=name
    )
    if app is None:
        raise UnknownAppError("No app has this resource path.")
    return app


def _require_path_name(what: str, value: str) -> None:
    if not 0 < len(value) <= NAME_CHARACTERS_MAX or not value.isprintable() or "/" in value:
        raise BadInputError(
            f"The {what} must have 1 to {NAME_CHARACTERS_MAX} printable characters "
            f"and no slash, got {value!r}."
        )


def _require_new(runtime: Runtime, app: App) -> None:
    """Raise if an app has the resource path; paths are the same in upper and lower case."""
    taken = runtime.apps.find(
        subscription=app.subscription,
        resource_group=app.resource_group,
        collection=app.collection,
        name=app.name,
    )
    if taken is not None:
        raise BadInputError(
            f"The app name must be new in its collection, got {app.name!r}, "
            f"which exists in {app.collection!r} as {taken.name!r}."
        )
