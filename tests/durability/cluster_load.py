"""Posts to a cluster until it acknowledges, and compares that with what is exported."""

import itertools
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx

from support.batches import DEVICES, batch, log
from support.cluster import Cluster, Machine, post_batch
from support.waiting import wait_for

POSTERS = 3


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

    def wait_for_more(self, batches: int, look_after: Callable[[], object] = lambda: None) -> None:
        """Return when so many more are acknowledged; somebody looks after the processes meanwhile.

        A process may end by itself, as when it starts while the database is away.
        """
        wanted = len(self.acknowledged) + batches

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


def damage_of(names: Sequence[str], acknowledged: Sequence[str]) -> dict[str, int]:
    """How many events of an export are lost, doubled and invented, by what was acknowledged."""
    found, expected = Counter(names), Counter(acknowledged)
    return {
        "lost": len(expected.keys() - found.keys()),
        "doubled": sum(times > 1 for times in found.values()),
        "invented": len(found.keys() - expected.keys()),
    }
