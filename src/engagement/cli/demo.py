"""The demonstration: sample data in, every export out, each verified."""

import gzip
import json
import shlex
import shutil
import sys
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engagement.cli.opening import open_service
from engagement.cli.output import AsJson, byte_count, print_json, print_note, print_table
from engagement.exceptions import BadInputError, VerificationError
from engagement.model.export_request import ExportRequest
from engagement.model.export_tasks import ExportTask
from engagement.model.exports import (
    CampaignType,
    Compression,
    ExportFormat,
    ExportState,
    ExportType,
    TimeRange,
)

if TYPE_CHECKING:
    from engagement.runtime.opening import Runtime

MARKER = ".engagement-demo"
"""Says that a folder is a demonstration's own and may be emptied by the next outcome."""
SEED = 1

_WANTED = (
    *((export_type, ExportFormat.JSON, Compression.NONE) for export_type in ExportType),
    (ExportType.EVENT, ExportFormat.NDJSON, Compression.GZIP),
    (ExportType.ACTIVITY, ExportFormat.CSV, Compression.ZSTD),
    (ExportType.SESSION, ExportFormat.PARQUET, Compression.NONE),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One export of the demonstration."""

    export_type: ExportType
    """What it delivered."""
    export_format: ExportFormat
    """How rows are written."""
    compression: Compression
    """How parts are compressed."""
    rows: int
    """Rows delivered and verified."""
    bytes: int
    """Size of the parts."""
    files: int
    """Parts, without the manifest."""
    seconds: float
    """From create to Succeeded."""
    folder: str
    """Where the files are, below the container."""
    compared_with_lake: bool
    """Whether the rows were compared with the pinned tables."""


def demo(
    output: Annotated[Path, typer.Option(help="Folder of everything.")] = Path("demo-output"),
    devices: Annotated[int, typer.Option(min=1, help="How many devices report.")] = 400,
    days: Annotated[int, typer.Option(min=1, help="How many days they report.")] = 14,
    as_json: AsJson = False,
) -> None:
    """Generate a sample, import it, run all twelve exports into a folder and verify each."""
    container = _fresh(output)
    sample = output / "sample.ndjson.gz"
    covered = _write_sample(sample, devices=devices, days=days)
    from engagement.settings import Settings

    settings = Settings(home=output / "home", local_roots=(container.resolve(),))
    with open_service(settings, run_tasks=True) as runtime:
        app_id = _import(runtime, sample)
        url = container.resolve().as_uri()
        outcomes = [_export(runtime, app_id, url, covered, *wanted) for wanted in _WANTED]
    if as_json:
        print_json(outcomes)
        return
    _print_outcomes(outcomes)
    _print_next(output, outcomes)


def _fresh(output: Path) -> Path:
    """Return the empty folder of exports; what an earlier demonstration left goes, nothing else."""
    if output.exists() and any(output.iterdir()):
        if not (output / MARKER).is_file():
            raise BadInputError(
                f"The output must be a new folder or an earlier demonstration's, got {output}."
            )
        shutil.rmtree(output)
    container = output / "exports"
    container.mkdir(parents=True)
    (output / MARKER).touch()
    return container


def _write_sample(path: Path, *, devices: int, days: int) -> TimeRange:
    """Write the sample and say which days it covers."""
    from engagement import operations

    sent: set[str] = set()
    with gzip.open(path, "wb", compresslevel=1) as stream:
        for line in operations.generate_sample(devices=devices, days=days, seed=SEED):
            sent.add(json.loads(line)["sentAt"][:10])
            stream.write(line if line.endswith(b"\n") else line + b"\n")
    # Records are older than the batch that carries them, by a day at most.
    first = date.fromordinal(date.fromisoformat(min(sent)).toordinal() - 1)
    return TimeRange.of_days(first, date.fromisoformat(max(sent)))


def _import(runtime: "Runtime", sample: Path) -> str:
    from engagement import operations

    made = operations.create_app(
        runtime,
        name="demo",
        collection="demo-collection",
        resource_group="demo-group",
        subscription="00000000-0000-0000-0000-000000000000",
    )
    with sample.open("rb") as stream:
        summary = operations.import_batches(
            runtime,
            app_id=made.app.app_id,
            lines=operations.read_lines(stream),
            on_refused=lambda _: None,
            on_progress=lambda _: None,
        )
    refused = sum(summary.refused.values())
    print_note(
        f"Imported {summary.accepted:,} logs in {summary.batches:,} batches "
        f"({byte_count(summary.bytes)}), {refused} refused."
    )
    return made.app.app_id


def _export(
    runtime: "Runtime",
    app_id: str,
    container: str,
    covered: TimeRange,
    export_type: ExportType,
    export_format: ExportFormat,
    compression: Compression,
) -> Outcome:
    from engagement import operations

    is_push = export_type is ExportType.PUSH
    request = ExportRequest(
        app_id=app_id,
        export_type=export_type,
        export_format=export_format,
        compression=compression,
        container_url=container,
        time_range=covered if export_type.is_historical or is_push else None,
        campaign_type=CampaignType.ANNOUNCEMENT if is_push else None,
    )
    task = operations.wait_export(runtime, operations.create_export(runtime, request).task_id)
    if task.state is not ExportState.SUCCEEDED:
        raise VerificationError(f"The {export_type} export {task.state}: {task.error_details}.")
    proof = operations.verify_export(runtime, container_url=container, folder=task.folder)
    return Outcome(
        export_type=export_type,
        export_format=export_format,
        compression=compression,
        rows=proof.rows,
        bytes=proof.bytes,
        files=proof.parts,
        seconds=_seconds(task),
        folder=task.folder,
        compared_with_lake=proof.compared_with_lake,
    )


def _seconds(task: ExportTask) -> float:
    if task.completed_at is None:
        return 0.0
    return round((task.completed_at - task.created_at).total_seconds(), 3)


def _print_outcomes(outcomes: list[Outcome]) -> None:
    rows = [
        (
            outcome.export_type.value,
            outcome.export_format.value,
            outcome.compression.value,
            f"{outcome.rows:,}",
            f"{outcome.bytes:,}",
            str(outcome.files),
            f"{outcome.seconds:.2f}",
            "yes, with the lake" if outcome.compared_with_lake else "yes",
        )
        for outcome in outcomes
    ]
    columns = (
        "export", "format", "compression", ">rows", ">bytes", ">files", ">seconds", "verified",
    )  # fmt: skip
    print_table("Exports", columns, rows)


def _print_next(output: Path, outcomes: list[Outcome]) -> None:
    program = sys.argv[0] if Path(sys.argv[0]).name == "engagement" else "engagement"
    home = f"ENGAGEMENT_HOME={shlex.quote(str(output / 'home'))} {program}"
    folder = output / "exports" / outcomes[0].folder
    sys.stdout.write(
        "Try next:\n"
        f"  head -c 600 {shlex.quote(str(folder / 'part-00000.json'))}\n"
        f"  {home} verify {shlex.quote(str(folder))}\n"
        f"  {home} export list\n"
        "See it in the console: start the server, then open what the second command prints:\n"
        f"  {home} serve\n"
        f"  {home} console\n"
    )
