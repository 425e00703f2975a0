"""Measures the server's time for each page of the console.

    python -m benchmarks.console_pages [--events N] [--rounds N]

Over a lake of so many events in one app. Pages are asked for one after the other, in rounds, from a
server as users run it; the median of the rounds is said for each, and what the sign-in page takes,
which reads nothing.
"""

import argparse
import json
import shutil
import sys
import time
from collections import defaultdict
from pathlib import Path
from statistics import median

from benchmarks.data import OUTPUT, lake_of
from engagement import operations
from engagement.model.access import Role
from engagement.runtime.opening import open_service
from engagement.settings import Settings

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from support.console import register, visiting  # a browser's requests, as the tests make them
from support.server_process import running_server

EVENTS = 10_000_000
ROUNDS = 20
PAGES = (
    "/sign-in",
    "/",
    "/apps",
    "/apps/{app_id}",
    "/apps/{app_id}/names",
    "/apps/{app_id}/versions",
    "/apps/{app_id}/newest",
    "/apps/{app_id}/snippets",
    "/apps/{app_id}/settings",
    "/apps/{app_id}/keys",
    "/apps/{app_id}/refused",
    "/apps/{app_id}/devices",
    "/exports",
    "/apps/{app_id}/exports/new",
    "/access",
    "/access/changes",
    "/system",
)


def measure(events: int, rounds: int) -> dict[str, dict[str, float]]:
    """Milliseconds that each page takes: the median, and the first time."""
    home = OUTPUT / "console-home"
    shutil.rmtree(home, ignore_errors=True)
    shutil.copytree(lake_of(events), home)
    settings = Settings(home=home)
    found: dict[str, list[float]] = defaultdict(list)
    with (
        running_server(home, ENGAGEMENT_REQUESTS_PER_MINUTE="1000000") as server,
        open_service(settings, run_tasks=False) as beside,
        visiting(server, beside, register(beside, Role.OWNER)) as visitor,
    ):
        (app,) = operations.list_apps(beside)
        for _ in range(rounds):
            for page in PAGES:
                path = "/console" + page.format(app_id=app.app_id)
                begin = time.perf_counter()
                answer = visitor.get(path)
                found[page].append(1_000 * (time.perf_counter() - begin))
                answer.raise_for_status()
    shutil.rmtree(home)
    return {
        page: {"median": round(median(times), 1), "first": round(times[0], 1)}
        for page, times in found.items()
    }


def main() -> None:
    """Print what was measured, as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=EVENTS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    given = parser.parse_args()
    print(json.dumps(measure(given.events, given.rounds), indent=2))


if __name__ == "__main__":
    main()
