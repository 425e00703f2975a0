"""Stands between us and a real storage server, and alters what is uploaded on its way."""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager

from support.http_servers import Relay, RelayHandler, serve

Alter = Callable[[bytes], bytes | None]
"""The body as it goes on; None: half of it, and then the line breaks."""


def flip_a_bit(body: bytes) -> bytes:
    """Another byte in the middle."""
    middle = len(body) // 2
    return body[:middle] + bytes([body[middle] ^ 1]) + body[middle + 1 :]


def cut(body: bytes) -> bytes:
    """Half of it, as if that were all."""
    return body[: len(body) // 2]


def break_off(body: bytes) -> None:
    """Half of it, and then the line breaks."""
    del body


class AlteringServer(Relay):
    """Passes requests on, and alters the first uploads that have a body."""

    def __init__(self, endpoint: str, alter: Alter, *, times: int) -> None:
        self.alter, self.left = alter, times
        self.altered = 0
        self.lock = threading.Lock()
        super().__init__(endpoint, _Handler)

    def has_turn(self) -> bool:
        """Whether the next upload is to be altered."""
        with self.lock:
            if not self.left:
                return False
            self.left -= 1
            self.altered += 1
            return True


def altering(endpoint: str, alter: Alter, *, times: int) -> AbstractContextManager[AlteringServer]:
    """A server before another one, which alters so many uploads."""
    return serve(AlteringServer(endpoint, alter, times=times))


class _Handler(RelayHandler):
    server: AlteringServer

    def relay(self, body: bytes) -> None:
        is_upload = self.command == "PUT" and body and "comp=blocklist" not in self.path
        altered = self.server.alter(body) if is_upload and self.server.has_turn() else body
        answer = self.pass_on(body if altered is None else altered, is_cut=altered is None)
        if answer is not None:
            self.answer(answer)
