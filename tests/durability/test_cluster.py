"""Kills and stops the processes of a cluster, its database and its storage, while devices post.

Whatever was acknowledged is in an export afterwards, once, and nothing else is.
"""

import itertools
import json
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from faulty import faulty

from support.batches import DEVICES, batch, log
from support.cluster import Cluster, Machine, post_batch, running_cluster
from support.servers import S3
from support.waiting import wait_for

POSTERS = 3
BATCHES_BETWEEN = 40
"""So many are acknowledged between two blows."""
FAULTS_PERCENT = 5
LEASE_SECONDS = 5
KILLS_MIN = 10
"""A usual run asks for fewer."""
BLOWS = ("worker killed", "worker stopped", "server killed", "server stopped", "database crashed")


class Posters:
    """Devices that post until they are acknowledged, to whichever server there is."""

    def __init__(self, servers: list[Machine], key: str) -> None:
        self._servers = servers
        self._key = key
        self._numbers = itertools.count()
        self._stopping = threading.Event()
        self._given_up = threading.Event()
        self._threads = [threading.Thread(target=self._post) for _ in range(POSTERS)]
        self.acknowledged: list[str] = []

    @contextmanager
    def posting(self) -> Iterator[None]:
        for thread in self._threads:
            thread.start()
        try:
            yield
        except BaseException:
            self._given_up.set()  # there may be no server that would acknowledge anything
            raise
        finally:
            self._stopping.set()
            for thread in self._threads:
                thread.join()

    def wait_for_more(self, look_after: Callable[[], object]) -> None:
        """Return when so many more are acknowledged; somebody looks after the processes meanwhile.

        A process may end by itself, as when it starts while the database is away.
        """
        wanted = len(self.acknowledged) + BATCHES_BETWEEN

        def are_there() -> bool:
            look_after()
            return len(self.acknowledged) >= wanted

        wait_for(are_there, f"{wanted} acknowledged batches")

    def _post(self) -> None:
        """A batch that is not acknowledged is sent again, as devices do, until it is."""
        while not self._stopping.is_set():
            number = next(self._numbers)
            name = f"event {number}"
            content = batch(
                log("event", number, name=name),
                device=DEVICES[number % len(DEVICES)],
                batch_id=f"batch-{number}",
            )
            for turn in itertools.count(number):
                if self._given_up.is_set():
                    return
                server = self._servers[turn % len(self._servers)]
                try:
                    answer = post_batch(server.address, self._key, content, seconds_max=10)
                except httpx.HTTPError:
                    continue
                if answer.status_code == httpx.codes.ACCEPTED:
                    break
            self.acknowledged.append(name)


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
            self.posters.wait_for_more(self.look_after)
            return
        role, what = blow.split()
        machines = self.workers if role == "worker" else self.servers
        struck = machines[0]
        if what == "killed":
            struck.kill()
        else:
            struck.pause()
            self.posters.wait_for_more(self.look_after)
            struck.resume()
        self.posters.wait_for_more(self.look_after)
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
            posters.wait_for_more(fleet.look_after)
            blows = [*BLOWS, *(dice.choice(BLOWS) for _ in range(kills))]
            dice.shuffle(blows)
            for blow in blows:
                fleet.strike(blow)
        rows = export_names(cluster, tmp_path / "out")
    found = Counter(rows)

    assert set(posters.acknowledged) - found.keys() == set(), f"lost; seed {seed}"
    assert [name for name, times in found.items() if times > 1] == [], f"doubled; seed {seed}"
    assert found.keys() - set(posters.acknowledged) == set(), f"invented; seed {seed}"


def export_names(cluster: Cluster, out: Path) -> list[str]:
    """The names of all events that an export holds."""
    [app] = cluster.command("apps", "list")
    task = cluster.command(
        *("export", "create", "Event", "--app", app["appId"], "--container", str(out)),
        *("--format", "NdjsonBlob", "--time-axis", "received"),
        *("--from", "2020-01-01", "--to", "2100-01-01"),
    )
    assert task["state"] == "Succeeded", task
    parts = sorted((out / task["folder"]).glob("part-*"))
    return [json.loads(line)["name"] for part in parts for line in part.read_bytes().splitlines()]
