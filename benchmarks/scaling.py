"""Simulates exports of any size on any number of workers, by times that were recorded here.

    python -m benchmarks.scaling record      # writes benchmarks/part_times.json
    python -m benchmarks.scaling simulate    # prints a table, and draws docs/images/scaling.svg

The parts are those of the service's own planner, and queued as its workflow queues them: so many
ahead of the oldest that has not ended. What is simulated is time alone.
"""

import heapq
import itertools
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.data import lake_of
from engagement import operations
from engagement.exceptions import EngagementError
from engagement.export import workflow
from engagement.export.plan import plan_parts
from engagement.export.steps import ExportSteps
from engagement.export.workflow import ExportWorkflow, choose_ahead
from engagement.model.export_request import ExportRequest
from engagement.model.exports import ExportFormat, ExportState, ExportType, TimeRange
from engagement.model.records import Kind
from engagement.runtime.engine import QUEUE_POLL_SECONDS
from engagement.runtime.opening import open_service
from engagement.settings import Settings
from engagement.store.data_files import DataFile

RECORDED = Path(__file__).with_name("part_times.json")
CHART = Path(__file__).parents[1] / "docs" / "images" / "scaling.svg"
EVENTS = 4_000_000
SMALL_PARTS = 60
FILE_ROWS = 1_000_000
"""As compaction leaves them."""
DAYS = 365
SLOTS_PER_WORKER = 2
WORKERS = (1, 2, 5, 10, 20, 50, 100)
TARGETS = (500_000, 2_500_000)
"""Rows that a part aims at: the default, and what is for large exports."""
CASES = ((10**9, 10), (10**9, 100), (10**10, 100), (10**11, 100))
WAIT_SECONDS_MAX = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What one machine took."""

    bytes_per_row: float
    """Of the lake's Parquet files."""
    parts: Sequence[tuple[int, float]]
    """Rows and seconds of each part that was written, one at a time on one thread."""
    plan_part_seconds: float
    """Of the planning of an export, for each of its parts."""
    finish_part_seconds: float
    """Of its end, likewise."""
    enqueue_seconds: float
    """Of putting one part into the queue, on PostgreSQL."""
    between_seconds: float
    """From a part's end to the next one's begin in the same slot, on PostgreSQL."""


def record() -> None:
    """Record an export of large parts from a folder, and one of tiny parts on PostgreSQL."""
    home = lake_of(EVENTS)
    files = [path.stat().st_size for path in home.glob("lake/*/event/date=*/*.parquet")]
    with tempfile.TemporaryDirectory() as out:
        large = _record_export(Settings(home=home, local_roots=(Path(out),)), Path(out))
        tiny = _record_tiny(Path(out))
    starts = [begin for begin, _ in tiny["write_part"]]
    ends = [end for _, end in tiny["write_part"]]
    rows = EVENTS // len(large["write_part"])
    RECORDED.write_text(
        json.dumps(
            {
                "bytes_per_row": round(sum(files) / EVENTS, 2),
                "parts": [[rows, round(end - begin, 4)] for begin, end in large["write_part"]],
                "plan_part_seconds": _each(large, "freeze"),
                "finish_part_seconds": _each(large, "finish"),
                "enqueue_seconds": round(_median(tiny["_enqueue_part"]), 5),
                "between_seconds": round(
                    statistics.median(
                        begin - end for begin, end in zip(starts[1:], ends, strict=False)
                    ),
                    5,
                ),
            },
            indent=1,
        )
        + "\n"
    )


