"""This module plants a bug a promise of the collector and demands that the checker finds it."""

import random
from pathlib import Path

import pytest
from collector import new_collector
from endings import Ending, kill_servers, kill_workers, stop_servers

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("bug", "end", "damage"),
    [
        ("acknowledged_early", kill_servers, "lost"),
        ("keys_forgotten", kill_servers, "duplicated"),
        ("waiting_forgotten_at_close", stop_servers, "lost"),
        ("inbox_emptied_first", kill_workers, "lost"),
    ],
)
def test_the_checker_finds(tmp_path: Path, seed: int, bug: str, end: Ending, damage: str) -> None:
    collector = new_collector(tmp_path, seed=seed)

    ended = end(collector, 1, random.Random(seed), plant=bug)  # noqa: S311

    assert damage in ended.verdict.damage
