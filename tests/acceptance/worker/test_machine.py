"""Runs a cluster of real processes: they share the work, and take over what others leave."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from engagement.sample.population import generate
from support.cluster import Cluster, Machine, post_batch, running_cluster
from support.servers import S3
from support.waiting import WAIT_SECONDS_MAX, wait_for

EXIT_GIVEN_UP = 4
LEASE_SECONDS = 5
ALL_DAYS = ("--time-axis", "received", "--from", "2026-01-01", "--to", "2100-01-01")


@pytest.fixture
def cluster(tmp_path: Path, s3: S3) -> Iterator[Cluster]:
    settings = {
        "ENGAGEMENT_LOCAL_ROOTS": str(tmp_path / "out"),
        "ENGAGEMENT_LEASE_SECONDS": str(LEASE_SECONDS),
        "ENGAGEMENT_PART_ROWS": "20",
    }
    with running_cluster(tmp_path, s3, **settings) as cluster:
        yield cluster


def post_all(server: Machine, key: str, *, seed: int) -> int:
    """How many logs were accepted of a generated sample."""
    accepted = 0
    for batch in generate(devices=4, days=2, seed=seed):
        answer = post_batch(server.address, key, batch)
        assert answer.status_code == httpx.codes.ACCEPTED, answer.text
        accepted += answer.json()["accepted"]
    return accepted


def export_events(cluster: Cluster, app_id: str, out: Path) -> int:
    """How many rows an export of everything has, once it has succeeded."""
    task = cluster.command(
        *("export", "create", "Event", "--app", app_id, "--container", str(out)), *ALL_DAYS
    )
    assert task["state"] == "Succeeded", task
    rows: int = task["progress"]["rowsTotal"]
    return rows


def live(cluster: Cluster) -> dict[str, str]:
    """The processes that there are and how each is."""
    found = cluster.command("cluster", "status")["executors"]
    return {each["executor"]["executorId"]: each["state"] for each in found}


@pytest.mark.slow
def test_processes_share_the_work_and_take_over_what_others_leave(
    cluster: Cluster, tmp_path: Path
) -> None:
    begun = [
        cluster.begin(words, {"ENGAGEMENT_PROBE_PORT": "0"})
        for words in (["serve", "--port", "0"], ["serve", "--port", "0"], ["worker"], ["worker"])
    ]
    first, second, worker, other = map(cluster.await_hello, begun)
    key = str(first.first_key or second.first_key)
    [app] = cluster.command("apps", "list")
    out = tmp_path / "out"

    post_all(first, key, seed=1)
    once = export_events(cluster, app["appId"], out)
    post_all(second, key, seed=1)  # a server knows what another has accepted

    assert export_events(cluster, app["appId"], out) == once > 0

    worker.kill()
    post_all(second, key, seed=2)
    twice = export_events(cluster, app["appId"], out)
    wait_for(lambda: worker.executor_id not in live(cluster), "the killed worker to be given up")

    assert twice > once

    third = cluster.work()
    other.pause()
    post_all(first, key, seed=3)
    thrice = export_events(cluster, app["appId"], out)
    wait_for(lambda: other.executor_id not in live(cluster), "the stopped worker to be given up")
    other.resume()

    assert other.process.wait(WAIT_SECONDS_MAX) == EXIT_GIVEN_UP
    assert thrice > twice
    assert export_events(cluster, app["appId"], out) == thrice

    cluster.command("cluster", "drain", third.executor_id)

    assert third.process.wait(WAIT_SECONDS_MAX) == 0
