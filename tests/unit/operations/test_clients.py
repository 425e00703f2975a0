"""Tests who gets in as a client of the API, and when that ends."""

from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from engagement.exceptions import BadInputError, IllegalStateError, UnknownClientError
from engagement.model.access import NewClient, Role, Scope
from engagement.model.records import new_guid
from engagement.operations.clients import (
    CLIENT_NAME_CHARACTERS_MAX,
    SECRET_DAYS_MAX,
    authenticate_client,
    create_client,
    get_client,
    has_secret,
    list_clients,
    revoke_client,
    rotate_client,
    tenant_id,
)
from engagement.runtime.opening import Runtime, open_service
from engagement.settings import Settings
from support.batches import NOW

ALL = Scope.parse("/")


class Clock:
    """A clock that stands where a test puts it."""

    now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture(scope="module")
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory, clock: Clock) -> Iterator[Runtime]:
    settings = Settings(home=tmp_path_factory.mktemp("clients") / "home")
    with open_service(settings, clock=clock) as runtime:
        yield runtime


@pytest.fixture
def new(runtime: Runtime, clock: Clock) -> NewClient:
    clock.now = NOW
    return create_client(runtime, name=new_guid(), role=Role.READER, scope=ALL, secret_days=2)


def gets_in(runtime: Runtime, client: NewClient, secret: str | None = None) -> bool:
    client_id = client.client.client_id
    return authenticate_client(runtime, client_id, secret or client.client_secret) is not None


def test_a_client_gets_in_with_its_id_and_secret_alone(runtime: Runtime, new: NewClient) -> None:
    assert gets_in(runtime, new)
    assert not gets_in(runtime, new, "wrong")
    assert not gets_in(runtime, new, "\ud800")
    assert authenticate_client(runtime, new.client.name, new.client_secret) is None
    assert authenticate_client(runtime, new_guid(), new.client_secret) is None
    assert new.client_secret not in repr(new)
    assert new.client in list_clients(runtime)


def test_a_secret_ends(runtime: Runtime, new: NewClient, clock: Clock) -> None:
    clock.now = NOW + timedelta(days=2)

    assert not gets_in(runtime, new)


def test_an_old_secret_may_last_some_hours_beside_a_new_one(
    runtime: Runtime, new: NewClient, clock: Clock
) -> None:
    rotated = rotate_client(runtime, new.client.name, keep_hours=1)

    assert gets_in(runtime, new)
    assert gets_in(runtime, rotated)
    clock.now = NOW + timedelta(hours=1)
    assert not gets_in(runtime, new)
    assert gets_in(runtime, rotated)


def test_a_secret_has_a_name_for_as_long_as_it_works(
    runtime: Runtime, new: NewClient, clock: Clock
) -> None:
    client_id = new.client.client_id
    first = authenticate_client(runtime, client_id, new.client_secret)
    rotated = rotate_client(runtime, client_id, keep_hours=1)
    second = authenticate_client(runtime, client_id, rotated.client_secret)
    assert first is not None
    assert second is not None

    assert first.secret_id != second.secret_id
    assert (first.secret_expires_at, second.client) == (NOW + timedelta(days=2), rotated.client)
    assert has_secret(runtime, client_id, first.secret_id)
    clock.now = NOW + timedelta(hours=1)
    assert not has_secret(runtime, client_id, first.secret_id)
    assert has_secret(runtime, client_id, second.secret_id)
    assert not has_secret(runtime, client_id, "")


def test_a_revoked_client_is_out_for_good(runtime: Runtime, new: NewClient) -> None:
    revoked = revoke_client(runtime, new.client.name)

    assert revoked.revoked_at == NOW
    assert not gets_in(runtime, new)
    with pytest.raises(IllegalStateError):
        rotate_client(runtime, new.client.name)


@pytest.mark.parametrize("name", ["", "x" * (CLIENT_NAME_CHARACTERS_MAX + 1), "a\tb"])
def test_a_name_that_cannot_be_is_refused(runtime: Runtime, name: str) -> None:
    with pytest.raises(BadInputError, match="printable characters"):
        create_client(runtime, name=name, role=Role.READER, scope=ALL)


@pytest.mark.parametrize("days", [0, -1, SECRET_DAYS_MAX + 1])
def test_a_secret_lasts_some_days(runtime: Runtime, days: int) -> None:
    with pytest.raises(BadInputError, match="A secret must last"):
        create_client(runtime, name=new_guid(), role=Role.READER, scope=ALL, secret_days=days)


def test_clients_are_of_one_directory(runtime: Runtime, new: NewClient) -> None:
    assert tenant_id(runtime) == tenant_id(runtime) == new.tenant_id


def test_an_unknown_client_is_named(runtime: Runtime) -> None:
    with pytest.raises(UnknownClientError, match="'nobody'"):
        get_client(runtime, "nobody")
