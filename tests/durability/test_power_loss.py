"""Cuts the power under load: the disk is copied as it is at that moment."""

import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from checker import Verdict
from collector import Collector, free_port, new_collector, note, wait_until
from disks import copy_image, image_disk
from endings import BATCHES_MIN, DROPPED, wait_for_moment

from engagement.exceptions import LakeDamagedError
from support.server_process import RunningServer

DISK_MIB = 256

pytestmark = pytest.mark.slow


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """A disk as a power loss leaves it."""

    image: Path
    """Its blocks."""
    at: float
    """When; what was acknowledged later is not on it."""


def test_a_power_loss_loses_nothing(tmp_path: Path, kills: int, seed: int) -> None:
    collector, cuts = cut_under_load(tmp_path, kills, seed)

    verdicts = [left_by(collector, cut) for cut in cuts]

    acknowledged = sum(verdict.acknowledged for verdict in verdicts)
    note(f"{kills} power losses, {acknowledged} logs acknowledged")
    assert [verdict.damage for verdict in verdicts] == [{}] * kills
    assert all(verdict.acknowledged >= BATCHES_MIN for verdict in verdicts)


def test_a_database_that_is_not_synced_is_found_out(tmp_path: Path, seed: int) -> None:
    """It has lost what it acknowledged, or knows less than the lake, which is refused for it."""
    collector, (cut,) = cut_under_load(tmp_path, 1, seed, plant="state_not_synced")

    try:
        damage = left_by(collector, cut).damage
    except (pytest.fail.Exception, LakeDamagedError) as error:
        assert "does not know" in str(error)  # noqa: PT017 - one of two right outcomes
    else:
        assert "lost" in damage


def test_a_lake_that_is_not_synced_is_found_damaged(tmp_path: Path, seed: int) -> None:
    collector, (cut,) = cut_under_load(tmp_path, 1, seed, plant="lake_not_synced")

    with pytest.raises(LakeDamagedError):
        left_by(collector, cut)


def cut_under_load(
    folder: Path, times: int, seed: int, *, plant: str | None = None
) -> tuple[Collector, list[Cut]]:
    """Copies of a server's disk at random moments, each after a flush at least."""
    dice = random.Random(seed)  # noqa: S311 - moments, not secrets
    cuts: list[Cut] = []
    with image_disk(folder / "disk", size=DISK_MIB) as disk:
        collector = new_collector(folder, seed=seed, home=disk / "home")
        with collector.serving(plant=plant) as server, collector.load(drop=DROPPED):
            wait_until(lambda: list(disk.rglob("*.parquet")), "a flush")
            for number in range(times):
                wait_for_moment(collector, dice)
                image = folder / f"cut-{number}"
                with held(server):
                    copy_image(folder / "disk", image)
                    cuts.append(Cut(image=image, at=time.monotonic()))
    return collector, cuts


@contextmanager
def held(server: RunningServer) -> Iterator[None]:
    """A server that does nothing meanwhile, so that the copy is of one moment."""
    processes = [server.process.pid, *([server.worker_pid] if server.worker_pid else [])]
    for process in processes:
        os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        for process in processes:
            os.kill(process, signal.SIGCONT)


def left_by(collector: Collector, cut: Cut) -> Verdict:
    """What a server that starts on the disk that a power loss left has kept."""
    with image_disk(cut.image) as disk:
        after = replace(collector, home=disk / "home", port=free_port())
        with after.serving() as server:
            return after.verdict(server, until=cut.at)
