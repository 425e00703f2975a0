"""Measures how fast one core takes logs from bodies into the lake.

python -m benchmarks.flushing BATCHES
"""

import json
import os
import random
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

LOGS_PER_BATCH = 100
BATCHES_PER_TRANSACTION = 256
RECEIVED_AT = datetime(2026, 2, 1, tzinfo=UTC)


def main() -> None:
    """Print logs a second of decoding, of accepting and of flushing."""
    os.sched_setaffinity(0, {0})
    # Polars counts the cores when it is imported, so it must come after.
    from engagement.collect.flush import Flush, FlushLimits
    from engagement.collect.inbox import accept
    from engagement.collect.payload import decode_batch
    from engagement.store.lake import Lake
    from engagement.store.queries.erased import ErasedQueries
    from engagement.store.queries.inbox import InboxQueries
    from engagement.store.queries.sightings import SightingQueries
    from engagement.store.queries.staging import StagingQueries
    from engagement.store.state import open_state

    bodies = [_body(number) for number in range(int(sys.argv[1]))]
    logs = len(bodies) * LOGS_PER_BATCH
    with tempfile.TemporaryDirectory(dir=Path(__file__).parent / "output") as folder:
        engine = open_state(f"sqlite:///{folder}/state.db")
        inbox = InboxQueries(engine)
        limits = FlushLimits(records_max=200_000, session_timeout=timedelta(minutes=3))
        flush = Flush(
            inbox,
            StagingQueries(engine),
            SightingQueries(engine),
            ErasedQueries(engine),
            Lake(f"{folder}/lake"),
            limits=limits,
        )
        begin = time.perf_counter()
        batches = [decode_batch(body, received_at=RECEIVED_AT, live=False) for body in bodies]
        decoded = time.perf_counter()
        for at in range(0, len(batches), BATCHES_PER_TRANSACTION):
            some = batches[at : at + BATCHES_PER_TRANSACTION]
            accept(inbox, "a" * 32, some, received_at=RECEIVED_AT)
        accepted = time.perf_counter()
        moved = flush.flush("a" * 32)
        flushed = time.perf_counter()
    measured = {
        "rows": moved,
        "decoded_per_second": logs / (decoded - begin),
        "accepted_per_second": logs / (accepted - decoded),
        "flushed_per_second": logs / (flushed - accepted),
    }
    sys.stdout.write(json.dumps(measured) + "\n")


def _body(number: int) -> bytes:
    dice = random.Random(number)  # noqa: S311 - data, not secrets
    start = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=dice.randrange(80_000))
    logs = [
        {
            "type": "event",
            "name": f"purchase_{dice.randrange(50)}",
            "timestamp": (start + timedelta(seconds=place)).strftime("%Y-%m-%dT%H:%M:%S.000Z"),
            "sessionId": f"{dice.getrandbits(128):032x}",
            "extras": {"price": place, "title": 'café "x"', "ok": True},
        }
        for place in range(LOGS_PER_BATCH)
    ]
    batch = {
        "batchId": f"batch-{number}",
        "sentAt": "2026-01-02T00:00:00Z",
        "deviceId": f"{dice.getrandbits(128):032x}",
        "info": {"firmwareName": "Android", "phoneModel": "Pixel"},
        "logs": logs,
    }
    return json.dumps(batch, ensure_ascii=False, separators=(",", ":")).encode()


if __name__ == "__main__":
    main()
