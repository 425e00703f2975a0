"""Runs every contender and says which targets are reached.

python -m benchmarks [--events N] [--memory-events N] [--repeats N]
    [--collect-seconds N] [--only TEXT] [--record]
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import report
from benchmarks.contenders import Measured
from benchmarks.data import OUTPUT, lake_of

SMALL_EVENTS = 1_000
MEMORY_MIB_MAX = 700
SECONDS_MAX = 1_200
SEGMENT_SECONDS = 60


@dataclass(slots=True, kw_only=True)
class Bench:
    """Runs contenders, each in a process of its own, and remembers the best of each."""

    repeats: int
    best: dict[str, Measured] = field(default_factory=dict)

    def run(self, name: str, home: Path, wanted: str = "-", container: str = "") -> Measured:
        """The contender's best run so far, after one more."""
        out = OUTPUT / "out"
        command = [sys.executable, "-m", "benchmarks.contenders", name, str(home), str(out)]
        measured = _measured([*command, container or f"file://{out}", wanted])
        key = " ".join([name, wanted, home.name, "azurite" if container else "local"])
        known = self.best.get(key)
        if known is None or measured["seconds"] < known["seconds"]:
            self.best[key] = measured
        return self.best[key]

    def all_of(self, home: Path, *contenders: tuple[str, str]) -> list[Measured]:
        """The best of several contenders, taking turns so that a slow moment hits all alike."""
        for _ in range(self.repeats):
            found = [self.run(name, home, wanted) for name, wanted in contenders]
        return found


def _measured(command: list[str]) -> Measured:
    environment = os.environ | {"POLARS_MAX_THREADS": "2"}  # noqa: TID251 - of a child
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=SECONDS_MAX, check=False, env=environment
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr[-2000:]}")
    measured: Measured = json.loads(done.stdout.splitlines()[-1])
    return measured


def ndjson(bench: Bench, home: Path) -> list[report.Row]:
    """NDJSON to a local folder against the engines' own writers."""
    ours, duckdb, polars, chdb = bench.all_of(
        home,
        ("ours", "NdjsonBlob+none"),
        ("duckdb_copy", "flat+none"),
        ("polars_sink", "-"),
        ("chdb_outfile", "-"),
    )
    rows = bench.run("python_rows", home)
    return [
        report.rate("NDJSON / DuckDB COPY (FORMAT json)", ours, duckdb, 1.3),
        report.rate("NDJSON / Polars sink_ndjson", ours, polars, 1.3),
        report.rate("NDJSON / chDB JSONEachRow", ours, chdb, 1.3),
        report.rate("NDJSON / Python, a dict a row, orjson", ours, rows, 8.0, same_rows=False),
    ]


def grouped(bench: Bench, home: Path) -> list[report.Row]:
    """JsonBlob grouped per device."""
    ours, duckdb = bench.all_of(home, ("ours", "JsonBlob+none"), ("duckdb_copy", "grouped+none"))
    return [report.rate("JsonBlob / DuckDB list(… ORDER BY)", ours, duckdb, 2.0)]


def compressed(bench: Bench, home: Path) -> list[report.Row]:
    """Gzip NDJSON."""
    ours = bench.all_of(home, ("ours", "NdjsonBlob+gzip"))[0]
    duckdb = bench.run("duckdb_copy", home, "flat+gzip")
    return [report.rate("gzip NDJSON / DuckDB gzip COPY", ours, duckdb, 4.0)]


def sinks(bench: Bench, home: Path, smaller: Path) -> list[report.Row]:
    """Wall time against writing the same bytes, ready made, to the same sink."""
    wanted = "NdjsonBlob+none"
    ours, ready = bench.all_of(home, ("ours", wanted), ("ready_made", wanted))
    rows = [report.wall("local, NDJSON / same bytes ready made", ours, ready, 1.5)]
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    from support.servers import running_azurite  # the same Azurite as the tests use

    with running_azurite() as azurite:
        url = azurite.container("bench").write_url
        ours, ready = (
            bench.run(contender, smaller, wanted, url) for contender in ("ours", "ready_made")
        )
        rows.append(
            report.wall("Azurite, a tenth as many events / same ready made", ours, ready, 1.5)
        )
    return rows


def memory(bench: Bench, sizes: list[int]) -> list[report.Row]:
    """Peak memory and time a row as exports grow."""
    found = [bench.run("ours", lake_of(size), "NdjsonBlob+gzip") for size in sizes]
    small, middle, large = found
    return [
        *(
            report.limit(f"peak MiB, {size:,} events", measured["peak_mib"], MEMORY_MIB_MAX)
            for size, measured in zip(sizes, found, strict=True)
        ),
        report.limit(
            f"peak at {sizes[2]:,} / at {sizes[1]:,}", large["peak_mib"] / middle["peak_mib"], 1.1
        ),
        report.limit(
            f"time a row at {sizes[2]:,} / at {sizes[0]:,}",
            (large["seconds"] / large["rows"]) / (small["seconds"] / small["rows"]),
            1.1,
        ),
    ]


