"""Tests that apps are registered once, by names that resource paths can hold."""

from collections.abc import Iterator

import pytest

from engagement.exceptions import BadInputError, UnknownAppError
from engagement.model.access import Role, Scope
from engagement.model.apps import RETENTION_DAYS_MAX, NewApp
from engagement.operations.app_keys import app_of_key
from engagement.operations.apps import (
    NAME_CHARACTERS_MAX,
    create_app,
    find_app,
    get_app,
    list_apps,
    rename_app,
    set_retention,
)
from engagement.operations.clients import create_client, get_client
from engagement.runtime.opening import Runtime, open_service
from engagement.settings import Settings
from engagement.store.app_files import read_app_file

PLACE = {"collection": "c", "resource_group": "g", "subscription": "s"}


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    with open_service(Settings(home=tmp_path_factory.mktemp("apps") / "home")) as runtime:
        yield runtime


@pytest.fixture(scope="module")
def shop(runtime: Runtime) -> NewApp:
    return create_app(runtime, name="shop", **PLACE)


def test_an_app_is_found_by_its_id_key_and_path(runtime: Runtime, shop: NewApp) -> None:
    assert get_app(runtime, shop.app.app_id) == shop.app
    assert app_of_key(runtime, shop.app_key) == shop.app
    assert find_app(runtime, name="SHOP", **PLACE) == shop.app
    assert shop.app in list_apps(runtime)


def test_the_key_of_an_app_is_not_shown(shop: NewApp) -> None:
    assert shop.app_key not in repr(shop)


def test_a_name_is_new_in_its_collection_in_any_case(runtime: Runtime, shop: NewApp) -> None:
    with pytest.raises(BadInputError, match="must be new in its collection"):
        create_app(runtime, name="Shop", **PLACE)
    other = create_app(runtime, name="shop", **PLACE | {"collection": "other"})
    assert other.app.app_id != shop.app.app_id


@pytest.mark.parametrize("name", ["", "a/b", "a\nb", "x" * (NAME_CHARACTERS_MAX + 1)])
@pytest.mark.parametrize("what", ["name", *PLACE])
def test_a_name_that_no_path_can_hold_is_refused(runtime: Runtime, what: str, name: str) -> None:
    with pytest.raises(BadInputError, match=what.replace("_", " ")):
        create_app(runtime, **{"name": "new", **PLACE, what: name})


def test_an_unknown_app_is_named(runtime: Runtime) -> None:
    with pytest.raises(UnknownAppError):
        get_app(runtime, "f" * 32)
    with pytest.raises(UnknownAppError):
        find_app(runtime, name="nothing", **PLACE)


def test_an_app_is_renamed_with_the_scopes_that_name_it(runtime: Runtime) -> None:
    app = create_app(runtime, name="old", **PLACE).app
    place = Scope.parse(app.resource_path.upper())
    client = create_client(runtime, name="of old", role=Role.READER, scope=place).client

    renamed = rename_app(runtime, app.app_id, name="new")

    assert renamed == find_app(runtime, name="new", **PLACE)
    assert get_client(runtime, client.client_id).scope.covers(renamed)
    with pytest.raises(UnknownAppError):
        find_app(runtime, name="old", **PLACE)
    assert rename_app(runtime, app.app_id, name="NEW").name == "NEW"


def test_an_app_is_not_renamed_to_what_cannot_be(runtime: Runtime, shop: NewApp) -> None:
    app_id = create_app(runtime, name="mine", **PLACE).app.app_id
    with pytest.raises(BadInputError, match="must be new in its collection"):
        rename_app(runtime, app_id, name="SHOP")
    with pytest.raises(BadInputError, match="no slash"):
        rename_app(runtime, app_id, name="a/b")
    with pytest.raises(UnknownAppError):
        rename_app(runtime, "f" * 32, name="new name")
    assert get_app(runtime, shop.app.app_id) == shop.app


def test_the_retention_of_an_app_is_kept_beside_its_tables_too(runtime: Runtime) -> None:
    app_id = create_app(runtime, name="kept", **PLACE).app.app_id
    lake = runtime.settings.home / "lake"

    for days in (30, RETENTION_DAYS_MAX, None):
        changed = set_retention(runtime, app_id, days)

        assert changed.retention_days == days
        assert get_app(runtime, app_id) == changed
        kept = read_app_file(lake, app_id)
        assert kept is not None
        assert kept.app == changed


@pytest.mark.parametrize("days", [0, -1, RETENTION_DAYS_MAX + 1, 10**30])
def test_a_retention_that_cannot_be_is_refused(runtime: Runtime, shop: NewApp, days: int) -> None:
    with pytest.raises(BadInputError, match=f"1 to 36,500 days, got {days}"):
        set_retention(runtime, shop.app.app_id, days)
    assert get_app(runtime, shop.app.app_id) == shop.app
