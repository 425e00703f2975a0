"""Judges what was measured, prints it, and draws it for the documentation."""

import json
import platform
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.contenders import Measured
from benchmarks.data import OUTPUT

DOCUMENTS = Path(__file__).parents[1] / "docs"
PAGE = DOCUMENTS / "reference" / "benchmarks.md"
CHART = DOCUMENTS / "images" / "benchmarks.svg"
BEGIN, END = "<!-- measured: {} -->", "<!-- end of measured: {} -->"
EXACT_BELOW = 100
PACKAGES = ("engagement-export", "polars", "duckdb", "chdb", "deltalake", "dbos", "obstore")
_NAMES = {
    "ours NdjsonBlob+none": "NDJSON, this service",
    "duckdb_copy flat+none": "NDJSON, DuckDB COPY",
    "polars_sink -": "NDJSON, Polars sink_ndjson",
    "chdb_outfile -": "NDJSON, chDB JSONEachRow",
    "python_rows -": "NDJSON, Python dict + orjson",
    "ours JsonBlob+none": "JSON a device, this service",
    "duckdb_copy grouped+none": "JSON a device, DuckDB list()",
    "ours NdjsonBlob+gzip": "gzip NDJSON, this service",
    "duckdb_copy flat+gzip": "gzip NDJSON, DuckDB COPY",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table."""

    what: str
    """What is compared."""
    measured: str
    """The figure, with what it was made of."""
    target: str
    """What it must reach."""
    reached: bool | None
    """Whether it does; None where there is no target."""


def rate(
    what: str, ours: Measured, peer: Measured, target: float, *, same_rows: bool = True
) -> Row:
    """Rows a second against a peer's."""
    if same_rows and ours["rows"] != peer["rows"]:
        return Row(
            what=what,
            measured=f"wrong: {ours['rows']:,} and {peer['rows']:,} rows",
            target=f"≥ {target} ×",
            reached=False,
        )
    speeds = [run["rows"] / run["seconds"] for run in (ours, peer)]
    ratio = speeds[0] / speeds[1]
    synced = speeds[0] * peer["synced_seconds"] / peer["rows"]
    figures = f"{speeds[0]:,.0f} / {speeds[1]:,.0f} rows/s; peer synced {synced:.2f} ×"
    measured = f"{ratio:.2f} × ({figures})"
    return Row(what=what, measured=measured, target=f"≥ {target} ×", reached=ratio >= target)


def wall(what: str, ours: Measured, ready: Measured, target: float) -> Row:
    """Wall time against that of writing the same bytes."""
    ratio = ours["seconds"] / ready["seconds"]
    speeds = [run["bytes"] / run["seconds"] / 1e6 for run in (ours, ready)]
    measured = f"{ratio:.2f} × ({speeds[0]:,.0f} / {speeds[1]:,.0f} MB/s)"
    return Row(what=what, measured=measured, target=f"≤ {target} ×", reached=ratio <= target)


def answers(what: str, ours: Measured, bare: Measured, target: float) -> Row:
    """Answers a second against the bare framework's, with the slowest hundredth."""
    ratio = ours["per_second"] / bare["per_second"]
    figures = " / ".join(
        f"{run['per_second']:,.0f} a second, p99 {run['p99_ms']:.0f} ms" for run in (ours, bare)
    )
    return Row(
        what=what,
        measured=f"{ratio:.2f} × ({figures})",
        target=f"≥ {target} ×",
        reached=ratio >= target,
    )


def limit(what: str, measured: float, target: float) -> Row:
    """A figure that must not be above its target."""
    return Row(
        what=what, measured=f"{measured:,.2f}", target=f"≤ {target:,}", reached=measured <= target
    )


def floor(what: str, measured: float, target: float) -> Row:
    """A figure that must not be below its target."""
    return Row(
        what=what, measured=_figure(measured), target=f"≥ {target:,}", reached=measured >= target
    )


def fact(what: str, measured: float) -> Row:
    """A figure without a target."""
    return Row(what=what, measured=_figure(measured), target="", reached=None)


def _figure(measured: float) -> str:
    return f"{measured:,.0f}" if measured >= EXACT_BELOW else f"{measured:.2f}"


def publish(rows: list[Row], best: dict[str, Measured], *, record: str | None) -> None:
    """Print the table, write it as JSON, and put table and chart into the documentation.

    Args:
        rows: What was measured.
        best: The best run of each contender.
        record: The part of the documentation that the rows make up, if they shall be put there.
    """
    machine = _machine()
    table = Table(title="Benchmarks", caption=machine)
    for heading in ("what", "measured", "target", ""):
        table.add_column(heading)
    for row in rows:
        table.add_row(row.what, row.measured, row.target, _verdict(row))
    Console(width=130).print(table)
    content = {"machine": machine, "rows": [asdict(row) for row in rows], "runs": best}
    (OUTPUT / "results.json").write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n")
    if record is not None:
        _record(rows, machine, record)
    if best and record is not None:
        _draw(best)


def _record(rows: list[Row], machine: str, part: str) -> None:
    begin, end = BEGIN.format(part), END.format(part)
    lines = ["| what | measured | target | |", "|---|---|---|---|"]
    lines += [f"| {row.what} | {row.measured} | {row.target} | {_verdict(row)} |" for row in rows]
    head, _, rest = PAGE.read_text().partition(begin)
    _, _, tail = rest.partition(end)
    body = "\n".join(["", machine, "", *lines, ""])
    PAGE.write_text(f"{head}{begin}\n{body}\n{end}{tail}")


def _draw(best: dict[str, Measured]) -> None:
    """A bar a contender, in rows a second."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "benchmarks"
    from matplotlib import pyplot as plt

    bars: dict[str, float] = {}
    for key, measured in best.items():
        name = _NAMES.get(" ".join(key.split(" ")[:2]))
        if name is not None and key.endswith("local"):
            bars[name] = max(bars.get(name, 0), measured["rows"] / measured["seconds"])
    figure, axes = plt.subplots(figsize=(8, 0.5 * len(bars) + 1.2))
    colours = ["#0b6e4f" if "this service" in name else "#9aa5b1" for name in bars]
    drawn = axes.barh(list(bars), [rate / 1e6 for rate in bars.values()], color=colours)
    axes.bar_label(drawn, fmt="%.2f", padding=3)
    axes.invert_yaxis()
    axes.set_xlabel("million rows a second, two threads")
    axes.spines[["top", "right"]].set_visible(False)
    CHART.parent.mkdir(exist_ok=True)
    figure.savefig(CHART, bbox_inches="tight", metadata={"Date": None})


def _verdict(row: Row) -> str:
    return {True: "reached", False: "missed", None: ""}[row.reached]


def _machine() -> str:
    info = Path("/proc/cpuinfo").read_text()
    models = [line.partition(":")[2].strip() for line in info.splitlines() if "model name" in line]
    total = int(Path("/proc/meminfo").read_text().split()[1]) // 1024**2
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    processor = f"{len(models)} × {models[0] if models else platform.processor()}"
    return (
        f"{processor}, {total} GiB, Linux {platform.release()}, "
        f"Python {platform.python_version()}; {packages}"
    )
