"""Plants a bug a promise of the collector and demands that the checker finds it."""

import random
from pathlib import Path

import pytest
from collector import new_collector
from endings import Ending, kill_flushing_workers, kill_servers, stop_servers

pytestmark = pytest.mark.slow

TRIES_MAX = 5


@pytest.mark.parametrize(
    ("bug", "end", "damage"),
    [
        ("acknowledged_early", kill_servers, "lost"),
        ("keys_forgotten", kill_servers, "duplicated"),
        ("waiting_forgotten_at_close", stop_servers, "lost"),
        ("inbox_emptied_first", kill_flushing_workers, "lost"),
    ],
)
def test_the_checker_finds(tmp_path: Path, seed: int, bug: str, end: Ending, damage: str) -> None:
    """A process may end at a moment at which the bug does no harm, so there are some tries."""

    def finds(seed: int) -> bool:
        collector = new_collector(tmp_path / str(seed), seed=seed)
        ended = end(collector, 1, random.Random(seed), plant=bug)  # noqa: S311
        return damage in ended.verdict.damage

    assert any(finds(seed + number) for number in range(TRIES_MAX))
