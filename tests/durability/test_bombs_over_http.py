"""Posts bombs to a server, and bodies of another length than they say."""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from collector import note
from shooting import ANSWER_SECONDS_MAX, Answer, Connection, request, shoot, target

from support.bombs import BOMB_BYTES_MAX, BOMBS, GIB, MIB
from support.garbage import DELIVERED, NATIVE, TRACKING, Garbage, plain_batch
from support.memory import Memory
from support.server_process import RunningServer

REFUSED = frozenset({400, 413})
LIES: dict[str, Sequence[str]] = {
    "ten gibibytes": [f"Content-Length: {10 * GIB}"],
    "more digits than a number has": [f"Content-Length: {'9' * 400}"],
    "less than nothing": ["Content-Length: -1"],
    "no number": ["Content-Length: many"],
    "a number of another base": ["Content-Length: 0x10"],
    "nothing": ["Content-Length: "],
    "two lengths": ["Content-Length: 5", "Content-Length: 6"],
    "a length and chunks": ["Content-Length: 5", "Transfer-Encoding: chunked"],
    "chunks that are none": ["Transfer-Encoding: chunked"],
    "an unknown transfer encoding": ["Transfer-Encoding: gzip, magic"],
}
"""Heads that do not tell where the body ends."""

pytestmark = pytest.mark.slow


def test_a_bomb_is_answered_at_little_cost_and_the_next_batch_is_kept(tmp_path: Path) -> None:
    with target(tmp_path) as (server, key):
        costs = {name: cost_of(server, key, name) for name in BOMBS}

    dearest = max(costs, key=lambda name: costs[name])
    note(f"{len(costs)} bombs at two doors, at most {costs[dearest] / MIB:.1f} MiB ({dearest})")
    assert {name: cost for name, cost in costs.items() if cost > BOMB_BYTES_MAX} == {}


def test_a_bomb_that_is_expanded_to_its_end_is_found(tmp_path: Path) -> None:
    with target(tmp_path, plant="bombs_expanded") as (server, key):
        assert cost_of(server, key, "gzip, zeros of 64 MiB") > BOMB_BYTES_MAX


def test_a_body_of_another_length_than_it_says_is_never_a_fault_of_the_server(
    tmp_path: Path,
) -> None:
    with target(tmp_path) as (server, key):
        for name, make in BOMBS.items():
            body = make()
            for wrong in (len(body) - 1, len(body) + 1, len(body) // 2, 10 * GIB):
                headers = {"Content-Length": str(wrong)}
                answer = answer_to(
                    server, request(NATIVE, key, body, headers), is_all=wrong < 10 * GIB
                )
                assert answer is None or answer.status in REFUSED, (name, wrong, answer)
        assert_is_well(server, key)


@pytest.mark.parametrize("lie", LIES)
def test_a_head_that_lies_is_refused(lying: tuple[RunningServer, str], lie: str) -> None:
    server, key = lying
    head = [f"POST {NATIVE} HTTP/1.1", "Host: x", f"Authorization: Bearer {key}", *LIES[lie]]

    answer = answer_to(server, "\r\n".join([*head, "", ""]).encode() + b"{}\r\n\r\n", is_all=False)

    assert answer is not None
    assert answer.status in REFUSED
    assert_is_well(server, key)


@pytest.fixture(scope="module")
def lying(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningServer, str]]:
    """A server to lie to."""
    with target(tmp_path_factory.mktemp("lies")) as found:
        yield found


def cost_of(server: RunningServer, key: str, name: str) -> int:
    """Bytes of memory that a bomb takes at the dearer of both doors, each of which goes on."""
    body, encoding = BOMBS[name](), name.split(",", maxsplit=1)[0]
    headers = {"Content-Encoding": encoding} if encoding in {"gzip", "zstd"} else {}
    costs = []
    for path, statuses in ((NATIVE, REFUSED), (TRACKING, DELIVERED | {413})):
        bomb = Garbage(kind=name, path=path, body=body, headers=headers, statuses=statuses)
        assert_is_well(server, key)
        memory = Memory(server.process.pid)
        assert shoot(server.address, key, [bomb]).wrong == []
        costs.append(memory.growth())
    assert_is_well(server, key)
    return max(costs)


def assert_is_well(server: RunningServer, key: str) -> None:
    """Return only when a batch was accepted."""
    assert shoot(server.address, key, [plain_batch()]).wrong == []


def answer_to(server: RunningServer, sent: bytes, *, is_all: bool) -> Answer | None:
    """The first answer to something, after which nothing may come; None if the connection ends."""

    async def ask() -> Answer | None:
        host, port = server.address.removeprefix("http://").split(":")
        connection = await Connection.open(host, int(port))
        try:
            return await connection.ask(sent, is_all=is_all)
        except TimeoutError:
            pytest.fail(f"No answer came within {ANSWER_SECONDS_MAX} s.")
        except (EOFError, OSError):
            return None
        finally:
            connection.close()

    return asyncio.run(ask())
