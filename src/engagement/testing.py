"""Runs the service in a test, with a clock that stands still and containers in memory.

It is the service itself: its tables are on disk, its exports run as they do elsewhere. Only the
time and the place of delivery are exchanged.
"""

import json
import secrets
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from engagement.deliver.containers import open_destination
from engagement.deliver.urls import DestinationPolicy, parse_container_url
from engagement.model.export_tasks import ExportTask
from engagement.model.instants import format_rfc3339
from engagement.runtime.opening import Runtime, open_service
from engagement.sample import generate
from engagement.settings import Settings
from engagement.store.queries.clock_readings import Uptime

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
"""What a `StoppedClock` shows at first, and when the batches of `make_batch` are sent."""
SAMPLE_DAY = date(2026, 2, 1)


class StoppedClock:
    """A clock that stands still until a test moves it."""

    def __init__(self, now: datetime = NOON) -> None:
        """Stop the clock at an instant, which is aware."""
        self.now = now
        """What it shows; a test may set it, as somebody who sets a clock does."""
        self._running = timedelta(0)

    def __call__(self) -> datetime:
        """Return the instant that it shows."""
        return self.now

    def advance(self, by: timedelta) -> None:
        """Let time pass, which the service runs through."""
        self.now += by
        self._running += by

    def read_uptime(self) -> Uptime:
        """Return how much time was let pass."""
        return Uptime(boot_id="stopped clock", running=self._running)


class MemoryContainer:
    """A container in the memory of this process, which `open_test_runtime` may deliver into."""

    def __init__(self) -> None:
        """Make an empty container; no other has its URL."""
        self.url = f"memory://{secrets.token_hex(8)}"
        """Its container URL."""
        policy = DestinationPolicy(allow_memory=True)
        self._destination = open_destination(parse_container_url(self.url, policy))

    def list_keys(self, prefix: str = "") -> list[str]:
        """Return the keys of its objects below a prefix, sorted."""
        return self._destination.list_keys(prefix)

    def read(self, key: str) -> bytes:
        """Return an object.

        Raises:
            DestinationError: It has none with this key.
        """
        return b"".join(self._destination.get(key))

    def read_parts(self, task: ExportTask) -> list[bytes]:
        """Return the parts that an export delivered, in their order; none before it ended."""
        manifest = f"{task.folder}/manifest.json"
        if manifest not in self.list_keys(task.folder):
            return []
        parts = json.loads(self.read(manifest))["parts"]
        return [self.read(f"{task.folder}/{part['name']}") for part in parts]


def open_test_runtime(
    home: Path, *, clock: StoppedClock | None = None, **settings: Any
) -> AbstractContextManager[Runtime]:
    """Open a service whose exports may go to a `MemoryContainer`, for `engagement.operations`.

    Args:
        home: Its folder, which no other process uses.
        clock: Its clock; one that stands at `NOON` if absent.
        settings: Further settings by their names in `Settings`; the environment is not read.
    """
    clock = clock or StoppedClock()
    return open_service(
        Settings(home=home, **settings),
        allow_memory=True,
        clock=clock,
        uptime=clock.read_uptime,
    )


def make_batch(
    *records: Mapping[str, object],
    device_id: str = "device",
    batch_id: str | None = None,
    sent_at: datetime = NOON,
    **members: Any,
) -> bytes:
    """Return a native batch, as a device sends it.

    Args:
        records: What it reports: each has a `type`, a `timestamp` and what its type needs besides.
        device_id: The device.
        batch_id: Its id, by which it is accepted once; a new one if absent.
        sent_at: When the device sends it, by its own clock.
        members: Further members, such as `userId` and `info`.
    """
    content = {
        "batchId": batch_id or secrets.token_hex(16),
        "sentAt": format_rfc3339(sent_at),
        "deviceId": device_id,
        "logs": records,
        **members,
    }
    return json.dumps(content, ensure_ascii=False).encode()


def sample_batches(
    *, devices: int = 10, days: int = 7, seed: int = 1, first_day: date = SAMPLE_DAY
) -> Iterator[bytes]:
    """Return native batches of a shop app with records of every type, the same for a seed.

    Args:
        devices: How many devices report.
        days: How many days they are watched.
        seed: Which sample.
        first_day: The first of the days.
    """
    return generate(devices=devices, days=days, seed=seed, first_day=first_day)
