"""Lets apps take turns, so that the many tasks of one do not hold up another's."""

import threading
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Turns(Generic[T]):
    """What waits, by app; one of each app is out at a time, and the apps follow one another."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[str, deque[T]] = {}  # an app comes to the end with each of its turns
        self._out: set[str] = set()

    def add(self, app_id: str, item: T) -> None:
        """Let an item wait behind those of its app."""
        with self._lock:
            self._waiting.setdefault(app_id, deque()).append(item)

    def take(self) -> tuple[str, T] | None:
        """Return the next item and its app; None if nothing waits of an app that has none out."""
        with self._lock:
            app_id = next((app_id for app_id in self._waiting if app_id not in self._out), None)
            if app_id is None:
                return None
            items = self._waiting.pop(app_id)
            item = items.popleft()
            if items:
                self._waiting[app_id] = items
            self._out.add(app_id)
            return app_id, item

    def bring_back(self, app_id: str) -> None:
        """Let the app take another turn: what it had out has ended."""
        with self._lock:
            self._out.discard(app_id)
