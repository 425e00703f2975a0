"""Posts garbage to a server, which must answer all of it and keep what is good."""

import random
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from collector import note
from shooting import shoot, target

from engagement.model.exports import ExportType
from support.bombs import MIB
from support.exporting import exported
from support.garbage import Garbage, garbage
from support.memory import Memory
from support.server_process import RunningServer

WARM_UP = 500
"""Bodies after which a server has loaded what it needs."""
GROWTH_BYTES_MAX = 64 * MIB
BODIES_PLANTED = 1_500
SEED_PLANTED = 1
"""Of a plan that has what each planted bug stumbles over; one of chance may have too little."""

HANG_SECONDS_PLANTED = 30
"""What is not answered in so long is taken to hang, where a bug is planted that hangs."""

pytestmark = pytest.mark.slow


def test_garbage_is_answered_and_what_is_good_among_it_is_kept(
    tmp_path: Path, bodies: int, seed: int
) -> None:
    with target(tmp_path) as (server, key):
        first = shoot(server.address, key, plan(seed, WARM_UP))
        memory = Memory(server.process.pid)
        then = shoot(server.address, key, plan(seed, bodies, first=WARM_UP))
        growth = memory.growth()
        kept = names(server, tmp_path)

    note(
        f"{bodies} bodies, {dict(then.statuses)}, slowest {then.slowest_seconds:.3f} s, "
        f"{growth / MIB:.1f} MiB more, {len(kept)} good logs"
    )
    assert first.wrong + then.wrong == []
    assert kept == Counter(first.good + then.good)
    assert max(kept.values()) == 1
    assert growth <= GROWTH_BYTES_MAX


@pytest.mark.parametrize(
    ("bug", "found"),
    [
        ("not_a_number_unforeseen", "not a number in extras at .*: 500"),
        ("surrogates_without_end", ": TimeoutError of"),
        ("neighbours_refused", "at /collect/v1/batch: 202"),
    ],
)
def test_a_planted_bug_is_found(tmp_path: Path, bug: str, found: str) -> None:
    with target(tmp_path, plant=bug) as (server, key):
        volley = shoot(
            server.address,
            key,
            plan(SEED_PLANTED, BODIES_PLANTED),
            answer_seconds_max=HANG_SECONDS_PLANTED,
        )
        server.kill()  # one that hangs does not stop when it is asked to

    assert any(re.search(found, item) for item in volley.wrong)


def test_garbage_that_is_remembered_is_found(tmp_path: Path, seed: int) -> None:
    with target(tmp_path, plant="bodies_remembered") as (server, key):
        shoot(server.address, key, plan(seed, WARM_UP))
        memory = Memory(server.process.pid)
        shoot(server.address, key, plan(seed, WARM_UP, first=WARM_UP))

        assert memory.growth() > GROWTH_BYTES_MAX


def plan(seed: int, count: int, *, first: int = 0) -> Iterator[Garbage]:
    """Bodies that follow from the seed and their numbers."""
    for number in range(first, first + count):
        yield garbage(random.Random(f"{seed} {number}"), number)  # noqa: S311 - to be repeated


def names(server: RunningServer, folder: Path) -> Counter[str]:
    """The good logs that an export of the server's app holds, and how often."""
    (app,) = [item for item in server.command("apps", "list") if item["name"] != "first"]
    found = exported(
        server, server.client("owner"), app["appId"], folder / "out", [ExportType.EVENT]
    )
    return Counter(
        item["name"] for item in found.get("Event", []) if item["name"].startswith("good ")
    )
