"""Shows that the oracle can fail: it finds a bug of each kind that it is there for."""

from pathlib import Path

import pytest
from oracle_histories import kept_histories
from oracle_planted import BUGS, Bug
from oracle_product import open_product_in
from oracle_replaying import difference_of


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_the_oracle_finds(bug: Bug, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The kept histories are the same that the product without a bug passes."""
    bug.plant(monkeypatch)

    with open_product_in(tmp_path) as product:
        differences = (difference_of(history, product) for history in kept_histories().values())
        found = next(filter(None, differences), None)

    assert found is not None, "no kept history shows it"
    assert found.exported in bug.types, found
