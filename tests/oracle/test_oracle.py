"""Tries the product against the oracle: what it exports is what a plain model says."""

import json
from pathlib import Path

import pytest
from oracle_histories import History, history_of, kept_histories
from oracle_product import Product, open_product_in
from oracle_replaying import difference_of, shrunk

SHARES = 20
"""Tests that the histories are shared among, so that processes and time-outs find short ones."""


def hold(history: History, product: Product, *, named: str) -> None:
    """Return only if the product does what the model says on a history, or show a short one."""
    difference = difference_of(history, product)
    if difference is not None:
        small, reason = shrunk(history, product, reason=str(difference))
        lines = "\n".join(json.dumps(operation, ensure_ascii=False) for operation in small)
        pytest.fail(f"{named} fails, in short:\n{lines}\n{reason}", pytrace=False)


@pytest.mark.slow
@pytest.mark.parametrize("share", range(SHARES))
def test_every_export_is_what_the_model_says(share: int, histories: range, tmp_path: Path) -> None:
    seeds = histories[share::SHARES]
    if not seeds:
        pytest.skip("other shares hold all histories")
    with open_product_in(tmp_path) as product:
        for seed in seeds:
            history = history_of(seed)
            hold(history, product, named=f"--histories 1 --seed {seed}")


@pytest.mark.slow
def test_the_workers_deliver_what_the_model_says(histories: range, tmp_path: Path) -> None:
    with open_product_in(tmp_path, run_tasks=True) as product:
        history = history_of(histories[0])
        hold(history, product, named=f"--histories 1 --seed {histories[0]} with workers")


@pytest.mark.parametrize("name", kept_histories())
def test_a_kept_history_is_what_the_model_says(name: str, tmp_path: Path) -> None:
    with open_product_in(tmp_path) as product:
        hold(kept_histories()[name], product, named=name)
