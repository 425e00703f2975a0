"""Ends the processes of a server under load, and judges what is left."""

import os
import random
import signal
import time
from dataclasses import dataclass
from typing import Protocol

from checker import Verdict
from collector import Collector, wait_until

from support.server_process import RunningServer

DROPPED = 0.2
"""The share of answers that devices do not wait for."""
BATCHES_MIN = 20
BATCHES_MAX = 400
"""Of batches that are acknowledged before a process is ended. A server at its usual load takes in
so many in a few seconds, in which it flushes more than once; a slow one takes longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """What servers that were ended came to."""

    verdict: Verdict
    """What was lost, once all was well again."""
    slowest_seconds: float
    """The longest that one took to be ready."""


class Ending(Protocol):
    """Ends servers under load."""

    __name__: str

    def __call__(
        self, collector: Collector, times: int, dice: random.Random, *, plant: str | None = None
    ) -> Ended:
        """Do so some times, at moments of the dice, with a bug planted."""


def kill_servers(
    collector: Collector, times: int, dice: random.Random, *, plant: str | None = None
) -> Ended:
    """Kill one server after another, as the kernel does when memory is short."""
    return _end_servers(collector, times, dice, plant=plant, kills=True)


def stop_servers(
    collector: Collector, times: int, dice: random.Random, *, plant: str | None = None
) -> Ended:
    """Stop one server after another by SIGTERM, as an operator does."""
    return _end_servers(collector, times, dice, plant=plant, kills=False)


def kill_workers(
    collector: Collector, times: int, dice: random.Random, *, plant: str | None = None
) -> Ended:
    """Kill one worker after another beside a server that goes on."""
    slowest = 0.0
    with collector.load(drop=DROPPED) as load, collector.serving(plant=plant) as server:
        for _ in range(times):
            wait_for_moment(collector, dice)
            killed = server.worker_pid
            assert killed is not None
            os.kill(killed, signal.SIGKILL)
            seconds = wait_until(
                lambda killed=killed: server.worker_pid not in {None, killed}, "a new worker"
            )
            slowest = max(slowest, seconds)
        load.settle()
        return Ended(verdict=collector.verdict(server), slowest_seconds=slowest)


def kill_flushing_workers(
    collector: Collector, times: int, dice: random.Random, *, plant: str | None = None
) -> Ended:
    """Kill one worker after another at the moment at which its flush takes from the inbox."""
    del dice
    slowest = 0.0
    with collector.load(drop=DROPPED) as load, collector.serving(plant=plant) as server:
        for _ in range(times):
            killed = server.worker_pid
            assert killed is not None
            wait_until_fewer_wait(server)
            os.kill(killed, signal.SIGKILL)
            seconds = wait_until(
                lambda killed=killed: server.worker_pid not in {None, killed}, "a new worker"
            )
            slowest = max(slowest, seconds)
        load.settle()
        return Ended(verdict=collector.verdict(server), slowest_seconds=slowest)


def wait_until_fewer_wait(server: RunningServer) -> float:
    """Return only when a flush has taken from the inbox under load; after how many seconds."""
    most = 0.0

    def are_fewer() -> bool:
        nonlocal most
        waiting = server.metric("engagement_inbox_logs")
        is_fewer, most = waiting < most, max(most, waiting)
        return is_fewer

    return wait_until(are_fewer, "a flush")


def wait_for_moment(collector: Collector, dice: random.Random) -> None:
    """Return at a random moment, which is told by what was done, as no clock knows the machine."""
    since, batches = time.monotonic(), dice.randint(BATCHES_MIN, BATCHES_MAX)
    wait_until(
        lambda: collector.acknowledged(since=since) >= batches, f"{batches} acknowledged batches"
    )


def _end_servers(
    collector: Collector, times: int, dice: random.Random, *, plant: str | None, kills: bool
) -> Ended:
    slowest = 0.0
    with collector.load(drop=DROPPED) as load:
        for _ in range(times):
            started = time.monotonic()
            with collector.serving(plant=plant) as server:
                slowest = max(slowest, time.monotonic() - started)
                wait_for_moment(collector, dice)
                if kills:
                    server.kill()
        with collector.serving() as server:
            load.settle()
            return Ended(verdict=collector.verdict(server), slowest_seconds=slowest)
