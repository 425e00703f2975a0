"""Measures how the server takes in what devices post, as fast as it can and beyond.

    python -m benchmarks.collecting sustained|segment|overload|exportable SECONDS

The server, its worker and the poster share the machine. Every answer comes after its sync.
"""

import gzip
import json
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import httpx

from benchmarks.data import OUTPUT
from benchmarks.posting import LOGS_PER_BATCH, native_bodies
from benchmarks.serving import bare_framework
from engagement import Client
from engagement.store.state import open_state

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from support.server_process import RunningServer, running_server  # the same server as the tests use

CONNECTIONS = 64
OVERLOAD = 4
OVERLOAD_CONNECTIONS = 512
PROBE_SECONDS = 15
BARE_SECONDS = 5.0
BARE_BODIES = 2_000
SAMPLE_SECONDS = 0.5
ROUNDS_EXPORTABLE = 10
ANSWER = b'{"accepted": 100, "refused": []}'

Measured = dict[str, float]


def sustained(seconds: float) -> Measured:
    """Native batches for a time; then the bare loop that stores the same payloads.

    And the bare web framework that reads the same requests and stores nothing.
    """
    with _serving() as server:
        key = server.app()["appKey"]
        watch = _Watch(server)
        with watch:
            found = _post("native", server.address, key, seconds, CONNECTIONS)
        group = (
            found["logs"] / LOGS_PER_BATCH / _metric(server, "engagement_inbox_transactions_total")
        )
    bare = bare_loop(round(group))
    with bare_framework(ANSWER) as address:
        forgotten = _post("native", address, "key", PROBE_SECONDS, CONNECTIONS)["logs_per_second"]
    return {
        "logs_per_second": found["logs_per_second"],
        "p50_ms": found["p50_ms"],
        "p99_ms": found["p99_ms"],
        "peak_mib": watch.peak_mib,
        "lag_seconds": watch.lag_seconds,
        "batches_a_transaction": group,
        "bare_logs_per_second": bare,
        "ratio": found["logs_per_second"] / bare,
        "bare_framework_logs_per_second": forgotten,
    }


def segment(seconds: float) -> Measured:
    """Tracking messages, 100 a body."""
    with _serving() as server:
        found = _post("segment", server.address, server.app()["appKey"], seconds, CONNECTIONS)
    return {name: found[name] for name in ("logs_per_second", "p50_ms", "p99_ms")}


def overload(seconds: float) -> Measured:
    """Four times what the server can take in, by senders that do not wait when they are told to."""
    with _serving() as server:
        key = server.app()["appKey"]
        most = _post("native", server.address, key, PROBE_SECONDS, CONNECTIONS)["logs_per_second"]
        rate = OVERLOAD * most / LOGS_PER_BATCH
        watch = _Watch(server)
        with watch:
            found = _post("native", server.address, key, seconds, OVERLOAD_CONNECTIONS, rate)
    statuses: dict[str, int] = found["statuses"]
    others = sum(count for status, count in statuses.items() if status not in {"202", "429", "503"})
    return {
        "offered_logs_per_second": OVERLOAD * most,
        "logs_per_second": found["logs_per_second"],
        "refused": statuses.get("503", 0) + statuses.get("429", 0),
        "other_answers": others,
        "p99_ms": found["p99_ms"],
        "peak_mib": watch.peak_mib,
    }


