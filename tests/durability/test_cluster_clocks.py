"""Runs a cluster whose machines' clocks are two hours wrong, in both directions."""

from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

import httpx
import pytest
from cluster_load import Posters, damage_of, export_names
from collector import planting
from planted_cluster import CLOCK_WRONG

from support.batches import DEVICES, batch, log
from support.cluster import Cluster, Machine, post_batch, running_cluster
from support.servers import S3
from support.waiting import wait_for

KILLS_OF_CLOCKS = 10
"""A usual run asks for fewer kills."""
LEASE_SECONDS = 5
BATCHES = 40
CLOCKS = ("clock_ahead", "clock_behind")


def live(cluster: Cluster) -> set[str]:
    found = cluster.command("cluster", "status")["executors"]
    return {each["executor"]["executorId"] for each in found if each["state"] == "live"}


def told_time(server: Machine) -> datetime:
    """The time by a server's clock, of which its answers tell."""
    answer = httpx.get(f"{server.address}/healthz", trust_env=False)
    return parsedate_to_datetime(answer.headers["Date"])


@pytest.mark.slow
def test_wrong_clocks_lose_and_double_nothing_and_give_up_nobody_who_lives(
    tmp_path: Path, s3: S3, kills: int
) -> None:
    if kills < KILLS_OF_CLOCKS:
        pytest.skip("`make torture` starts these four processes")
    settings = {
        "ENGAGEMENT_LOCAL_ROOTS": str(tmp_path / "out"),
        "ENGAGEMENT_LEASE_SECONDS": str(LEASE_SECONDS),
    }
    with running_cluster(tmp_path, s3, **settings) as cluster:
        servers = [cluster.serve(**planting(clock)) for clock in CLOCKS]
        workers = [cluster.work(**planting(clock)) for clock in CLOCKS]
        ahead, behind = (told_time(server) for server in servers)
        assert ahead - behind > 3 * CLOCK_WRONG / 2
        key = str(next(each.first_key for each in servers if each.first_key))
        posters = Posters(servers, key)
        with posters.posting():
            posters.wait_for_more(BATCHES)
            present = live(cluster)
            posters.wait_for_more(BATCHES)
        first = export_names(cluster, tmp_path / "out" / "first")
        workers[0].kill()
        late = batch(log("event", name="late"), device=DEVICES[0], batch_id="late")
        for server in (*servers, *servers):  # known to all, whatever each takes for the day
            answer = post_batch(server.address, key, late)
            assert answer.status_code == httpx.codes.ACCEPTED
        second = export_names(cluster, tmp_path / "out" / "second")
        wait_for(lambda: workers[0].executor_id not in live(cluster), "the killed one to be gone")
        present_then = live(cluster)

    whole = {"lost": 0, "doubled": 0, "invented": 0}
    assert damage_of(first, posters.acknowledged) == whole
    assert damage_of(second, [*posters.acknowledged, "late"]) == whole
    assert {each.executor_id for each in workers} <= present
    assert present - present_then == {workers[0].executor_id}
