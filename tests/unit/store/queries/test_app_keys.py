"""Tests that the state database finds the app of a key while the key lives."""

from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa

from engagement.exceptions import UnknownAppKeyError
from engagement.model.apps import App, app_key_id
from engagement.store.app_files import RegisteredApp, RegisteredKey
from engagement.store.queries.app_keys import AppKeyQueries
from engagement.store.queries.apps import AppQueries
from support.batches import NOW

APP = App(app_id="1", name="n", collection="c", resource_group="g", subscription="s")
END = NOW + timedelta(days=1)


def key(number: int, *, ends_at: datetime | None = None) -> RegisteredKey:
    return RegisteredKey(
        name=f"key {number}",
        key_sha256=f"{number:064x}"[::-1],
        created_at=NOW + timedelta(seconds=number),
        ends_at=ends_at,
    )


FIRST, SECOND, THIRD = key(1), key(2, ends_at=END), key(3)


def test_keys_are_kept_used_exchanged_and_revoked(engine: sa.Engine) -> None:
    queries = AppKeyQueries(engine)
    AppQueries(engine).add(RegisteredApp(app=APP, keys=(FIRST,), created_at=NOW))
    queries.add("1", SECOND)

    assert queries.list_registered("1") == (FIRST, SECOND)
    assert queries.find_app(FIRST.key_sha256, now=END) == (APP, None)
    assert queries.find_app(SECOND.key_sha256, now=END) is None

    queries.record_use(FIRST.key_sha256, used_at=NOW)
    assert queries.find_app(FIRST.key_sha256, now=END) == (APP, NOW)

    first_id = app_key_id(FIRST.key_sha256)
    queries.exchange("1", first_id, THIRD, old_ends_at=END)
    queries.exchange("1", first_id, key(4), old_ends_at=END + timedelta(1))
    assert queries.get("1", first_id).ends_at == END

    queries.revoke("1", first_id, now=NOW)
    queries.revoke("1", first_id, now=END)
    assert queries.get("1", first_id).revoked_at == NOW
    assert queries.find_app(FIRST.key_sha256, now=NOW) is None
    assert queries.list_registered("1") == (SECOND, THIRD, key(4))
    with pytest.raises(UnknownAppKeyError):
        queries.get("2", first_id)
