"""This module is the seam to the user's container: put an object whole, or not at all."""

from collections.abc import Iterable, Iterator
from typing import Protocol


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
