"""Watches a server's system calls: each record is synced before it is acknowledged."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from collector import note
from shooting import shoot, target
from tracing import Call, calls_of, watched

from support.garbage import DELIVERED, KEPT, NATIVE, TRACKING, Garbage

WAL = b"state.db-wal>"
"""How a trace names the log that commits are synced in."""
_BATCH = re.compile(rb"ordered-\d+-")
_SUCCESS = re.compile(rb'"HTTP/1\.1 20[02] ')
_RECEIVES = {b"read", b"recvfrom"}
_SENDS = {b"write", b"writev", b"sendto", b"sendmsg"}
_SYNCS = {b"fdatasync", b"fsync"}
_SOCKET = re.compile(rb"\((\d+)<(?:socket|TCP)")

pytestmark = pytest.mark.slow


@dataclass(slots=True)
class Request:
    """A request on its way through the server."""

    batch: bytes
    """What tells its record from others."""
    is_written: bool = False
    """Whether its record is in the log."""
    is_synced: bool = False
    """Whether a sync that began after that has succeeded."""


def test_a_record_is_synced_before_it_is_acknowledged(tmp_path: Path, kills: int) -> None:
    requests = 5 * kills

    acknowledged = ordered(tmp_path, requests)

    note(f"{sum(acknowledged)} of {requests} acknowledged after their sync")
    assert acknowledged == [True] * requests


@pytest.mark.parametrize("bug", ["acknowledged_early", "state_not_synced"])
def test_a_record_that_is_not_synced_is_found(tmp_path: Path, bug: str) -> None:
    acknowledged = ordered(tmp_path, 8, plant=bug)

    assert acknowledged == [False] * 8


def ordered(folder: Path, requests: int, *, plant: str | None = None) -> list[bool]:
    """For each acknowledgement, whether the record was synced before."""
    with target(folder, plant=plant) as (server, key):
        with watched(server, folder / "trace") as trace:
            volley = shoot(server.address, key, batches(requests))
        assert volley.wrong == []
        server.kill()  # a planted bug need not do what it has left
    return list(judged(calls_of(trace)))


def batches(count: int) -> Iterator[Garbage]:
    """Bodies with nothing wrong in them, each told by a word of its own."""
    event = '"timestamp":"2026-11-01T10:00:00Z"'
    for number in range(count):
        word = f"ordered-{number}-"
        if number % 2:
            body = f'{{"type":"track","event":"{word}","userId":"u","messageId":"{word}",{event}}}'
            yield Garbage(kind="none", path=TRACKING, body=body.encode(), statuses=DELIVERED)
        else:
            body = (
                f'{{"batchId":"{word}","deviceId":"d","sentAt":"2026-11-01T10:00:00Z",'
                f'"logs":[{{"type":"event","name":"e",{event}}}]}}'
            )
            yield Garbage(kind="none", path=NATIVE, body=body.encode(), statuses=KEPT)


def judged(calls: Iterable[Call]) -> Iterator[bool]:
    """For each acknowledgement in a trace, whether the record's sync had returned before it began.

    Another thread's call may come into one, which the trace then shows twice: what it was given
    when it began, and what it came to when it ended.
    """
    requests = _Requests()
    for call in calls:
        if call.name in _RECEIVES:
            requests.receive(call)
        elif call.name == b"pwrite64":
            requests.write(call)
        elif call.name in _SYNCS:
            requests.sync(call)
        elif call.name in _SENDS and (request := requests.acknowledged(call)) is not None:
            yield request.is_synced


class _Requests:
    """Those that are under way, by the socket that they came from."""

    def __init__(self) -> None:
        self._under_way: dict[bytes, Request] = {}
        self._receiving: dict[bytes, bytes] = {}
        self._syncing: dict[bytes, list[Request]] = {}

    def receive(self, call: Call) -> None:
        if call.is_begin:
            self._receiving[call.thread] = _socket(call)
        if call.is_end and (found := _BATCH.search(call.text)):
            self._under_way[self._receiving[call.thread]] = Request(found[0])

    def write(self, call: Call) -> None:
        if WAL in call.text:
            for request in self._under_way.values():
                request.is_written |= request.batch in call.text

    def sync(self, call: Call) -> None:
        if call.is_begin and WAL in call.text:
            written = [value for value in self._under_way.values() if value.is_written]
            self._syncing[call.thread] = written
        if call.is_end and b" = 0" in call.text:
            for request in self._syncing.pop(call.thread, ()):
                request.is_synced = True

    def acknowledged(self, call: Call) -> Request | None:
        if not call.is_begin or _SUCCESS.search(call.text) is None:
            return None
        return self._under_way.pop(_socket(call), None)


def _socket(call: Call) -> bytes:
    """The descriptor that a call is of; empty if it is none of a socket."""
    found = _SOCKET.search(call.text)
    return b"" if found is None else found[1]
