"""Runs one contender in a process of its own and prints what it measured.

    python -m benchmarks.contenders NAME HOME OUT

Everyone reads the same files, computes the same columns, has two threads and writes to the same
disk. Ours is the real export, from the request to Succeeded, with fsync and SHA-256; the peers
neither sync nor hash.
"""

import json
import os
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

from benchmarks.data import data_files
from engagement import operations
from engagement.exceptions import EngagementError
from engagement.model.export_request import ExportRequest
from engagement.model.exports import Compression, ExportFormat, ExportState, ExportType, TimeRange
from engagement.runtime.opening import Runtime, open_service
from engagement.settings import Settings

THREADS = 2
SMALL_EXPORTS = 20
PIECE_BYTES = 8 * 1024 * 1024
SECONDS_MAX = 900
WHOLE_SPAN = TimeRange.of_days(date(2026, 1, 1), date(2026, 12, 31))
TIMESTAMP = "strftime(timestamp, '%Y-%m-%dT%H:%M:%S.%gZ')"

Measured = dict[str, float]


def ours(home: Path, out: Path, container: str, wanted: str) -> Measured:
    """The real export, in an embedded runtime."""
    name, _, compression = wanted.partition("+")
    with open_service(_settings(home, out)) as runtime:
        begin = time.perf_counter()
        request = _request(runtime, container, ExportFormat(name), Compression(compression))
        task = operations.create_export(runtime, request)
        task = operations.wait_export(runtime, task.task_id, timeout_seconds=SECONDS_MAX)
        seconds = time.perf_counter() - begin
        if task.state is not ExportState.SUCCEEDED:
            raise EngagementError(f"The export must succeed, got {task.error_details}.")
    return {
        "rows": task.progress.rows_done,
        "bytes": task.progress.bytes_done,
        "seconds": seconds,
    }


def ours_small(home: Path, out: Path, container: str, wanted: str) -> Measured:
    """The median of small exports, one after another, from the request to Succeeded."""
    del wanted
    seconds = []
    with open_service(_settings(home, out)) as runtime:
        for _ in range(SMALL_EXPORTS):
            begin = time.perf_counter()
            request = _request(runtime, container, ExportFormat.JSON, Compression.NONE)
            task = operations.create_export(runtime, request)
            task = operations.wait_export(runtime, task.task_id, timeout_seconds=SECONDS_MAX)
            seconds.append(time.perf_counter() - begin)
    return {"rows": task.progress.rows_done, "bytes": 0, "seconds": statistics.median(seconds)}


def ready_made(home: Path, out: Path, container: str, wanted: str) -> Measured:
    """The same bytes as our export's, already made, through the same destination."""
    made = ours(home, out, f"file://{out}/made", wanted)
    parts = [path.read_bytes() for path in sorted(out.glob("made/*/*/part-*"))]
    with open_service(_settings(home, out), run_tasks=False) as runtime:
        destination = runtime.destination(container)
        begin = time.perf_counter()
        for index, part in enumerate(parts):
            destination.put(f"ready/part-{index:05d}", _pieces(part))
        seconds = time.perf_counter() - begin
    return made | {"seconds": seconds}


def duckdb_copy(home: Path, out: Path, container: str, wanted: str) -> Measured:
    """DuckDB's own `COPY` of flat rows."""
    del container
    import duckdb

    suffix, _, compression = wanted.partition("+")
    query = _FLAT if suffix == "flat" else _GROUPED
    target = out / "duckdb.json"
    begin = time.perf_counter()
    connection = duckdb.connect(config={"threads": THREADS})
    options = "FORMAT json" + (f", COMPRESSION {compression}" if compression != "none" else "")
    connection.execute(f"COPY ({_filled(query, home)}) TO '{target}' ({options})")
    measured = _finished(0, target, begin)
    counted = connection.execute(_filled("SELECT count(*) FROM FILES", home)).fetchone()
    return measured | {"rows": counted[0] if counted else 0}


def polars_sink(home: Path, out: Path, container: str, wanted: str) -> Measured:
    """Polars' own NDJSON sink; it writes extras as a string, having no raw JSON."""
    del container, wanted
    import polars as pl

    target = out / "polars.ndjson"
    begin = time.perf_counter()
    rows = pl.scan_parquet(data_files(home), hive_partitioning=False)
    rows.select(
        deviceId="device_id",
        name="name",
        timestamp=pl.col("timestamp").dt.strftime("%Y-%m-%dT%H:%M:%S%.3fZ"),
        infoId="info_id",
        sessionId="session_id",
        locationId="location_id",
        jobId="job_id",
        extras="extras",
    ).sink_ndjson(target)
    measured = _finished(0, target, begin)
    return measured | {"rows": rows.select(pl.len()).collect().item()}


