"""Builds the lakes that every contender reads, the same on every machine."""

import hashlib
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from engagement import operations
from engagement.model.records import Kind
from engagement.runtime.opening import Runtime, open_service
from engagement.settings import Settings
from engagement.store.committing import Committer
from engagement.store.row_order import in_order
from engagement.store.schemas import file_schema

OUTPUT = Path(__file__).parent / "output"
FIRST_DAY = datetime(2026, 1, 1, tzinfo=UTC)
EVENTS_PER_DAY_MAX = 1_000_000
DEVICES = 50_000
NAMES = 200
ZIPF_EXPONENT = 1.3


def lake_of(events: int) -> Path:
    """A home folder with one app and so many events, a compacted day after another; cached."""
    return lake_of_apps((events,), name=f"home-{events}")


def lake_of_apps(sizes: Sequence[int], *, name: str = "") -> Path:
    """A home folder with an app of each size, in this order; cached.

    Args:
        sizes: How many events each app has.
        name: The folder's name, if it shall have a certain one.
    """
    home = OUTPUT / (name or f"home-{len(sizes)}-apps-{sum(sizes)}")
    if not (home / "complete").exists():
        shutil.rmtree(home, ignore_errors=True)
        with open_service(Settings(home=home)) as runtime:
            for number, events in enumerate(sizes):
                _fill(runtime, f"bench-{number}", events)
        (home / "complete").touch()
    return home


def data_files(home: Path) -> list[str]:
    """The Parquet files of the events, in order of their days."""
    return sorted(str(path) for path in home.glob("lake/*/event/date=*/*.parquet"))


def _fill(runtime: Runtime, name: str, events: int) -> None:
    app = operations.create_app(
        runtime, name=name, collection="bench", resource_group="bench", subscription="bench"
    ).app
    for day, begin in enumerate(range(0, events, EVENTS_PER_DAY_MAX)):
        count = min(EVENTS_PER_DAY_MAX, events - begin)
        rows = in_order(_day(day, begin, count), Kind.EVENT)
        change = runtime.lake.write_rows(app.app_id, Kind.EVENT, rows)
        runtime.staging.stage_rewrite(app.app_id, Kind.EVENT, change, staged_at=runtime.clock())
        Committer(runtime.inbox, runtime.staging, runtime.lake).commit(app.app_id)


def _day(day: int, begin: int, count: int) -> pl.DataFrame:
    """A day of events: about 310 bytes each as NDJSON, Zipf-distributed names, odd characters."""
    dice = np.random.default_rng(day)
    devices = _guids("device", DEVICES)
    who = dice.integers(0, DEVICES, count)
    milliseconds = dice.integers(0, 86_400_000, count)
    names = pl.Series([f'say "{n}"' if n % 50 == 0 else f"purchase_{n}" for n in range(NAMES)])
    extras = pl.format(
        '"price":{},"title":"café \\"x\\" 東京","ok":true,"n":{}',
        pl.col("sequence") % 100,
        pl.col("sequence"),
    )
    midnight = FIRST_DAY + timedelta(days=day)
    return (
        pl.DataFrame(
            {
                "device_id": devices.gather(who),
                "user_id": pl.Series([None] * count, dtype=pl.String()),
                "session_id": _guids("session", DEVICES).gather((who * 7 + day) % DEVICES),
                "job_id": pl.Series([None] * count, dtype=pl.String()),
                "name": names.gather(np.minimum(dice.zipf(ZIPF_EXPONENT, count), NAMES) - 1),
                "timestamp": pl.Series(milliseconds * 1_000).cast(pl.Duration("us")) + midnight,
                "info_id": _guids("info", 500).gather(who % 500),
                "location_id": _guids("location", 37).gather(who % 37),
                "received_at": midnight + timedelta(days=1),
                "device_timestamp": pl.Series([None] * count, dtype=pl.Datetime("us", "UTC")),
                "record_id": pl.Series([None] * count, dtype=pl.String()),
                "batch_id": _guids("batch", 500).gather(who % 500),
                "sequence": pl.int_range(begin, begin + count, eager=True),
            }
        )
        .with_columns(extras=pl.concat_str(pl.lit("{"), extras, pl.lit("}")))
        .select(file_schema(Kind.EVENT).keys())
    )


def _guids(what: str, count: int) -> pl.Series:
    return pl.Series([hashlib.md5(f"{what} {n}".encode()).hexdigest() for n in range(count)])  # noqa: S324