def _record_tiny(out: Path) -> dict[str, list[tuple[float, float]]]:
    """Parts of one event each, on PostgreSQL and object storage."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    from support.batches import DAY, batch, log
    from support.bucket_lake import lake_environment
    from support.postgres import open_postgres
    from support.servers import running_s3
    from support.whole_service import accept_batches, register_app

    with ExitStack() as closing:
        s3 = closing.enter_context(running_s3())
        environment = lake_environment(s3)
        # Not settings of the service: what reaches object storage finds them there.
        os.environ.update({name: environment[name] for name in environment if "AWS" in name})  # noqa: TID251
        settings = Settings(
            home=out / "home",
            state_url=closing.enter_context(open_postgres(is_durable=True)),
            lake_url=environment["ENGAGEMENT_LAKE_URL"],
            vault_key="A" * 43 + "=",
            local_roots=(out,),
            part_rows_target=1,
            parts_concurrent_max=1,
        )
        with open_service(settings, run_tasks=False) as runtime:
            app_id = register_app(runtime).app_id
            for number in range(SMALL_PARTS):
                device = f"{number:032x}"
                accept_batches(
                    runtime, app_id, batch(log("event"), device=device, batch_id=str(number))
                )
        span = TimeRange.of_days(DAY - timedelta(days=9), DAY + timedelta(days=9))
        return _record_export(settings, out, span)


def _record_export(
    settings: Settings, out: Path, span: TimeRange | None = None
) -> dict[str, list[tuple[float, float]]]:
    """When each call of the workflow and its steps began and ended."""
    found: dict[str, list[tuple[float, float]]] = {}
    watched: list[tuple[type, str]] = [
        (ExportSteps, "freeze"),
        (ExportSteps, "write_part"),
        (ExportSteps, "finish"),
        (ExportWorkflow, "_enqueue_part"),
    ]
    for owner, name in watched:
        setattr(owner, name, _timed(getattr(owner, name), found.setdefault(name, [])))
    slot = settings.model_copy(update={"parts_concurrent_max": 1})
    with open_service(slot) as runtime:
        request = ExportRequest(
            app_id=operations.list_apps(runtime)[0].app_id,
            export_type=ExportType.EVENT,
            export_format=ExportFormat.NDJSON,
            container_url=f"file://{out}",
            time_range=span or TimeRange.of_days(date(2026, 1, 1), date(2026, 12, 31)),
        )
        task = operations.create_export(runtime, request)
        task = operations.wait_export(runtime, task.task_id, timeout_seconds=WAIT_SECONDS_MAX)
        if task.state is not ExportState.SUCCEEDED:
            raise EngagementError(f"The export must succeed, got {task.error_details}.")
    return found


def _timed(call: Callable[..., Any], found: list[tuple[float, float]]) -> Callable[..., Any]:
    while hasattr(call, "untimed"):
        call = call.untimed

    def timed(*given: Any, **named: Any) -> Any:
        begin = time.perf_counter()
        result = call(*given, **named)
        found.append((begin, time.perf_counter()))
        return result

    timed.untimed = call  # type: ignore[attr-defined]
    return timed


def _median(spans: Sequence[tuple[float, float]]) -> float:
    return statistics.median(end - begin for begin, end in spans)


def _each(found: Mapping[str, list[tuple[float, float]]], name: str) -> float:
    return round(_median(found[name]) / len(found["write_part"]), 5)


def read_recorded() -> Recorded:
    """What was recorded last."""
    return Recorded(**json.loads(RECORDED.read_text()))


@cache
def plan_sizes(rows: int, target: int, bytes_per_row: float) -> list[int]:
    """The rows of each part that the planner makes of an app with so many events."""
    files = []
    first = datetime(2026, 1, 1, tzinfo=UTC)
    per_day = max(1, rows // FILE_ROWS // DAYS)
    for day, number in itertools.product(range(DAYS), range(per_day)):
        begin = first + timedelta(days=day)
        devices = [f"{place * 16**16 // per_day:016x}" for place in (number, number + 1)]
        files.append(
            DataFile(
                path=f"date={begin.date()}/{number}.parquet",
                bytes=round(bytes_per_row * FILE_ROWS),
                rows=FILE_ROWS,
                day=begin.date(),
                device_min=devices[0] + "0" * 16,
                device_max=f"{int(devices[1] + '0' * 16, 16) - 1:032x}",
                time_min=begin,
                time_max=begin + timedelta(hours=23),
            )
        )
    span = TimeRange.of_days(first.date(), first.date() + timedelta(days=DAYS - 1))
    parts = plan_parts(
        ExportType.EVENT, {Kind.EVENT: files}, time_range=span, part_rows_target=target
    )
    total = FILE_ROWS * len(files)
    known = sum(part.rows or 0 for part in parts)
    unknown = sum(part.rows is None for part in parts)
    return [(total - known) // unknown if part.rows is None else part.rows for part in parts]


def simulate(
    sizes: Sequence[int], slots: int, recorded: Recorded, *, counts_in_parts: bool = False
) -> tuple[float, float]:
    """The seconds of an export, and which share of its slots' time is spent on parts.

    Args:
        sizes: The rows of its parts.
        slots: How many are written at a time.
        recorded: What one slot takes.
        counts_in_parts: Whether each part is counted where it is written, not before all of them.
    """
    dice = random.Random(1)  # noqa: S311 - a simulation
    plan = recorded.plan_part_seconds * len(sizes)
    own = recorded.plan_part_seconds if counts_in_parts else 0.0
    work = [rows * _second_a_row(dice, recorded) + own for rows in sizes]
    ends: dict[int, float] = {}
    begin = 0.0 if counts_in_parts else plan
    free = [begin] * slots
    heapq.heapify(free)
    waiting: deque[int] = deque()
    indexes = iter(range(len(sizes)))
    ahead, clock = choose_ahead(slots), begin
    while True:
        for index in itertools.islice(indexes, ahead - len(waiting)):
            clock += recorded.enqueue_seconds
            # Whichever slot is free first sees it at its next look at the queue.
            seen = max(heapq.heappop(free) + recorded.between_seconds, clock)
            ends[index] = seen + dice.uniform(0, QUEUE_POLL_SECONDS) + work[index]
            heapq.heappush(free, ends[index])
            waiting.append(index)
        if not waiting:
            break
        clock = _noticed(clock, ends[waiting.popleft()])
    seconds = clock + recorded.finish_part_seconds * len(sizes)
    return seconds, sum(work) / slots / seconds


def _second_a_row(dice: random.Random, recorded: Recorded) -> float:
    rows, seconds = dice.choice(recorded.parts)
    return seconds / rows


def _noticed(since: float, end: float) -> float:
    """When the workflow that has waited since then sees that a part has ended."""
    pause = workflow.RESULT_POLL_SECONDS
    while since < end:
        since += pause
        pause = min(pause * workflow.RESULT_POLL_GROWTH, workflow.RESULT_POLL_SECONDS_MAX)
    return since


def tabulate(recorded: Recorded) -> Iterator[str]:
    """The rows of the table of the documentation."""
    for rows, workers in CASES:
        slots = workers * SLOTS_PER_WORKER
        cells = []
        for target, counts in ((TARGETS[0], False), (TARGETS[1], False), (TARGETS[1], True)):
            sizes = plan_sizes(rows, target, recorded.bytes_per_row)
            seconds, efficiency = simulate(sizes, slots, recorded, counts_in_parts=counts)
            cells.append(f"{seconds / 60:.1f} min, {efficiency:.2f}")
        exponent = len(str(rows)) - 1
        yield f"| 10^{exponent}, {workers} | {' | '.join(cells)} |"


def draw(recorded: Recorded) -> None:
    """A line a size: efficiency over workers, with large parts that are counted where written."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "benchmarks"
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 4))
    for exponent in (9, 10, 11):
        for target, counts, style in ((TARGETS[0], False, ":"), (TARGETS[1], True, "-")):
            sizes = plan_sizes(10**exponent, target, recorded.bytes_per_row)
            found = [
                simulate(sizes, count * SLOTS_PER_WORKER, recorded, counts_in_parts=counts)[1]
                for count in WORKERS
            ]
            axes.plot(WORKERS, found, style, label=f"$10^{{{exponent}}}$ rows, parts of {target:,}")
    axes.set_xscale("log")
    axes.set_xticks(WORKERS, [str(count) for count in WORKERS])
    axes.set_ylim(0, 1)
    axes.set_xlabel(f"workers of {SLOTS_PER_WORKER} slots")
    axes.set_ylabel("share of the slots' time spent on parts")
    axes.legend(fontsize=7)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(CHART, bbox_inches="tight", metadata={"Date": None})


def main() -> None:
    """Do what the command line says."""
    if sys.argv[1:] == ["record"]:
        record()
        return
    recorded = read_recorded()
    print("\n".join(tabulate(recorded)))
    draw(recorded)


if __name__ == "__main__":
    main()
