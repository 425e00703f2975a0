"""Measures how soon an address is answered while another one attacks for a minute.

    python -m benchmarks.strangers [SECONDS]

One address of this machine sends bombs of gzip with no key and with a public one, holds as many
connections as it gets and sends bodies that do not end. Another asks for health and a token and
posts batches meanwhile, as before it.
"""

import json
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from benchmarks.data import OUTPUT

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from support.batches import batch, log
from support.server_process import RunningServer, running_server
from support.stranger import attacking

ATTACKER, OTHER = "127.1.1.2", "127.2.2.3"
ATTACK_SECONDS, QUIET_SECONDS = 60.0, 10.0
IDLE, SLOW, BOMBS = 1_005, 256, 6
"""Connections, bodies and bombs at once of the attacks that were found."""
ANSWER_SECONDS_MAX = 60.0

Measured = dict[str, object]
Worst = dict[str, float]


def attack(seconds: float) -> Measured:
    """The longest that each answer took, before an attack and while it lasted."""
    home = OUTPUT / "attacked"
    with _empty(home), running_server(home) as server:
        watcher = _Watcher(server)
        quiet = watcher.watch(min(seconds, QUIET_SECONDS))
        with attacking(
            server.address,
            source=ATTACKER,
            key=watcher.key,
            idle=IDLE,
            slow=SLOW,
            bombs=BOMBS,
        ) as seen:
            attacked = watcher.watch(seconds)
        return {"quiet": quiet, "attacked": attacked, "rounds": watcher.rounds, "attack": seen}


class _Watcher:
    """Asks what devices and programs ask, from an address of its own."""

    def __init__(self, server: RunningServer) -> None:
        self.key = server.app()["appKey"]
        """A public key."""
        self.rounds = 0
        """How often each was asked for."""
        self._address = server.address
        address, self._form = server.token_request(server.client("reader"))
        self._token_path = urlsplit(address).path

    def watch(self, seconds: float) -> Worst:
        """The longest that each answer took; every one has to be a success."""
        worst: Worst = {}
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for name, taken in self._ask_all().items():
                worst[name] = max(worst.get(name, 0.0), taken)
            self.rounds += 1
        return worst

    def _ask_all(self) -> Worst:
        transport = httpx.HTTPTransport(local_address=OTHER)
        with httpx.Client(
            base_url=self._address, transport=transport, timeout=ANSWER_SECONDS_MAX
        ) as http:  # a connection of its own each time, as a device has that was away
            return {
                "health": _timed(http, "GET", "/healthz"),
                "token": _timed(http, "POST", self._token_path, data=self._form),
                "batch": _timed(
                    http,
                    "POST",
                    "/collect/v1/batch",
                    content=batch(log("event")),
                    headers={"Authorization": f"Bearer {self.key}"},
                ),
            }


def _timed(http: httpx.Client, method: str, path: str, **given: object) -> float:
    started = time.monotonic()
    answer = http.request(method, path, **given)  # type: ignore[arg-type] # as it was given
    if not answer.is_success:
        raise SystemExit(f"{path} must be answered, got {answer.status_code}: {answer.text[:200]}")
    return time.monotonic() - started


@contextmanager
def _empty(folder: Path) -> Iterator[None]:
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(exist_ok=True)
    yield
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    lasting = float(sys.argv[1]) if len(sys.argv) > 1 else ATTACK_SECONDS
    print(json.dumps(attack(lasting)))
