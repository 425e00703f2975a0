"""Kills the process at random moments, over and over, while it imports, exports or does upkeep."""

import random
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from collector import note
from delivered import exported, objects, parts
from faulty import faulty
from killing import Killing, kill_again_and_again, run_victim
from scene import Scene, new_scene, queue_export

from engagement.exceptions import TransientDestinationError
from engagement.model.exports import ExportType
from support.servers import S3, AzureContainer, Azurite, S3Container

FAULTS_PERCENT = (1, 5, 20, 50)
EXPORTS_AT_ONCE = 16
"""Of one process, each over a line of its own; most of their time is pauses between tries."""
CREATIONS_MAX = 20
"""A line that fails half of the time refuses one creation in some dozens."""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def unfilled(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """An app whose sample is not imported."""
    return new_scene(tmp_path_factory.mktemp("torture"))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """An app with its sample in the lake."""
    scene = new_scene(tmp_path_factory.mktemp("torture"))
    assert scene.import_sample().returncode == 0
    return scene


@pytest.fixture(params=["azurite", "s3"])
def server(request: pytest.FixtureRequest) -> Azurite | S3:
    """A real server of each kind."""
    found: Azurite | S3 = request.getfixturevalue(request.param)
    return found


def test_exports_killed_at_random_are_as_if_undisturbed(
    base: Scene, tmp_path: Path, server: Azurite | S3, kills: int, seed: int
) -> None:
    container = server.container("torture")
    golden = base.copy(tmp_path / "golden")
    task_id = queue_export(golden, container_url=container.write_url)
    seconds = run_victim(golden, "wait", task_id).seconds
    undisturbed = objects(container)
    others: list[AzureContainer | S3Container] = []

    def begin() -> tuple[Scene, list[str]]:
        others.append(server.container("torture"))
        scene = base.copy(tmp_path / "home")
        return scene, ["wait", queue_export(scene, container_url=others[-1].write_url)]

    def check(scene: Scene, name: str) -> None:
        del scene
        delivered = objects(others[-1])
        assert parts(delivered) == parts(undisturbed), name
        assert sum(key.endswith("manifest.json") for key in delivered) == 1, name

    note_killing(kill_again_and_again(begin, check, kills=kills, seed=seed, seconds=seconds))


def test_imports_killed_at_random_keep_each_record_once(
    unfilled: Scene, tmp_path: Path, kills: int, seed: int
) -> None:
    words = ["import", str(unfilled.sample), unfilled.app_id]

    expected = torture(unfilled, words, tmp_path, kills=kills, seed=seed)

    assert any(expected.values())


def test_upkeep_killed_at_random_is_as_if_undisturbed(
    base: Scene, tmp_path: Path, kills: int, seed: int
) -> None:
    """Compacted, a device erased, old days taken out, folded and vacuumed, some weeks later."""
    words = ["upkeep", base.app_id, "--days-ahead", "60"]

    expected = torture(base, words, tmp_path, kills=kills, seed=seed)

    assert expected != exported(base.copy(tmp_path / "before"))


def torture(
    base: Scene, words: list[str], folder: Path, *, kills: int, seed: int
) -> dict[ExportType, list[str]]:
    """Kill the victim over and over while it does something; what exports hold all the same."""
    golden = base.copy(folder / "golden")
    seconds = run_victim(golden, *words).seconds
    expected = exported(golden)

    def check(scene: Scene, name: str) -> None:
        assert exported(scene) == expected, name

    note_killing(
        kill_again_and_again(
            lambda: (base.copy(folder / "home"), words),
            check,
            kills=kills,
            seed=seed,
            seconds=seconds,
        )
    )
    return expected


def test_exports_through_a_faulty_line_are_as_if_undisturbed(
    base: Scene, tmp_path: Path, azurite: Azurite, kills: int, seed: int
) -> None:
    """Refused for a moment, throttled, broken off before or after it was done, or cut."""
    dice = random.Random(seed)  # noqa: S311 - faults, not secrets
    container = azurite.container("chaos")
    golden = base.copy(tmp_path / "golden")
    run_victim(golden, "wait", queue_export(golden, container_url=container.write_url))
    undisturbed = parts(objects(container))
    failed = met = 0
    exports = max(kills, len(FAULTS_PERCENT))

    for first in range(0, exports, EXPORTS_AT_ONCE):
        scene = base.copy(tmp_path / "home")
        shares = [
            FAULTS_PERCENT[number % len(FAULTS_PERCENT)]
            for number in range(first, min(first + EXPORTS_AT_ONCE, exports))
        ]
        others = [azurite.container("chaos") for _ in shares]
        with ExitStack() as lines:
            relays = [
                lines.enter_context(faulty(azurite.endpoint, percent=share, seed=dice.random()))
                for share in shares
            ]
            urls = [
                other.write_url.replace(azurite.endpoint, relay.endpoint)
                for other, relay in zip(others, relays, strict=True)
            ]
            task_ids = [queue_persistently(scene, url) for url in urls]
            ended = scene.run("wait", *task_ids).stdout.splitlines()
        met += sum(relay.faults for relay in relays)
        for words, share, other in zip(ended, shares, others, strict=True):
            delivered = objects(other)
            has_manifest = any(name.endswith("manifest.json") for name in delivered)
            # A line that fails half of the time may be given up, but never said to have worked.
            assert (words.split() == ["Succeeded"]) is has_manifest, f"{share} %, {words}"
            if has_manifest:
                assert parts(delivered) == undisturbed, f"{share} %, after {first}"
            failed += not has_manifest

    note(f"{exports} exports through {met} faults, {failed} of them given up")
    assert met > 0


def queue_persistently(scene: Scene, container_url: str) -> str:
    """A task for a container whose check at creation may fail in passing, as a client makes one."""
    for _ in range(CREATIONS_MAX - 1):
        with suppress(TransientDestinationError):
            return queue_export(scene, container_url=container_url)
    return queue_export(scene, container_url=container_url)


def note_killing(done: Killing) -> None:
    """Print what was done, for those who ask for it."""
    note(
        f"{done.kills} kills in {done.tries} tries and {done.rounds} rounds; "
        f"undisturbed it takes {done.seconds:.1f} s"
    )
