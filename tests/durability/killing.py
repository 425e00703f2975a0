"""Kills the victim at random moments of what it does, drawn from how long it takes undisturbed."""

import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from scene import VICTIM, Scene

from support.waiting import WAIT_SECONDS_MAX

KILLS_A_ROUND_MAX = 5
"""After so many a run is left alone, or a slow machine would never come to its end."""
TRIES_A_KILL_MAX = 3
"""A moment may come when a run has ended already; no more than so many are tried for a kill."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a process came to its end."""

    was_killed: bool
    """Whether it was killed before it had done its work."""
    seconds: float
    """How long it ran."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Killing:
    """How often something was killed."""

    kills: int
    """How often."""
    tries: int
    """How often it was tried; it may have been done already."""
    rounds: int
    """How often it was begun anew."""
    seconds: float
    """How long it takes undisturbed."""


def run_victim(scene: Scene, *words: str, kill_after: float | None = None) -> Ended:
    """Let a process do something, to its end or for some seconds.

    Args:
        scene: Whose home the process works on.
        words: What it does.
        kill_after: Seconds until the process is killed; None lets it come to its end, which must
            be a good one.
    """
    faults = ("-X", "faulthandler")  # else a crash of a library ends it without a word
    command = [sys.executable, *faults, str(VICTIM), str(scene.home), str(scene.out), *words]
    started = time.monotonic()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        patience = 2 * WAIT_SECONDS_MAX if kill_after is None else kill_after
        try:
            out, err = process.communicate(timeout=patience)
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate(timeout=WAIT_SECONDS_MAX)
            if kill_after is None:
                pytest.fail(f"What nobody disturbed must end, but it said {out!r} and {err!r}.")
        except BaseException:
            process.kill()
            raise
    seconds = time.monotonic() - started
    if kill_after is not None and process.returncode == -signal.SIGKILL:
        return Ended(was_killed=True, seconds=seconds)
    assert process.returncode == 0, f"It ended with {process.returncode}: {out}{err}"
    assert set(out.split()) <= {"Succeeded"}, out + err
    return Ended(was_killed=False, seconds=seconds)


def kill_again_and_again(
    begin: Callable[[], tuple[Scene, list[str]]],
    check: Callable[[Scene, str], None],
    *,
    kills: int,
    seed: int,
    seconds: float,
) -> Killing:
    """Begin something, kill it a few times, let it end and look at what it left, over and over.

    Args:
        begin: Makes a new scene; returns it and what the victim does there, again after each kill.
        check: Looks at the scene after what was done has come to its end; is given a name for it.
        kills: How often to kill in all.
        seed: Of the moments.
        seconds: How long it takes undisturbed.
    """
    dice = random.Random(seed)  # noqa: S311 - moments, not secrets
    killed = tries = rounds = 0
    while killed < kills and tries < kills * TRIES_A_KILL_MAX:
        rounds += 1
        scene, words = begin()
        for _ in range(min(KILLS_A_ROUND_MAX, kills - killed)):
            tries += 1
            ended = run_victim(scene, *words, kill_after=dice.uniform(0, seconds))
            if not ended.was_killed:  # the machine is quicker than it was
                seconds = min(seconds, ended.seconds)
                break
            killed += 1
        else:
            run_victim(scene, *words)
        check(scene, f"round {rounds}")
    assert killed > 0, f"one of {tries} moments must come before the end of a run"
    return Killing(kills=killed, tries=tries, rounds=rounds, seconds=seconds)
