"""This module tries the product against the oracle: what it exports is what a plain model says."""

import json
from pathlib import Path

import pytest
from oracle_histories import History, history_of
from oracle_product import Product, opened
from oracle_replaying import DifferenceError, replay, shrunk

SHARES = 20
"""Tests that the histories are shared among, so that processes and time-outs find short ones."""
KEPT = sorted((Path(__file__).parent / "kept").glob("*.ndjson"))
"""Histories that were wrong once; a failure prints its own as it may be kept here."""


def hold(history: History, product: Product, *, named: str) -> None:
    """Return only if the product does what the model says on a history, or show a short one."""
    try:
        replay(history, product)
    except DifferenceError as error:
        small, reason = shrunk(history, product, reason=str(error))
        lines = "\n".join(json.dumps(operation, ensure_ascii=False) for operation in small)
        pytest.fail(f"{named} fails, in short:\n{lines}\n{reason}", pytrace=False)


@pytest.mark.slow
@pytest.mark.parametrize("share", range(SHARES))
def test_every_export_is_what_the_model_says(share: int, histories: range, tmp_path: Path) -> None:
    seeds = histories[share::SHARES]
    if not seeds:
        pytest.skip("other shares hold all histories")
    with opened(tmp_path) as product:
        for seed in seeds:
            history = history_of(seed)
            hold(history, product, named=f"--histories 1 --seed {seed}")


@pytest.mark.slow
def test_the_workers_deliver_what_the_model_says(histories: range, tmp_path: Path) -> None:
    with opened(tmp_path, workers=True) as product:
        history = history_of(histories[0])
        hold(history, product, named=f"--histories 1 --seed {histories[0]} with workers")


@pytest.mark.parametrize("file", KEPT, ids=lambda file: file.stem)
def test_a_kept_history_is_what_the_model_says(file: Path, tmp_path: Path) -> None:
    history = [json.loads(line) for line in file.read_text().splitlines()]

    with opened(tmp_path) as product:
        hold(history, product, named=file.name)
