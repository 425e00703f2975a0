"""Measures the server: its answers to those who poll, and fairness among tasks.

    python -m benchmarks.serving polling|fairness

Both run `engagement serve` as users do, over HTTP, with the Python client.
"""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import httpx

from benchmarks.data import OUTPUT, lake_of_apps
from engagement import Client
from engagement.client import ExportPoller
from engagement.model.export_tasks import ExportTask
from engagement.model.exports import ExportState

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from support.server_process import RunningServer, running_server  # the same server as the tests use

POLLED_TASKS = 1_000
POLL_SECONDS = 5
POLL_CONNECTIONS = 16
ROUNDS = 3
LARGE_EVENTS, SMALL_EVENTS = 15_000_000, 2_000
LARGE_APPS, SMALL_APPS = 2, 18
SIZES = (LARGE_EVENTS,) * LARGE_APPS + (SMALL_EVENTS,) * SMALL_APPS
LARGE_TASKS, SMALL_TASKS = 5, 45
TASK_SECONDS_MAX = 600
START, END = date(2026, 1, 1), date(2026, 12, 31)

Measured = dict[str, float]


def polling() -> Measured:
    """Answers a second to status polls, and to the same polls of the bare framework.

    First with 1,000 ended tasks and nothing running, then while large exports run. The bare
    framework takes turns with ours and so has the same exports beside it.
    """
    with _serving() as (server, client):
        apps = [app.resource_path for app in client.apps()]
        large, small = apps[:LARGE_APPS], apps[-1]
        pollers = [_create(client, small, export_format="NdjsonBlob") for _ in range(POLLED_TASKS)]
        for poller in pollers:
            poller.result(TASK_SECONDS_MAX)
        task = pollers[-1].task
        token = server.token(server.client("reader"))
        path = f"{small}/devices/exportTasks/{task.task_id}?api-version=2014-12-01"
        headers = {"Authorization": f"Bearer {token}"}
        body = httpx.get(f"{server.address}{path}", headers=headers, trust_env=False).content
        with bare_framework(body) as bare:
            idle = [_polled(bare, server.address, path, token) for _ in range(ROUNDS)]
            busy = []
            for _ in range(ROUNDS):
                running = [_create(client, app) for app in large]
                while any(poller.refresh().state is ExportState.QUEUED for poller in running):
                    time.sleep(0.01)
                busy.append(_polled(bare, server.address, path, token))
                if any(poller.refresh().state is not ExportState.STARTED for poller in running):
                    raise SystemExit("Large exports must run while the server is polled.")
                for poller in running:
                    poller.cancel()
                    poller.wait(TASK_SECONDS_MAX)
    return {
        **{f"idle_{name}": value for name, value in _best(idle).items()},
        **{f"busy_{name}": value for name, value in _best(busy).items()},
    }


def _create(client: Client, app: str, *, export_format: str = "JsonBlob") -> ExportPoller:
    return client.create_export(
        app, "Event", _out(), start=START, end=END, export_format=export_format
    )


def fairness() -> Measured:
    """50 exports of 20 apps at once: how long the small ones take while large ones run."""
    with _serving() as (_, client):
        apps = [app.resource_path for app in client.apps()]
        large_apps, small_apps = apps[:LARGE_APPS], apps[LARGE_APPS:]

        def create(some: list[str], count: int) -> list[ExportPoller]:
            chosen = [some[number % len(some)] for number in range(count)]
            return [_create(client, app) for app in chosen]

        begin = time.monotonic()
        large = create(large_apps, LARGE_TASKS)
        small = create(small_apps, SMALL_TASKS)
        ended_small = [poller.result(TASK_SECONDS_MAX) for poller in small]
        still_running = sum(not poller.refresh().state.is_final for poller in large)
        ended_large = [poller.result(TASK_SECONDS_MAX) for poller in large]
        return {
            "small_seconds": max(map(_seconds, ended_small)),
            "large_still_running": still_running,
            "large_seconds": max(map(_seconds, ended_large)),
            "all_seconds": time.monotonic() - begin,
        }


def _seconds(task: ExportTask) -> float:
    if task.completed_at is None:
        raise SystemExit(f"A task that succeeded must say when, got {task}.")
    return (task.completed_at - task.created_at).total_seconds()


def _polled(bare: str, ours: str, path: str, token: str) -> dict[str, Measured]:
    return {name: _poll(server, path, token) for name, server in (("bare", bare), ("ours", ours))}


def _poll(address: str, path: str, token: str) -> Measured:
    words = (address, path, str(POLL_SECONDS), str(POLL_CONNECTIONS))
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.polling", *words],
        input=f"Authorization: Bearer {token}",
        capture_output=True,
        text=True,
        check=True,
    )
    measured: Measured = json.loads(done.stdout)
    return measured


def _best(rounds: list[dict[str, Measured]]) -> Measured:
    """The best round of each side."""
    found: Measured = {}
    for name in ("bare", "ours"):
        best = max(
            (measured[name] for measured in rounds), key=lambda measured: measured["per_second"]
        )
        found |= {f"{name}_{what}": value for what, value in best.items()}
    return found


@contextmanager
def _serving() -> Iterator[tuple[RunningServer, Client]]:
    """A server on a fresh copy of a lake, and an owner's client."""
    home = OUTPUT / "served"
    for folder in (home, OUTPUT / "out"):
        shutil.rmtree(folder, ignore_errors=True)
    (OUTPUT / "out").mkdir()
    shutil.copytree(lake_of_apps(SIZES), home)
    settings = {
        "ENGAGEMENT_LOCAL_ROOTS": str(OUTPUT / "out"),
        "ENGAGEMENT_REQUESTS_PER_MINUTE": "100000000",
    }
    with running_server(home, **settings) as server:
        owner = server.client("owner")
        with Client(
            server.address,
            tenant_id=owner.tenant_id,
            client_id=owner.client_id,
            client_secret=owner.client_secret,
            subscription="bench",
        ) as client:
            yield server, client
    shutil.rmtree(OUTPUT / "out")


@contextmanager
def bare_framework(body: bytes) -> Iterator[str]:
    """The bare framework, answering with a body."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.bare"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        if process.stdin is None or process.stdout is None:
            raise SystemExit("The bare framework must have pipes.")
        process.stdin.write(body)
        process.stdin.close()
        yield process.stdout.readline().decode().strip()
    finally:
        process.terminate()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _out() -> str:
    return (OUTPUT / "out").as_uri()


if __name__ == "__main__":
    print(json.dumps({"polling": polling, "fairness": fairness}[sys.argv[1]]()))
