"""Asks the state database which devices were erased, whose late batches are refused."""

import threading
import time
from collections.abc import Collection
from datetime import datetime

import sqlalchemy as sa

from engagement.store.queries.json_arrays import json_elements
from engagement.store.queries.sightings import hash_device
from engagement.store.scrubbing import scrub_state
from engagement.store.tables import erased_devices

LOOK_SECONDS = 1.0
"""How soon a device that another process has erased is known here."""
WHOLE_LOOK_SECONDS = 600.0
"""How soon a device that is forgotten is taken in again."""


class ErasedQueries:
    """Devices that were erased, by hashes of their ids."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._reading = engine.execution_options(read_only=True)
        self._looking = threading.Lock()
        self._hashes: set[int] = set()
        self._newest = 0
        self._look_at = 0.0
        self._whole_look_at = 0.0

    def add(self, app_id: str, device_ids: Collection[str], *, erased_at: datetime) -> None:
        """Return only when it is durable that devices are erased from an instant on."""
        hashes = sorted({hash_device(app_id, device_id) for device_id in device_ids})
        rows = [{"app_id": app_id, "device": each, "erased_at": erased_at} for each in hashes]
        with self._engine.begin() as connection:
            for each in hashes:
                connection.execute(erased_devices.delete().where(erased_devices.c.device == each))
            connection.execute(erased_devices.insert(), rows)
        self._hashes.update(hashes)

    def find(self, app_id: str, device_ids: Collection[str]) -> set[str]:
        """Which of these devices of an app are erased, as of now."""
        hashes = {hash_device(app_id, device_id): device_id for device_id in device_ids}
        with self._reading.begin() as connection:
            query = _FIND[connection.dialect.name]
            found = connection.scalars(query, {"hashes": str(sorted(hashes))})
            return {hashes[each] for each in found}

    def is_erased(self, app_id: str, device_id: str) -> bool:
        """Whether a device is known as erased, without a look at the database at most times.

        What another process has erased is known here within `LOOK_SECONDS`.
        """
        if time.monotonic() >= self._look_at and self._looking.acquire(blocking=False):
            try:
                self._look()
            finally:
                self._looking.release()
        return bool(self._hashes) and hash_device(app_id, device_id) in self._hashes

    def knows_any(self) -> bool:
        """Whether any device of any app is known as erased, by the last look."""
        return bool(self._hashes)

    def find_last_at(self, app_id: str) -> datetime | None:
        """When a device of an app was erased last; None if none is known."""
        query = sa.select(sa.func.max(erased_devices.c.erased_at)).filter_by(app_id=app_id)
        with self._reading.begin() as connection:
            found: datetime | None = connection.scalar(query)
        return found

    def forget(self, before: datetime) -> None:
        """Take in again what devices send that were erased before an instant."""
        with self._engine.begin() as connection:
            connection.execute(erased_devices.delete().where(erased_devices.c.erased_at < before))
        self._whole_look_at = self._look_at = 0.0

    def scrub(self) -> None:
        """Return only when the files of the state database hold nothing that was deleted."""
        scrub_state(self._engine)

    def _look(self) -> None:
        now = time.monotonic()
        is_whole = now >= self._whole_look_at
        newest = 0 if is_whole else self._newest
        query = sa.select(erased_devices.c.position, erased_devices.c.device)
        with self._reading.begin() as connection:
            rows = connection.execute(query.where(erased_devices.c.position > newest)).all()
        hashes = {row.device for row in rows}
        if is_whole:
            self._hashes = hashes
        elif hashes:
            self._hashes = self._hashes | hashes
        self._newest = max((row.position for row in rows), default=newest)
        self._look_at = now + LOOK_SECONDS
        if is_whole:
            self._whole_look_at = now + WHOLE_LOOK_SECONDS


_FIND = {
    dialect: sa.select(erased_devices.c.device).where(
        erased_devices.c.device == sa.cast(each, sa.BigInteger)
    )
    for dialect, each in json_elements("hashes").items()
}
"""Built once: they are executed by every flush."""
