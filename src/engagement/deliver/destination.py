"""What an export needs of a user's container: to put an object whole, or not at all."""

from collections.abc import Iterable, Iterator
from typing import Protocol

from engagement.exceptions import DestinationError, ErrorCode


class Destination(Protocol):
    """Where an export's objects go. An object appears whole or not at all."""

    def check(self) -> None:
        """Return only if an object can be written now.

        Raises:
            DestinationError: It cannot; the code says why.
        """

    def put(self, key: str, chunks: Iterable[bytes | memoryview]) -> None:
        """Return only when the object is durable in the container, replacing what was there.

        If the iterable raises, nothing is visible under the key that was not before, and its
        exception is raised unchanged.

        Args:
            key: Object key, below the destination's own prefix.
            chunks: The object's bytes, in order.

        Raises:
            DestinationError: The container refused; transient ones are marked Retryable.
        """

    def get(self, key: str) -> Iterator[bytes]:
        """The object's bytes, in order; needs a credential that may read.

        Raises:
            DestinationError: It is not there or may not be read.
        """

    def list_keys(self, prefix: str) -> list[str]:
        """The keys below a prefix, sorted; needs a credential that may list."""

    def delete(self, key: str) -> None:
        """Return only when no object has this key; needs a credential that may delete."""


def key_names(key: str) -> list[str]:
    """The names between the slashes of an object key.

    Raises:
        DestinationError: One of them is empty, `.` or `..`, or has a control character.
    """
    names = key.split("/")
    if any(name in {"", ".", ".."} or not name.isprintable() for name in names):
        raise DestinationError(
            f"An object key must be plain names between slashes, got {key!r}.",
            code=ErrorCode.EGRESS_DENIED,
        )
    return names


class WatchedChunks:
    """An object's chunks as bytes, whatever their items, and what went wrong with the iterable.

    An exception of the iterable is not the container's doing, so the two are kept apart.
    """

    def __init__(self, chunks: Iterable[bytes | memoryview]) -> None:
        self._chunks = iter(chunks)
        self.failure: BaseException | None = None

    def __iter__(self) -> Iterator[bytes | memoryview]:
        return self

    def __next__(self) -> bytes | memoryview:
        try:
            chunk = next(self._chunks)
        except StopIteration:
            raise
        except BaseException as error:
            self.failure = error
            raise
        if isinstance(chunk, bytes):
            return chunk
        return memoryview(chunk).cast("B") if memoryview(chunk).nbytes else b""
