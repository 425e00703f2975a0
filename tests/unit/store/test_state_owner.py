"""Tests that a state database has one owner, whichever home folders name it."""

from pathlib import Path

import pytest

from engagement.exceptions import StateBusyError
from engagement.runtime.opening import open_service
from engagement.settings import Settings
from engagement.store.state_owner import own_state


@pytest.fixture(autouse=True)
def short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engagement.store.state_owner.BUSY_SECONDS_MAX", 0.1)


def test_a_second_owner_is_refused_until_the_first_has_gone(tmp_path: Path) -> None:
    database = str(tmp_path / "state.db")
    with (
        own_state(database),
        pytest.raises(StateBusyError, match="one owner"),
        own_state(database),
    ):
        pass

    with own_state(database):
        pass


def test_another_home_folder_cannot_name_a_database_in_use(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'state.db'}"
    settings = Settings(home=tmp_path / "home", state_url=url, lake_url=str(tmp_path / "lake"))
    with (
        own_state(str(tmp_path / "state.db")),
        pytest.raises(StateBusyError),
        open_service(settings),
    ):
        pass
