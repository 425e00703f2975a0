"""Tests that a request's body is neither too large nor waited for too long."""

import asyncio
from collections.abc import Sequence

import pytest
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import Message

from engagement.server import body_limits
from engagement.server.body_limits import LimitedBody
from engagement.server.errors import Problem


def body_of(messages: Sequence[Message], *, bytes_max: int = 10, length: str = "0") -> LimitedBody:
    """A body that arrives in these messages, and then never ends."""
    left = list(messages)

    async def receive() -> Message:
        if left:
            return left.pop(0)
        await asyncio.get_running_loop().create_future()
        raise AssertionError("nothing wakes it")

    return LimitedBody(receive, Headers({"content-length": length}), bytes_max=bytes_max)


def part(body: bytes, *, more: bool = False) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


def test_a_body_is_read_to_its_end_and_not_beyond() -> None:
    body = body_of([part(b"12345", more=True), part(b"67890"), part(b"the next request's")])

    assert asyncio.run(body.read()) == b"1234567890"
    assert asyncio.run(body.read()) == b""


@pytest.mark.parametrize("messages", [[part(b"x" * 11)], [part(b"x" * 6, more=True)] * 2])
def test_a_body_that_is_too_large_is_refused_as_soon_as_it_is(messages: list[Message]) -> None:
    with pytest.raises(Problem, match="10 bytes") as caught:
        asyncio.run(body_of(messages).read())
    assert caught.value.status_code == 413


@pytest.mark.parametrize("length", ["11", "9" * 99, "-1", "ten", "1e1"])
def test_a_body_that_says_it_is_too_large_is_not_read(length: str) -> None:
    with pytest.raises(Problem) as caught:
        body_of([], length=length)
    assert caught.value.status_code == 413


def test_whoever_goes_away_leaves_no_body() -> None:
    with pytest.raises(ClientDisconnect):
        asyncio.run(body_of([part(b"1", more=True), {"type": "http.disconnect"}]).read())


@pytest.mark.parametrize("limit", ["BODY_SECONDS_MAX", "SLOW_SECONDS_MAX"])
def test_a_body_that_does_not_come_is_given_up(monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    monkeypatch.setattr(body_limits, limit, 0)

    with pytest.raises(Problem) as caught:
        asyncio.run(body_of([]).read())
    assert caught.value.status_code == 408


def test_what_has_come_of_a_body_buys_it_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body_limits, "SLOW_SECONDS_MAX", 0)
    monkeypatch.setattr(body_limits, "SLOWEST_BYTES_PER_SECOND", 1e-9)
    body = body_of([part(b"12", more=True), part(b"345")])
    body._bytes = 1  # noqa: SLF001 - as if a byte had come at once

    assert asyncio.run(body.read()) == b"12345"
