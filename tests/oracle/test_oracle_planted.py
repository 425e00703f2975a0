"""This module shows that the oracle can fail: it finds a bug of each kind that it is there for."""

from pathlib import Path

import pytest
from oracle_histories import history_of
from oracle_planted import BUGS, Bug
from oracle_product import Product, opened
from oracle_replaying import DifferenceError, replay

SEEDS = range(40)
"""The fixed histories on which every bug must be found, and without one nothing."""


@pytest.mark.slow
@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_the_oracle_finds(bug: Bug, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bug.plant(monkeypatch)

    with opened(tmp_path) as product:
        found = next(filter(None, (_difference(product, seed) for seed in SEEDS)), None)
    assert found is not None, f"no history of {SEEDS} shows it"
    assert found.exported in bug.types, found


def _difference(product: Product, seed: int) -> DifferenceError | None:
    try:
        replay(history_of(seed), product)
    except DifferenceError as difference:
        return difference
    return None


@pytest.mark.slow
def test_without_a_bug_the_oracle_finds_nothing(tmp_path: Path) -> None:
    with opened(tmp_path) as product:
        for seed in SEEDS:
            replay(history_of(seed), product)