def exportable(seconds: float) -> Measured:
    """From the answer to a batch to an export that holds it, beside 20,000 logs a second."""
    del seconds
    with _serving() as server:
        app = server.app()
        owner = server.client("owner")
        load = _start_post("native", server.address, app["appKey"], 60, 16, 200)
        taken: list[float] = []
        with Client(
            server.address,
            tenant_id=owner.tenant_id,
            client_id=owner.client_id,
            client_secret=owner.client_secret,
        ) as client:
            for number in range(ROUNDS_EXPORTABLE):
                _post_one(server, app["appKey"], f"probe_{number}")
                begin = time.perf_counter()
                today = datetime.now(UTC).date()
                task = client.create_export(
                    app["resourcePath"],
                    "Event",
                    (OUTPUT / "out").as_uri(),
                    start=date(2026, 1, 1),
                    end=today,
                    event_names=[f"probe_{number}"],
                )
                done = task.result(60)
                taken.append(time.perf_counter() - begin)
                if done.progress.rows_done != 1:
                    raise SystemExit(f"The export must hold what was acknowledged, got {done}.")
        load.kill()
        load.wait()
    return {"median_seconds": sorted(taken)[len(taken) // 2], "slowest_seconds": max(taken)}


def bare_loop(group: int) -> float:
    """Logs a second of storing the same payloads in the same tables, so many a transaction."""
    make = native_bodies()
    bodies = [gzip.decompress(make(number)) for number in range(BARE_BODIES)]
    file = OUTPUT / "bare.db"
    for left in OUTPUT.glob("bare.db*"):
        left.unlink()
    open_state(f"sqlite:///{file}").dispose()
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous=FULL")
        begin, count = time.perf_counter(), 0
        while (elapsed := time.perf_counter() - begin) < BARE_SECONDS:
            some = range(count, count + group)
            keys = [(f"{number:020}", 0) for number in some]
            rows = [
                ("a" * 32, str(number), 0, LOGS_PER_BATCH, bodies[number % BARE_BODIES])
                for number in some
            ]
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("INSERT INTO accepted (key, day) VALUES (?, ?)", keys)
            connection.executemany(
                "INSERT INTO inbox (app_id, batch_id, received_at, logs, payload) "
                "VALUES (?, ?, ?, ?, ?)",
                rows,
            )
            connection.execute("COMMIT")
            count += group
    for left in OUTPUT.glob("bare.db*"):
        left.unlink()
    return count * LOGS_PER_BATCH / elapsed


class _Watch:
    """Looks at the memory of the server's processes and at how long logs wait."""

    def __init__(self, server: RunningServer) -> None:
        self.peak_mib = 0.0
        self.lag_seconds = 0.0
        self._server = server
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ended.wait(SAMPLE_SECONDS):
            pids = [self._server.process.pid, self._server.worker_pid]
            together = sum(_memory_mib(pid) for pid in pids if pid is not None)
            self.peak_mib = max(self.peak_mib, together)
            lag = _metric(self._server, "engagement_inbox_lag_seconds")
            self.lag_seconds = max(self.lag_seconds, lag)


def _memory_mib(pid: int) -> float:
    """A process's memory, each page that it shares with the other process counted by half."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1_024


def _metric(server: RunningServer, name: str) -> float:
    lines = httpx.get(f"{server.address}/metrics", trust_env=False, timeout=60).text.splitlines()
    return next(float(line.split()[-1]) for line in lines if line.startswith(f"{name} "))


def _post_one(server: RunningServer, key: str, name: str) -> None:
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    batch = {
        "batchId": f"{name} {time.time_ns()}",
        "sentAt": now,
        "deviceId": "probe",
        "logs": [{"type": "event", "name": name, "timestamp": now}],
    }
    answer = httpx.post(
        f"{server.address}/collect/v1/batch", json=batch, auth=(key, ""), trust_env=False
    )
    answer.raise_for_status()


def _start_post(  # noqa: PLR0913, PLR0917 - the words of a command
    kind: str,
    address: str,
    key: str,
    seconds: float,
    connections: int,
    per_second: float | None = None,
) -> subprocess.Popen[str]:
    words = [kind, address, key, str(seconds), str(connections)]
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            "benchmarks.posting",
            *words,
            *([str(per_second)] if per_second else []),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )


def _post(*words: Any) -> dict[str, Any]:
    process = _start_post(*words)
    output, _ = process.communicate()
    if process.returncode:
        raise SystemExit("The poster must end well.")
    measured: dict[str, Any] = json.loads(output)
    return measured


@contextmanager
def _serving() -> Iterator[RunningServer]:
    home = OUTPUT / "collected"
    for folder in (home, OUTPUT / "out"):
        shutil.rmtree(folder, ignore_errors=True)
    (OUTPUT / "out").mkdir(parents=True)
    settings = {
        "ENGAGEMENT_LOCAL_ROOTS": str(OUTPUT / "out"),
        "ENGAGEMENT_COLLECT_REQUESTS_PER_MINUTE": "100000000",
    }
    # The poster is one address with all connections.
    settings |= {f"ENGAGEMENT_{of}_SHARE_PERCENT": "100" for of in ("ADDRESS", "NETWORK")}
    with running_server(home, **settings) as server:
        yield server
    shutil.rmtree(home)
    shutil.rmtree(OUTPUT / "out")


MEASURES: dict[str, Callable[[float], Measured]] = {
    "sustained": sustained,
    "segment": segment,
    "overload": overload,
    "exportable": exportable,
}

if __name__ == "__main__":
    print(json.dumps(MEASURES[sys.argv[1]](float(sys.argv[2]))))
