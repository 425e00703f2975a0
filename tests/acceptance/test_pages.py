"""Pastes README, tutorial and how-tos literally, with the real servers that they speak of."""

import shutil
from pathlib import Path

import pytest

from support.checkout import ROOT
from support.pages import SHOWN, blocks_of, paste
from support.servers import Azurite

DOCS = ROOT / "docs"
RUN_ELSEWHERE = {
    "report-from-python.md": "tests/integration/test_agent_docs.py",
    "test-against-a-service.md": "tests/integration/test_testing.py",
}
"""How-tos that hold one program, and the test that runs it."""
TUTORIAL = DOCS / "tutorial.md"
HOW_TOS = sorted(DOCS.glob("howto/*.md"))
PAGES = [ROOT / "README.md", TUTORIAL, *HOW_TOS]
PASTED = [
    page
    for page in HOW_TOS
    if page.name not in RUN_ELSEWHERE
    and any(not block.not_run and block.language not in SHOWN for block in blocks_of(page))
]


@pytest.fixture(scope="module")
def after_tutorial(tmp_path_factory: pytest.TempPathFactory, azurite: Azurite) -> Path:
    """The folder of whoever has done the tutorial; the how-tos go on from there."""
    folder = tmp_path_factory.mktemp("tutorial") / "fresh"
    folder.mkdir()
    _paste(TUTORIAL, folder, azurite)
    return folder


def test_the_tutorial_can_be_pasted(after_tutorial: Path) -> None:
    assert (after_tutorial / "first-home").is_dir()


@pytest.mark.slow
def test_the_first_page_can_be_pasted(
    tmp_path: Path, azurite: Azurite, *, full_counts: bool
) -> None:
    _skip_unless_long(full_counts=full_counts)
    _paste(ROOT / "README.md", tmp_path, azurite)


@pytest.mark.slow
@pytest.mark.parametrize("page", PASTED, ids=lambda page: page.stem)
def test_the_page_can_be_pasted(
    page: Path, after_tutorial: Path, tmp_path: Path, azurite: Azurite, *, full_counts: bool
) -> None:
    _skip_unless_long(full_counts=full_counts)
    folder = tmp_path / "fresh"
    shutil.copytree(after_tutorial, folder, symlinks=True)

    _paste(
        page,
        folder,
        azurite,
        ENGAGEMENT_HOME=str(folder / "first-home"),
        ENGAGEMENT_LOCAL_ROOTS=str(folder / "first-out"),
    )


def _skip_unless_long(*, full_counts: bool) -> None:
    if not full_counts:
        pytest.skip("minutes in all; `make torture` pastes every page")


def _paste(page: Path, folder: Path, azurite: Azurite, **more: str) -> None:
    container = azurite.container()
    environment = {
        "CONTAINER_URL_WITH_SAS": azurite.url(container.name, "rcwl"),
        "ENGAGEMENT_ALLOW_LOOPBACK_CONTAINERS": "1",  # for the emulator
    }

    status, printed = paste(page, folder, environment | more)

    assert status == 0, printed[-6_000:]


def test_every_block_says_what_it_is_and_whoever_is_not_run_why() -> None:
    wrong = [
        f"{page.name}:{block.line}"
        for page in PAGES
        for block in blocks_of(page)
        if not block.language
        or (block.language not in {*SHOWN, "sh", "python", "sql", "js"} and not block.not_run)
    ]

    assert wrong == []


def test_pages_that_are_run_elsewhere_are_named_there() -> None:
    for page, test in RUN_ELSEWHERE.items():
        assert f'"{page}"' in (ROOT / test).read_text(encoding="utf-8")
