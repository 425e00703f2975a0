"""Gives tests of the state both databases, and tests of the lake a home folder."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from engagement.failpoints import pass_by
from engagement.store.state import metadata, open_state
from harness import Home, open_home, open_postgres


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path_factory.mktemp('state') / 'state.db'}"
    else:
        with open_postgres() as url:
            yield url


@pytest.fixture
def engine(url: str) -> Iterator[sa.Engine]:
    engine = open_state(url)
    yield engine
    with engine.begin() as connection:
        for table in metadata.sorted_tables:
            connection.execute(table.delete())
    engine.dispose()


@pytest.fixture(scope="module")
def shared_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    with open_home(tmp_path_factory.mktemp("shared") / "home") as home:
        yield home


@pytest.fixture
def home(shared_home: Home) -> Home:
    """The home that a module's tests share, with an app that has no records yet."""
    shared_home.next_app()
    shared_home.reach = pass_by
    shared_home.restart()
    return shared_home
