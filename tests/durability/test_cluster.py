"""Kills and stops the processes of a cluster, its database and its storage, while devices post.

Whatever was acknowledged is in an export afterwards, once, and nothing else is.
"""

import random
from dataclasses import dataclass
from pathlib import Path

import pytest
from cluster_load import Posters, damage_of, export_names
from faulty import faulty

from support.cluster import Cluster, Machine, running_cluster
from support.servers import S3

BATCHES_BETWEEN = 40
"""So many are acknowledged between two blows."""
FAULTS_PERCENT = 5
LEASE_SECONDS = 5
KILLS_MIN = 10
"""A usual run asks for fewer."""
BLOWS = ("worker killed", "worker stopped", "server killed", "server stopped", "database crashed")


@dataclass(frozen=True, slots=True)
class Fleet:
    """The processes of the cluster, each of which is started anew when it has ended."""

    cluster: Cluster
    servers: list[Machine]
    workers: list[Machine]
    posters: Posters

    def look_after(self) -> None:
        """Start what has ended anew, as whatever runs a process of a cluster does."""
        for machines, start in (
            (self.servers, self.cluster.serve),
            (self.workers, self.cluster.work),
        ):
            for place, machine in enumerate(machines):
                if machine.process.poll() is not None:
                    machines[place] = start()

    def strike(self, blow: str) -> None:
        """Do one of the blows, and wait until devices get answers all the same."""
        if blow == "database crashed":
            self.cluster.database.crash()
            self.posters.wait_for_more(BATCHES_BETWEEN, self.look_after)
            return
        role, what = blow.split()
        machines = self.workers if role == "worker" else self.servers
        struck = machines[0]
        if what == "killed":
            struck.kill()
        else:
            struck.pause()
            self.posters.wait_for_more(BATCHES_BETWEEN, self.look_after)
            struck.resume()
        self.posters.wait_for_more(BATCHES_BETWEEN, self.look_after)
        machines.append(machines.pop(0))  # the other one is next


@pytest.mark.slow
def test_what_a_cluster_acknowledged_is_exported_once(tmp_path: Path, s3: S3, kills: int) -> None:
    if kills < KILLS_MIN:
        pytest.skip("a cluster of four processes takes minutes; `make torture` strikes it")
    seed = random.randrange(2**32)  # noqa: S311 - moments, not secrets
    dice = random.Random(seed)  # noqa: S311
    settings = {
        "ENGAGEMENT_LOCAL_ROOTS": str(tmp_path / "out"),
        "ENGAGEMENT_LEASE_SECONDS": str(LEASE_SECONDS),
    }
    with (
        running_cluster(tmp_path, s3, **settings) as cluster,
        faulty(s3.endpoint, percent=FAULTS_PERCENT, seed=seed) as storage,
    ):
        servers = [cluster.serve(), cluster.serve()]
        workers = [cluster.work(), cluster.work()]
        key = str(servers[0].first_key)
        # From now on what is started meets a storage that fails now and then.
        cluster.environment["AWS_ENDPOINT_URL"] = storage.endpoint
        posters = Posters(servers, key)
        fleet = Fleet(cluster, servers, workers, posters)
        with posters.posting():
            posters.wait_for_more(BATCHES_BETWEEN, fleet.look_after)
            blows = [*BLOWS, *(dice.choice(BLOWS) for _ in range(kills))]
            dice.shuffle(blows)
            for blow in blows:
                fleet.strike(blow)
        names = export_names(cluster, tmp_path / "out")

    nothing = {"lost": 0, "doubled": 0, "invented": 0}
    assert damage_of(names, posters.acknowledged) == nothing, f"seed {seed}"
