"""Attacks a server from one address, while others are answered as ever."""

import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import pytest

from support.batches import batch
from support.server_process import RunningServer, running_server
from support.stranger import KEPT_ASIDE, attacking
from support.waiting import WAIT_SECONDS_MAX, wait_for

ATTACKER, OTHER = "127.1.1.2", "127.2.2.3"
SMALL = {"ENGAGEMENT_CONNECTIONS": "40", "ENGAGEMENT_COLLECT_CONCURRENT": "8"}
SLOW_HEAD = (
    "POST /collect/v1/batch HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n{more}"
    "Content-Length: 1000\r\n\r\n{{"
)
COUNTS = [
    pytest.param(SMALL, 60, 60, id="few"),
    pytest.param({}, 1_005, 256, id="many", marks=pytest.mark.slow),
]
"""Settings, and how many connections are idle or have a slow body."""


class Attacked:
    """A server, and what its owner's programs and devices ask of it."""

    def __init__(self, server: RunningServer) -> None:
        self._server = server
        self.address = server.address
        self.key = server.app()["appKey"]
        self._credentials = server.client("reader")
        self._place = urlsplit(server.address)
        self._batches = 0

    def count_accepted(self, protocol: str) -> float:
        """How many logs were taken in by a protocol."""
        name = f'engagement_logs_accepted_total{{protocol="{protocol}"}}'
        return self._server.metric(name)

    def connect(self, source: str) -> socket.socket:
        """A connection from an address of this machine."""
        place = (self._place.hostname or "", self._place.port or 0)
        return socket.create_connection(place, timeout=WAIT_SECONDS_MAX, source_address=(source, 0))

    def ask(
        self, source: str, method: str, path: str, body: str = "", **headers: str
    ) -> int | None:
        """The status of an answer; None if the connection ends without one."""
        connection = http.client.HTTPConnection("unused")
        try:
            connection.sock = self.connect(source)
            connection.request(method, path, body, headers)
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()

    def statuses(self, source: str, **headers: str) -> list[int | None]:
        """What health, readiness, a token and a batch are answered."""
        self._batches += 1
        address, form = self._server.token_request(self._credentials)
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        sent = json.loads(batch()) | {"batchId": f"{source} {self._batches}"}
        own = {"Authorization": f"Bearer {self.key}"}
        return [
            self.ask(source, "GET", "/healthz"),
            self.ask(source, "GET", "/readyz"),
            self.ask(source, "POST", urlsplit(address).path, urlencode(form), **kind, **headers),
            self.ask(source, "POST", "/collect/v1/batch", json.dumps(sent), **own, **headers),
        ]


@contextmanager
def attacked(folder: Path, **settings: str) -> Iterator[tuple[Attacked, ExitStack]]:
    """A server, and what ends all connections of an attack."""
    with running_server(folder / "home", **settings) as server, ExitStack() as connections:
        yield Attacked(server), connections


@pytest.mark.parametrize(("settings", "idle", "slow"), COUNTS)
def test_idle_connections_of_one_address_shut_nobody_out(
    tmp_path: Path, settings: dict[str, str], idle: int, slow: int
) -> None:
    with attacked(tmp_path, **settings) as (server, connections):
        for _ in range(idle):
            connections.enter_context(server.connect(ATTACKER))

        assert server.statuses(OTHER) == [200, 200, 200, 202]
        assert server.statuses(ATTACKER) == [200, 200, 503, 503], "only health is told it"


@pytest.mark.parametrize(("settings", "idle", "slow"), COUNTS)
def test_slow_bodies_of_one_address_shut_nobody_out(
    tmp_path: Path, settings: dict[str, str], idle: int, slow: int
) -> None:
    with attacked(tmp_path, **settings) as (server, connections):
        for _ in range(slow):
            connections.enter_context(server.connect(ATTACKER)).sendall(
                SLOW_HEAD.format(key=server.key, more="").encode()
            )
        wait_for(lambda: server.statuses(ATTACKER)[3] == 503, "a share of requests that is used up")

        assert server.statuses(OTHER) == [200, 200, 200, 202]


@pytest.mark.attack
def test_bombs_idle_connections_and_slow_bodies_at_once_shut_nobody_out(
    tmp_path: Path, *, full_counts: bool
) -> None:
    settings = {} if full_counts else SMALL
    idle, slow, rounds = (1_005, 256, 60) if full_counts else (60, 60, 3)
    with attacked(tmp_path, **settings) as (server, _):
        attack = attacking(
            server.address, source=ATTACKER, key=server.key, idle=idle, slow=slow, bombs=6
        )
        with attack as seen:
            answers = [server.statuses(OTHER) for _ in range(rounds)]

        assert answers == [[200, 200, 200, 202]] * rounds
        assert seen["idle"] > idle / 2
        assert seen["slow"] > slow / 2
        refused = {"400", "401", "408", "413", "429", "503"}
        assert set(seen) <= {"idle", "slow", "closed", KEPT_ASIDE, *refused}
        assert any(seen.get(status, 0) for status in refused)
        assert server.count_accepted("tracking") == 0, "of a bomb nothing is taken in"


def test_a_trusted_proxy_brings_the_shares_of_those_it_forwards(tmp_path: Path) -> None:
    with attacked(tmp_path, ENGAGEMENT_TRUSTED_PROXIES=OTHER, **SMALL) as (server, connections):
        for _ in range(60):  # more than the share of connections, which a proxy has none of
            more = f"X-Forwarded-For: {ATTACKER}\r\n"
            connections.enter_context(server.connect(OTHER)).sendall(
                SLOW_HEAD.format(key=server.key, more=more).encode()
            )
        forwarded = {"X-Forwarded-For": ATTACKER}
        wait_for(
            lambda: server.statuses(OTHER, **forwarded)[3] == 503,
            "a share of requests that is used up",
        )

        assert server.statuses(OTHER, **{"X-Forwarded-For": "192.0.2.1"}) == [200, 200, 200, 202]
        assert server.statuses(OTHER) == [200, 200, 200, 202]


def test_a_connection_beyond_its_share_is_for_one_request_about_health(tmp_path: Path) -> None:
    with attacked(tmp_path, **SMALL) as (server, connections):
        for _ in range(20):
            connections.enter_context(server.connect(ATTACKER))
        last = connections.enter_context(server.connect(ATTACKER))
        request = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
        last.sendall(request + SLOW_HEAD.format(key=server.key, more="").encode())

        heard = b"".join(iter(lambda: last.recv(65_536), b""))
        assert b" 202 " not in heard
        assert server.statuses(OTHER) == [200, 200, 200, 202]
