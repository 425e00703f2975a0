"""Tests that a state database has one owner, whichever home folders name it."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from engagement.exceptions import StateBusyError
from engagement.store.state import open_state
from engagement.store.state_owner import own_state


@pytest.fixture
def engine(url: str) -> Iterator[sa.Engine]:
    engine = open_state(url)
    yield engine
    engine.dispose()


@pytest.fixture(autouse=True)
def short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engagement.store.state_owner.BUSY_SECONDS_MAX", 0.1)


def test_a_second_owner_is_refused_until_the_first_has_gone(engine: sa.Engine) -> None:
    with own_state(engine), pytest.raises(StateBusyError), own_state(engine):
        pass

    with own_state(engine):
        pass
