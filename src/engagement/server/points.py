"""Counts in memory what charts are drawn from, and brings it to the state database each minute."""

import threading
import time
from collections import Counter
from collections.abc import Mapping

from engagement import operations
from engagement.model.export_tasks import ExportTask
from engagement.model.points import ACCEPTED, CODES_MAX, REFUSED
from engagement.model.records import Kind
from engagement.runtime.opening import Runtime

RECORD_SECONDS = 60.0
STORAGE_SECONDS = 600.0
"""The lake's size is looked for as often, since every file of it is looked at."""
OTHER_CODES = f"{REFUSED}other"


class PointRecorder:
    """What happened since the last minute; a process that is killed loses no more of it."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._counts: Counter[tuple[str, str]] = Counter()
        self._codes: set[str] = set()
        self._lock = threading.Lock()
        self._new = operations.EndedExports(runtime)
        self._ended: list[ExportTask] = []
        self._storage: operations.StorageState | None = None
        self._storage_at = float("-inf")

    def count(
        self, app_id: str, *, accepted: Mapping[Kind, int], refused: Mapping[str, int]
    ) -> None:
        """Count what became of a body of an app."""
        with self._lock:
            for kind, records in accepted.items():
                self._counts[app_id, f"{ACCEPTED}{kind.value}"] += records
            for code, records in refused.items():
                self._counts[app_id, self._series_of(code)] += records

    def read_pending(self) -> dict[tuple[str, str], int]:
        """Return what was counted and is not kept yet."""
        with self._lock:
            return dict(self._counts)

    def storage(self) -> operations.StorageState:
        """Return how full the disk is and how large the lake, as of some minutes ago."""
        if self._storage is None or time.monotonic() - self._storage_at >= STORAGE_SECONDS:
            self._storage = operations.storage_state(self._runtime)
            self._storage_at = time.monotonic()
        return self._storage

    def record(self) -> None:
        """Keep what was counted; what cannot be kept is counted on."""
        with self._lock:
            counts, self._counts = self._counts, Counter()
        try:
            self._ended += self._new.take()
            operations.record_points(
                self._runtime, counts, ended=self._ended, storage=self.storage()
            )
            self._ended.clear()
        except BaseException:
            with self._lock:
                self._counts += counts
            raise

    def _series_of(self, code: str) -> str:
        """Codes are words of ours, but there must be no end of series whatever they are."""
        if code not in self._codes and len(self._codes) >= CODES_MAX:
            return OTHER_CODES
        self._codes.add(code)
        return f"{REFUSED}{code}"
