"""This module shares the storage servers among all tests of a process."""

from collections.abc import Iterator

import pytest
from hypothesis import settings

from servers import S3, Azurite, running_azurite, running_s3

# How long an example takes says more about the machine than about the code: no test is timed.
settings.register_profile(
    "untimed", settings.get_profile(settings.get_current_profile_name()), deadline=None
)
settings.load_profile("untimed")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let `make torture` ask for more than a usual run does."""
    parser.addoption("--kills", type=int, default=4, help="Random kills of a torture test.")
    parser.addoption("--examples", type=int, default=10, help="Generated requests an operation.")


@pytest.fixture(scope="session")
def examples(request: pytest.FixtureRequest) -> int:
    """How many requests to make from each operation of a document."""
    count: int = request.config.getoption("--examples")
    return count


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
