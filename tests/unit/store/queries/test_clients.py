"""Tests that clients and the hashes of their secrets are kept, end and are forgotten."""

from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa

from engagement.exceptions import BadInputError, UnknownClientError
from engagement.model.access import ApiClient, Role, Scope
from engagement.store.queries.clients import ClientQueries
from support.batches import NOW

HOUR = timedelta(hours=1)
CLIENT = ApiClient(
    client_id="00000000-0000-0000-0000-000000000001",
    name="nightly",
    role=Role.EXPORTER,
    scope=Scope.parse("/subscriptions/shop"),
    created_at=NOW,
    secret_expires_at=NOW + HOUR,
    tokens_from=NOW,
    revoked_at=None,
)


@pytest.fixture
def queries(engine: sa.Engine) -> ClientQueries:
    found = ClientQueries(engine)
    found.add(CLIENT, secret_sha256="first", expires_at=NOW + HOUR)  # noqa: S106 - a hash
    return found


def test_a_client_comes_back_by_its_id_and_by_its_name(queries: ClientQueries) -> None:
    assert queries.get(CLIENT.client_id) == queries.get(CLIENT.name) == CLIENT
    assert queries.list_all() == [CLIENT]
    with pytest.raises(UnknownClientError, match="'nobody'"):
        queries.get("nobody")


def test_a_name_is_taken_once(queries: ClientQueries) -> None:
    other = replace(CLIENT, client_id="00000000-0000-0000-0000-000000000002")

    with pytest.raises(BadInputError, match="must be new"):
        queries.add(other, secret_sha256="other", expires_at=NOW)  # noqa: S106 - a hash
    assert queries.list_all() == [CLIENT]


def test_a_secret_ends_at_its_time(queries: ClientQueries) -> None:
    assert queries.secrets(CLIENT.client_id, now=NOW) == {"first": NOW + HOUR}
    assert queries.secrets(CLIENT.client_id, now=NOW + HOUR) == {}


def test_a_new_secret_lets_the_old_ones_end_soon_but_none_later(queries: ClientQueries) -> None:
    queries.rotate(
        CLIENT.client_id,
        secret_sha256="second",  # noqa: S106 - a hash
        expires_at=NOW + 9 * HOUR,
        others_end_at=NOW + HOUR / 2,
    )

    ends = {"first": NOW + HOUR / 2, "second": NOW + 9 * HOUR}
    assert queries.secrets(CLIENT.client_id, now=NOW) == ends
    assert list(queries.secrets(CLIENT.client_id, now=NOW + HOUR / 2)) == ["second"]
    assert queries.get(CLIENT.name).secret_expires_at == NOW + 9 * HOUR


def test_a_revoked_client_has_no_secret_and_its_tokens_are_refused(
    queries: ClientQueries,
) -> None:
    queries.revoke(CLIENT.client_id, now=NOW + HOUR)
    queries.revoke(CLIENT.client_id, now=NOW + 2 * HOUR)

    found = queries.get(CLIENT.name)
    assert (found.revoked_at, found.tokens_from) == (NOW + HOUR, NOW + HOUR)
    assert found.secret_expires_at is None
    assert queries.secrets(CLIENT.client_id, now=NOW) == {}
