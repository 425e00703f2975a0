"""This module computes the next item of an iterator while the one before is being used."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def ahead(items: Iterator[T]) -> Iterator[T]:
    """The items in order, one ahead: encoding goes on while a chunk is compressed and sent.

    One item ahead is enough to keep both sides busy, and bounds the memory to two items.
    """
    ended = object()
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="ahead") as thread:
        coming = thread.submit(next, items, ended)
        while (item := coming.result()) is not ended:
            coming = thread.submit(next, items, ended)
            yield item  # type: ignore[misc] # the end is the only item that is not a T
