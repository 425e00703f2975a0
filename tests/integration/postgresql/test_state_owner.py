"""Tests who owns a state database on PostgreSQL, where machines share it."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from engagement.exceptions import StateBusyError
from engagement.runtime.opening import open_service
from engagement.settings import Settings
from engagement.store.state import open_state
from engagement.store.state_owner import OWNER_LOCK, own_state
from support.waiting import wait_for
from unit.store.test_state_owner import *  # noqa: F403

_HOLDER = sa.text("SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objid = :lock")


def test_another_home_folder_cannot_name_a_state_database_in_use(tmp_path: Path, url: str) -> None:
    def settings(home: str) -> Settings:
        return Settings(home=tmp_path / home, state_url=url, lake_url=str(tmp_path / "lake"))

    with (
        open_service(settings("first")),
        pytest.raises(StateBusyError, match="one owner"),
        open_service(settings("second")),
    ):
        pass


def test_the_owner_takes_its_lock_again_after_its_session_was_ended(url: str) -> None:
    engine = open_state(url)

    def holder() -> int | None:
        with engine.connect() as connection:
            return connection.scalar(_HOLDER, {"lock": OWNER_LOCK})

    with own_state(engine):
        first = holder()
        with engine.begin() as connection:
            connection.execute(sa.select(sa.func.pg_terminate_backend(first)))

        wait_for(lambda: holder() not in {None, first}, "the lock to be held again")
    engine.dispose()