def chdb_outfile(home: Path, out: Path, container: str, wanted: str) -> Measured:
    """ClickHouse's JSONEachRow; it writes extras as a string."""
    del container, wanted
    import chdb

    target = out / "chdb.ndjson"
    pattern = str(home / "lake/*/event/*/*.parquet")
    begin = time.perf_counter()
    chdb.query(
        "SELECT device_id AS deviceId, name, "
        "formatDateTime(timestamp, '%Y-%m-%dT%H:%i:%S.%fZ', 'UTC') AS timestamp, "
        "info_id AS infoId, session_id AS sessionId, location_id AS locationId, "
        f"job_id AS jobId, extras FROM file('{pattern}', Parquet) "
        f"INTO OUTFILE '{target}' FORMAT JSONEachRow SETTINGS max_threads={THREADS}"
    )
    measured = _finished(0, target, begin)
    rows = int(str(chdb.query(f"SELECT count() FROM file('{pattern}', Parquet)")).strip())
    return measured | {"rows": rows}


def python_rows(home: Path, out: Path, container: str, wanted: str) -> Measured:
    """A dictionary a row and orjson, as a hand-written exporter does it."""
    del container, wanted
    import orjson
    import pyarrow.parquet as pq

    columns = ["device_id", "name", "timestamp", "info_id", "session_id", "location_id", "extras"]
    rows, target = 0, out / "rows.ndjson"
    begin = time.perf_counter()
    with target.open("wb") as file:
        for path in data_files(home)[:1]:
            for batch in pq.ParquetFile(path).iter_batches(65_536, columns=columns):
                for row in batch.to_pylist():
                    row["extras"] = orjson.Fragment(row["extras"])
                    file.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
                rows += batch.num_rows
    return _finished(rows, target, begin)


_FLAT = (
    f"SELECT device_id AS deviceId, name, {TIMESTAMP} AS timestamp, info_id AS infoId, "
    "session_id AS sessionId, location_id AS locationId, job_id AS jobId, "
    "extras::JSON AS extras FROM FILES"
)
_GROUPED = (
    "SELECT device_id AS deviceId, list(struct_pack("
    f"name := name, timestamp := {TIMESTAMP}, infoId := info_id, sessionId := session_id, "
    "locationId := location_id, extras := extras::JSON) ORDER BY timestamp) AS events "
    "FROM FILES GROUP BY device_id, date_trunc('day', timestamp)"
)


def _filled(query: str, home: Path) -> str:
    return query.replace("FILES", f"read_parquet({data_files(home)!r}, hive_partitioning=false)")


def _settings(home: Path, out: Path) -> Settings:
    return Settings(home=home, local_roots=(out,), allow_loopback_containers=True)


def _request(
    runtime: Runtime, container: str, export_format: ExportFormat, compression: Compression
) -> ExportRequest:
    return ExportRequest(
        app_id=operations.list_apps(runtime)[0].app_id,
        export_type=ExportType.EVENT,
        export_format=export_format,
        compression=compression,
        container_url=container,
        time_range=WHOLE_SPAN,
    )


def _pieces(data: bytes) -> Iterator[memoryview]:
    for begin in range(0, len(data), PIECE_BYTES):
        yield memoryview(data)[begin : begin + PIECE_BYTES]


def _finished(rows: int, target: Path, begin: float) -> Measured:
    """What a peer measured: when it said that it was done, and when its file was on disk."""
    seconds = time.perf_counter() - begin
    with target.open("rb") as file:
        os.fsync(file.fileno())
    synced = time.perf_counter() - begin
    return {
        "rows": rows,
        "bytes": target.stat().st_size,
        "seconds": seconds,
        "synced_seconds": synced,
    }


def _peak_mib() -> float:
    """Peak of this process alone; getrusage counts the parent's memory before the exec too."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


CONTENDERS: dict[str, Callable[[Path, Path, str, str], Measured]] = {
    measure.__name__: measure
    for measure in (
        ours,
        ours_small,
        ready_made,
        duckdb_copy,
        polars_sink,
        chdb_outfile,
        python_rows,
    )
}


def main() -> None:
    """Run the named contender; the output folder is emptied before and after."""
    name, home, out, container, wanted = sys.argv[1:]
    folder = Path(out)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    os.sync()  # what others left in the page cache must not slow this one down
    try:
        measured = CONTENDERS[name](Path(home), folder, container, wanted)
    finally:
        shutil.rmtree(folder)
    measured["peak_mib"] = _peak_mib()
    sys.stdout.write(json.dumps(measured) + "\n")


if __name__ == "__main__":
    main()
