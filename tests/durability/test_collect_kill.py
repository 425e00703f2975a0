"""Ends a server's processes under load; what it acknowledged must be there, once."""

import random
from pathlib import Path

import pytest
from collector import new_collector, note
from endings import BATCHES_MIN, Ending, kill_servers, kill_workers, stop_servers

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("end", [kill_servers, kill_workers, stop_servers])
def test_whatever_process_ends_nothing_acknowledged_is_lost_or_doubled(
    tmp_path: Path, kills: int, seed: int, end: Ending
) -> None:
    collector = new_collector(tmp_path, seed=seed)

    ended = end(collector, kills, random.Random(seed))  # noqa: S311 - moments, not secrets

    verdict = ended.verdict
    note(f"{end.__name__}: {kills}, slowest start {ended.slowest_seconds:.1f} s, {verdict}")
    assert verdict.damage == {}
    assert verdict.acknowledged >= BATCHES_MIN * kills
    assert verdict.statuses.keys() <= {200, 202, 503}
    assert verdict.hasty == 0
    assert "TimeoutError" not in verdict.unknown
