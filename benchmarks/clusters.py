"""Measures a cluster of real processes on PostgreSQL and an S3 server.

    python -m benchmarks.clusters collectors SECONDS
    python -m benchmarks.clusters takeover ROUNDS

All share the machine with what posts, so that processor time is told by whose it was.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg

from benchmarks.posting import LOGS_PER_BATCH, Target, native_bodies, post

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from engagement.sample.population import generate
from support.cluster import Cluster, Machine, post_batch, running_cluster
from support.servers import running_s3
from support.waiting import wait_for

CONNECTIONS = 32
"""Of all that post together, however many servers there are."""
TURNS = 3
COLLECTORS = 4
FLUSH_LOCK = 0x454E01
LATE_SECONDS_MAX = 120.0
_TICKS = os.sysconf("SC_CLK_TCK")

Measured = dict[str, float]


def collectors(seconds: int) -> Measured:
    """Batches a second that one server and four acknowledge, in turns, on one database."""
    with _cluster() as cluster:
        servers = [cluster.serve("--roles", "collect,api") for _ in range(COLLECTORS)]
        key = str(servers[0].first_key)
        turns: dict[int, list[Measured]] = {1: [], COLLECTORS: []}
        for _ in range(TURNS):
            for count, found in turns.items():
                found.append(_post_to(cluster, servers[:count], key, seconds))
    single, several = (
        max(found, key=lambda each: each["batches_per_second"]) for found in turns.values()
    )
    return {
        **{f"one_{name}": value for name, value in single.items()},
        **{f"four_{name}": value for name, value in several.items()},
        "ratio": several["batches_per_second"] / single["batches_per_second"],
    }


def _post_to(cluster: Cluster, servers: list[Machine], key: str, seconds: int) -> Measured:
    """Post to some servers at once: what was acknowledged, and who took how much processor time."""
    serving = [server.process.pid for server in servers]
    before = _processor_seconds(serving), _processor_seconds(_tree(cluster.database.process.pid))
    begin = time.perf_counter()
    command = [sys.executable, "-m", "benchmarks.clusters", "post"]
    posting = [
        subprocess.Popen(
            [*command, server.address, key, str(seconds), str(CONNECTIONS // len(servers))],
            stdout=subprocess.PIPE,
            text=True,
        )
        for server in servers
    ]
    found = [json.loads(process.communicate()[0].splitlines()[-1]) for process in posting]
    elapsed = time.perf_counter() - begin
    batches = sum(each["batches"] for each in found)
    took = {
        "collectors": _processor_seconds(serving) - before[0],
        "database": _processor_seconds(_tree(cluster.database.process.pid)) - before[1],
        "senders": sum(each["processor_seconds"] for each in found),
    }
    return {
        "batches_per_second": batches / max(each["seconds"] for each in found),
        **{f"{who}_ms_a_batch": 1_000 * value / batches for who, value in took.items()},
        "cores_used": sum(took.values()) / elapsed,
    }


def _post(address: str, key: str, seconds: str, connections: str) -> Measured:
    """What one sender got acknowledged."""
    begin = time.perf_counter()
    found = post(
        Target("native", address, key),
        seconds=float(seconds),
        connections=int(connections),
        per_second=None,
    )
    return {
        "batches": float(str(found["logs"])) / LOGS_PER_BATCH,
        "seconds": time.perf_counter() - begin,
        "processor_seconds": time.process_time(),
    }


def takeover(rounds: int) -> Measured:
    """How long a worker's lane and exports lie still when it is killed, and when it is stopped.

    It is struck while it holds the lock of an app's flush and runs an export.
    """
    found: Measured = {}
    with _cluster(ENGAGEMENT_PART_ROWS="20") as cluster, ExitStack() as closing:
        server = cluster.serve()
        connection = closing.enter_context(
            psycopg.connect(cluster.database.url.replace("+psycopg", ""), autocommit=True)
        )
        workers = [cluster.work(), cluster.work()]
        for what in ("killed", "stopped"):
            for number in range(rounds):
                lane, parts = _strike(cluster, connection, server, workers, what=what)
                for name, value in (("lane", lane), ("parts", parts)):
                    key = f"{what}_{name}_seconds_max"
                    found[key] = max(found.get(key, 0.0), value)
                sys.stderr.write(f"{what} {number}: lane {lane:.1f} s, export {parts:.1f} s\n")
    return found


def _strike(
    cluster: Cluster,
    connection: "psycopg.Connection[tuple[object, ...]]",
    server: Machine,
    workers: list[Machine],
    *,
    what: str,
) -> tuple[float, float]:
    """Strike whichever worker holds an app's lane: seconds until it, and its exports, went on."""
    key = str(server.first_key)
    [app] = cluster.command("apps", "list")
    for batch in generate(devices=6, days=3, seed=time.time_ns() % 2**31):
        post_batch(server.address, key, batch)
    bodies = native_bodies()

    def pending(executor_id: str) -> int:
        return _scalar(
            connection,
            "SELECT count(*) FROM dbos.workflow_status WHERE status = 'PENDING'"
            f" AND executor_id LIKE '{executor_id}'",
        )

    def held() -> Machine | None:
        if not pending("%"):
            cluster.command(
                *("export", "create", "Event", "--app", app["appId"], "--no-wait"),
                *("--container", cluster.environment["ENGAGEMENT_LOCAL_ROOTS"]),
                *("--time-axis", "received", "--from", "2026-01-01", "--to", "2100-01-01"),
            )
        post_batch(server.address, key, bodies(time.time_ns()))
        holders = _holders(connection)
        for worker in workers:
            if worker.executor_id in holders:
                worker.pause()
                if worker.executor_id in _holders(connection) and pending(worker.executor_id):
                    return worker
                worker.resume()
        return None

    struck = wait_for(held, "a worker that flushes and exports")
    waiting = _scalar(connection, "SELECT max(position) FROM inbox")
    begin = time.perf_counter()
    if what == "killed":
        struck.kill()
    left = {
        "lane": lambda: _scalar(
            connection, f"SELECT count(*) FROM inbox WHERE position <= {waiting}"
        ),
        "parts": lambda: pending(struck.executor_id),
    }
    took = _times_until_none(left, begin)
    if what == "stopped":
        struck.resume()
        struck.process.wait(LATE_SECONDS_MAX)
    workers.remove(struck)
    workers.append(cluster.work())
    return took["lane"], took["parts"]


