"""Tests that an app has several keys, each of which works until it ends and no longer."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from engagement import operations
from engagement.exceptions import (
    BadInputError,
    IllegalStateError,
    NotAuthenticatedError,
    RequestTooLargeError,
    UnknownAppError,
    UnknownAppKeyError,
)
from engagement.model.audit import Action
from engagement.operations.app_keys import KEYS_MAX, USE_STEP
from engagement.runtime.opening import Runtime
from engagement.runtime.recovering import recover_state
from engagement.settings import Settings
from engagement.store.app_files import APP_FILE
from engagement.testing import StoppedClock, open_test_runtime
from support.batches import NOW, everything
from support.home import lose_state

PLACE = {"collection": "c", "resource_group": "g", "subscription": "s"}


@contextmanager
def open_app(home: Path, clock: StoppedClock) -> Iterator[tuple[Runtime, str, str]]:
    """A service with an app: its id and first key."""
    with open_test_runtime(home, clock=clock) as runtime:
        made = operations.create_app(runtime, name="shop", **PLACE)
        yield runtime, made.app.app_id, made.app_key


@pytest.fixture
def clock() -> StoppedClock:
    return StoppedClock(NOW)


@pytest.fixture
def shop(tmp_path: Path, clock: StoppedClock) -> Iterator[tuple[Runtime, str, str]]:
    with open_app(tmp_path / "home", clock) as made:
        yield made


def works(runtime: Runtime, key: str) -> bool:
    try:
        operations.app_of_key(runtime, key)
    except NotAuthenticatedError:
        return False
    return True


def test_each_of_an_apps_keys_works_until_it_is_revoked(shop: tuple[Runtime, str, str]) -> None:
    runtime, app_id, first = shop
    made = operations.create_key(runtime, app_id, name="android")

    assert works(runtime, first)
    assert works(runtime, made.app_key)

    ended = operations.revoke_key(runtime, app_id, "android")

    assert ended.revoked_at == NOW
    assert not works(runtime, made.app_key)
    assert works(runtime, first)
    assert operations.revoke_key(runtime, app_id, ended.key_id) == ended


def test_a_key_ends_by_itself(shop: tuple[Runtime, str, str], clock: StoppedClock) -> None:
    runtime, app_id, _ = shop
    ends_at = NOW + timedelta(days=1)
    made = operations.create_key(runtime, app_id, name="short", ends_at=ends_at)

    clock.now = ends_at - timedelta(microseconds=1)
    assert works(runtime, made.app_key)
    clock.now = ends_at
    assert not works(runtime, made.app_key)
    with pytest.raises(IllegalStateError):
        operations.rotate_key(runtime, app_id, made.key.key_id)


def test_an_exchanged_key_goes_on_for_the_hours_that_were_given(
    shop: tuple[Runtime, str, str], clock: StoppedClock
) -> None:
    runtime, app_id, first = shop
    made = operations.rotate_key(runtime, app_id, "first", keep_hours=2)

    assert made.key.name == "first"
    clock.now = NOW + timedelta(hours=1)
    assert works(runtime, first)
    clock.now = NOW + timedelta(hours=2)
    assert not works(runtime, first)
    assert works(runtime, made.app_key)


def test_an_exchange_never_lengthens_the_life_of_a_key(shop: tuple[Runtime, str, str]) -> None:
    runtime, app_id, _ = shop
    ends_at = NOW + timedelta(hours=1)
    made = operations.create_key(runtime, app_id, name="short", ends_at=ends_at)

    operations.rotate_key(runtime, app_id, made.key.key_id, keep_hours=48)

    assert operations.find_key(runtime, app_id, made.key.key_id).ends_at == ends_at


def test_a_name_of_several_living_keys_names_none(shop: tuple[Runtime, str, str]) -> None:
    runtime, app_id, _ = shop
    made = operations.rotate_key(runtime, app_id, "first")

    with pytest.raises(BadInputError, match=made.key.key_id):
        operations.revoke_key(runtime, app_id, "first")

    operations.revoke_key(runtime, app_id, made.key.key_id)
    assert operations.find_key(runtime, app_id, "first").revoked_at is None


def test_the_last_use_is_kept_to_some_minutes(
    shop: tuple[Runtime, str, str], clock: StoppedClock
) -> None:
    runtime, app_id, first = shop

    def last_used() -> object:
        (key,) = operations.list_keys(runtime, app_id)
        return key.last_used_at

    assert last_used() is None
    assert works(runtime, first)
    assert last_used() == NOW
    clock.now = NOW + USE_STEP / 2
    assert works(runtime, first)
    assert last_used() == NOW
    clock.now = NOW + USE_STEP
    assert works(runtime, first)
    assert last_used() == clock.now


@pytest.mark.parametrize("name", ["", "a\nb", "x" * 65])
def test_a_name_that_cannot_be_is_refused(shop: tuple[Runtime, str, str], name: str) -> None:
    runtime, app_id, _ = shop
    with pytest.raises(BadInputError, match="printable"):
        operations.create_key(runtime, app_id, name=name)


def test_what_cannot_be_is_refused(shop: tuple[Runtime, str, str]) -> None:
    runtime, app_id, _ = shop
    with pytest.raises(BadInputError, match="after now"):
        operations.create_key(runtime, app_id, name="past", ends_at=NOW)
    with pytest.raises(BadInputError, match="hours"):
        operations.rotate_key(runtime, app_id, "first", keep_hours=-1)
    with pytest.raises(UnknownAppKeyError):
        operations.revoke_key(runtime, app_id, "nothing")
    with pytest.raises(UnknownAppError):
        operations.list_keys(runtime, "f" * 32)


def test_the_key_of_another_app_is_unknown(shop: tuple[Runtime, str, str]) -> None:
    runtime, app_id, first = shop
    other = operations.create_app(runtime, name="other", **PLACE).app.app_id
    (key,) = operations.list_keys(runtime, other)

    with pytest.raises(UnknownAppKeyError):
        operations.revoke_key(runtime, app_id, key.key_id)

    assert works(runtime, first)


def test_an_app_has_no_more_keys_than_it_may(shop: tuple[Runtime, str, str]) -> None:
    runtime, app_id, _ = shop
    for number in range(KEYS_MAX - 1):
        operations.create_key(runtime, app_id, name=f"key {number}")
    with pytest.raises(RequestTooLargeError):
        operations.create_key(runtime, app_id, name="one more")
    with pytest.raises(RequestTooLargeError):
        operations.rotate_key(runtime, app_id, "first")

    operations.revoke_key(runtime, app_id, "key 0")

    operations.create_key(runtime, app_id, name="one more")


def test_changes_of_keys_are_in_the_audit_log_without_the_keys(
    shop: tuple[Runtime, str, str],
) -> None:
    runtime, app_id, first = shop
    acting = runtime.act_for("client 7")
    made = operations.create_key(acting, app_id, name="android")
    again = operations.rotate_key(acting, app_id, "android", keep_hours=0)
    operations.revoke_key(acting, app_id, again.key.key_id)

    found = operations.list_audit(runtime, operations.AuditFilter(app_ids=frozenset({app_id})))

    assert [entry.change.action for entry in found] == [
        Action.KEY_REVOKE,
        Action.KEY_ROTATE,
        Action.KEY_CREATE,
        Action.APP_CREATE,
    ]
    assert {entry.change.actor for entry in found[:3]} == {"client 7"}
    for secret in (first, made.app_key, again.app_key):
        assert secret not in repr(found)
        assert secret not in repr(made)


def test_keys_go_on_after_a_recovery_and_revoked_ones_do_not(tmp_path: Path) -> None:
    home, clock = tmp_path / "home", StoppedClock(NOW)
    with open_app(home, clock) as (runtime, app_id, first):
        operations.collect_batch(runtime, app_id, everything(1), content_encoding=None)
        runtime.group_commit.close()
        runtime.flush(app_id)
        gone = operations.create_key(runtime, app_id, name="gone")
        kept = operations.create_key(runtime, app_id, name="kept")
        operations.revoke_key(runtime, app_id, "gone")
    text = (home / "lake" / app_id / APP_FILE).read_text()
    assert all(key not in text for key in (first, gone.app_key, kept.app_key))
    lose_state(home)

    recover_state(Settings(home=home), clock=lambda: NOW)

    with open_test_runtime(home, clock=clock) as runtime:
        assert [works(runtime, key) for key in (first, gone.app_key, kept.app_key)] == [
            True,
            False,
            True,
        ]
