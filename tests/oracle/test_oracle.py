"""This module tries the product against the oracle: what it exports is what a plain model says."""

import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from oracle_histories import History, make_history
from oracle_product import Product, open_product
from oracle_replaying import DifferenceError, replay, shrunk

SHARES = 20
"""Tests that the histories are shared among, so that processes and time-outs find short ones."""
KEPT = sorted((Path(__file__).parent / "kept").glob("*.ndjson"))
"""Histories that were wrong once; a failure prints its own as it may be kept here."""
IN_MEMORY = Path("/dev/shm")  # noqa: S108 - where it may be written; a folder of its own is made


@contextmanager
def opened(folder: Path, *, workers: bool = False) -> Iterator[Product]:
    """A product in memory where that is possible: nothing here is about what a disk keeps."""
    where = IN_MEMORY if IN_MEMORY.is_dir() else folder
    with (
        TemporaryDirectory(dir=where) as home,
        open_product(Path(home) / "home", workers=workers) as product,
    ):
        yield product


def hold(history: History, product: Product, *, named: str) -> None:
    """Return only if the product does what the model says on a history, or show a short one."""
    try:
        replay(history, product)
    except DifferenceError as error:
        small, reason = shrunk(history, product, reason=str(error))
        lines = "\n".join(json.dumps(operation, ensure_ascii=False) for operation in small)
        pytest.fail(f"{named} fails, in short:\n{lines}\n{reason}", pytrace=False)


def history_of(seed: int) -> History:
    """The history of a seed."""
    return make_history(random.Random(seed))  # noqa: S311 - the same each time, on purpose


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