def _times_until_none(left: dict[str, Callable[[], int]], begin: float) -> dict[str, float]:
    """When each count came to nothing, in seconds since a moment."""
    took: dict[str, float] = {}

    def look() -> bool:
        for name, count in left.items():
            if name not in took and not count():
                took[name] = time.perf_counter() - begin
        return len(took) == len(left)

    wait_for(look, "the work of a worker to go on")
    return took


def _holders(connection: "psycopg.Connection[tuple[object, ...]]") -> set[str]:
    """The ids of the processes that hold the lock of a flush."""
    rows = connection.execute(
        "SELECT application_name FROM pg_locks JOIN pg_stat_activity USING (pid)"
        " WHERE locktype = 'advisory' AND granted AND classid = %s",
        (FLUSH_LOCK,),
    )
    return {str(name).removeprefix("engagement/") for (name,) in rows}


def _scalar(connection: "psycopg.Connection[tuple[object, ...]]", query: str) -> int:
    row = connection.execute(query).fetchone()
    return int(str(row[0])) if row is not None and row[0] is not None else 0


@contextmanager
def _cluster(**settings: str) -> Iterator[Cluster]:
    with tempfile.TemporaryDirectory() as folder, running_s3() as s3:
        out = Path(folder) / "out"
        out.mkdir()
        with running_cluster(
            Path(folder), s3, ENGAGEMENT_LOCAL_ROOTS=str(out), **settings
        ) as cluster:
            yield cluster


def _processor_seconds(processes: list[int]) -> float:
    """What processes have taken since they began, and those of their children that have ended."""
    ticks = 0
    for process in processes:
        try:
            text = Path(f"/proc/{process}/stat").read_text(encoding="ascii")
        except FileNotFoundError:
            continue  # a session that has ended
        ticks += sum(map(int, text.rpartition(")")[2].split()[11:15]))
    return ticks / _TICKS


def _tree(parent: int) -> list[int]:
    """A process and its children."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text(encoding="ascii")
    return [parent, *map(int, children.split())]


def main() -> None:
    """Print what was measured as JSON."""
    name, *words = sys.argv[1:]
    if name == "post":
        print(json.dumps(_post(*words)))
        return
    measure = {each.__name__: each for each in (collectors, takeover)}[name]
    print(json.dumps(measure(int(words[0])), indent=1))


if __name__ == "__main__":
    main()
