"""Shares servers and homes among tests, and takes the options of a long run."""

import random
import sys
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from hypothesis import settings

from engagement.failpoints import no_failpoint
from engagement.runtime.tuning import relax_garbage_collector, tune_garbage_collector
from engagement.store.state import open_state
from engagement.store.tables import metadata
from support.home import Home, open_home
from support.servers import S3, Azurite, running_azurite, running_s3

pytest_plugins = ["support.time_limits"]

relax_garbage_collector()  # as the service does while it loads: here it loads every test

# How long an example takes says more about the machine than about the code: no test is timed.
# A usual run looks at some examples, and `make torture` at many: `--hypothesis-profile thorough`.
_BASE = settings.get_profile(settings.get_current_profile_name())
settings.register_profile("usual", _BASE, deadline=None, max_examples=40)
settings.register_profile("thorough", _BASE, deadline=None, max_examples=1_000)
settings.load_profile("usual")

HISTORIES = 60
"""Histories that a usual run compares with the oracle."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let `make torture` ask for more than a usual run does."""
    parser.addoption("--kills", type=int, default=2, help="Random kills of a torture test.")
    parser.addoption("--bodies", type=int, default=2_000, help="Garbage posted to a server.")
    parser.addoption(
        "--histories", type=int, default=HISTORIES, help="Histories to compare with the oracle."
    )
    parser.addoption("--seed", type=int, help="Repeats what a torture test chose at random.")
    parser.addoption("--examples", type=int, default=10, help="Generated requests an operation.")
    parser.addoption(
        "--full-counts", action="store_true", help="Attack as often as strangers did at first."
    )
    parser.addoption("--signatures", type=int, default=300, help="Generated SAS to deliver with.")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files of tests that take long, so that none of them is alone at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_collection_finish() -> None:
    """Look for garbage among what tests make, and no more among the tests themselves."""
    tune_garbage_collector()


@pytest.fixture(scope="session")
def full_counts(request: pytest.FixtureRequest) -> bool:
    """Whether to attack as often as it was done when the attacks were found."""
    is_given: bool = request.config.getoption("--full-counts")
    return is_given


@pytest.fixture(scope="session")
def examples(request: pytest.FixtureRequest) -> int:
    """How many requests to make from each operation of a document."""
    count: int = request.config.getoption("--examples")
    return count


@pytest.fixture(scope="session")
def signatures(request: pytest.FixtureRequest) -> int:
    """With how many generated SAS to deliver."""
    count: int = request.config.getoption("--signatures")
    return count


@pytest.fixture(scope="session")
def kills(request: pytest.FixtureRequest) -> int:
    """How often a torture test ends what it tortures."""
    count: int = request.config.getoption("--kills")
    return count


@pytest.fixture(scope="session")
def bodies(request: pytest.FixtureRequest) -> int:
    """How many bodies that nobody should post are posted."""
    count: int = request.config.getoption("--bodies")
    return count


@pytest.fixture(scope="session")
def histories(request: pytest.FixtureRequest) -> range:
    """The seeds of the histories to compare with the oracle.

    A usual run tries the same ones each time, a torture others.
    """
    count: int = request.config.getoption("--histories")
    first: int | None = request.config.getoption("--seed")
    if first is None:
        first = 0 if count <= HISTORIES else random.SystemRandom().randrange(2**32)
    return range(first, first + count)


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """Of everything random in a torture test; printed, so that a failure can be repeated."""
    given: int | None = request.config.getoption("--seed")
    chosen = random.SystemRandom().randrange(2**32) if given is None else given
    sys.stdout.write(f"--seed {chosen}\n")  # pytest shows it beside a failure
    return chosen


@pytest.fixture(scope="session")
def azurite() -> Iterator[Azurite]:
    """The Azure Blob emulator; tests that need it skip where npm is missing."""
    with running_azurite() as server:
        yield server


@pytest.fixture(scope="session")
def s3() -> Iterator[S3]:
    """Moto's S3."""
    with running_s3() as server:
        yield server


@pytest.fixture
def engine(url: str) -> Iterator[sa.Engine]:
    """A state database, emptied after each test; its folder says where it lies, by `url`."""
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
    shared_home.on_failpoint = no_failpoint
    shared_home.restart()
    return shared_home