def small(bench: Bench) -> list[report.Row]:
    """Tiny exports, from the request to Succeeded."""
    found = bench.run("ours_small", lake_of(SMALL_EVENTS))
    return [report.limit("median seconds of a 1,000-row export", found["seconds"], 1.0)]


def flush(batches: int) -> list[report.Row]:
    """Inbox to lake on one core."""
    found = _measured([sys.executable, "-m", "benchmarks.flushing", str(batches)])
    return [
        report.floor("flush, logs/s on one core", found["flushed_per_second"], 200_000),
        report.fact("decode and validate, logs/s on one core", found["decoded_per_second"]),
        report.fact("accept durably, logs/s on one core", found["accepted_per_second"]),
    ]


def polling() -> list[report.Row]:
    """Status polls against the bare framework answering the same bytes."""
    found = _measured([sys.executable, "-m", "benchmarks.serving", "polling"])
    whats = {
        "idle": "status polls, 1,000 tasks / bare framework",
        "busy": "the same while two exports of 15,000,000 events run / bare beside them",
    }
    return [
        report.answers(
            what,
            {name: found[f"{when}_ours_{name}"] for name in ("per_second", "p99_ms")},
            {name: found[f"{when}_bare_{name}"] for name in ("per_second", "p99_ms")},
            0.5,
        )
        for when, what in whats.items()
    ]


def fairness() -> list[report.Row]:
    """Small exports while large ones run."""
    found = _measured([sys.executable, "-m", "benchmarks.serving", "fairness"])
    return [
        report.limit("50 exports of 20 apps: slowest small one, s", found["small_seconds"], 30),
        report.floor("large ones still running then", found["large_still_running"], 1),
        report.fact("seconds of the slowest large one", found["large_seconds"]),
    ]


def collect(seconds: int) -> list[report.Row]:
    """What devices post, as fast as it is taken in, and four times as fast."""
    native, tracking, exported, beyond = (
        _measured([sys.executable, "-m", "benchmarks.collecting", name, str(lasting)])
        for name, lasting in (
            ("sustained", seconds),
            ("segment", min(seconds, SEGMENT_SECONDS)),
            ("exportable", 0),
            ("overload", seconds),
        )
    )
    group, bare = native["batches_a_transaction"], native["bare_logs_per_second"]
    return [
        report.floor("collect: native logs/s, gzip, synced", native["logs_per_second"], 60_000),
        report.limit("collect: p99 of these, ms", native["p99_ms"], 500),
        report.limit("collect: memory of server and worker, MiB", native["peak_mib"], 512),
        report.limit("collect: longest wait for the lake, s", native["lag_seconds"], 30),
        report.floor(
            f"collect: × bare loop of {group:.0f} batches a transaction, {bare:,.0f} logs/s",
            native["ratio"],
            0.4,
        ),
        report.fact(
            "collect: the same posted to bare FastAPI that forgets it, logs/s",
            native["bare_framework_logs_per_second"],
        ),
        report.floor("collect: tracking messages/s", tracking["logs_per_second"], 20_000),
        report.limit(
            "collect: from the answer to an export with it, s", exported["median_seconds"], 1.0
        ),
        report.fact("collect: slowest of ten such exports, s", exported["slowest_seconds"]),
        report.floor(
            "collect: goodput at 4 × the rate / at the rate",
            beyond["logs_per_second"] / native["logs_per_second"],
            0.9,
        ),
        report.limit("collect: p99 of what is admitted then, ms", beyond["p99_ms"], 1_000),
        report.limit("collect: answers but 202, 429 and 503", beyond["other_answers"], 0),
    ]


def main() -> None:
    """Measure, print, write and record."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--memory-events", type=int, default=50_000_000)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--collect-seconds", type=int, default=300)
    parser.add_argument("--only", default="", help="parts and groups whose names contain this")
    parser.add_argument("--record", action="store_true", help="update the documentation")
    given = parser.parse_args()
    OUTPUT.mkdir(exist_ok=True)
    bench = Bench(repeats=given.repeats)
    sizes = [max(given.events // 10, 1), given.events, given.memory_events]
    parts: dict[str, dict[str, Callable[[], list[report.Row]]]] = {
        "exports": {
            "ndjson": lambda: ndjson(bench, lake_of(given.events)),
            "grouped": lambda: grouped(bench, lake_of(given.events)),
            "compressed": lambda: compressed(bench, lake_of(given.events)),
            "sinks": lambda: sinks(bench, lake_of(given.events), lake_of(sizes[0])),
            "small": lambda: small(bench),
            "flush": lambda: flush(given.events // 1_000),
            "memory": lambda: memory(bench, sizes),
        },
        "server": {
            "polling": polling,
            "fairness": fairness,
            "collect": lambda: collect(given.collect_seconds),
        },
    }
    for part, groups in parts.items():
        wanted = [group for name, group in groups.items() if given.only in f"{part} {name}"]
        rows = [row for group in wanted for row in group()]
        if rows:
            is_whole = len(wanted) == len(groups)
            report.publish(rows, bench.best, record=part if given.record and is_whole else None)
    shutil.rmtree(OUTPUT / "out", ignore_errors=True)


if __name__ == "__main__":
    main()
