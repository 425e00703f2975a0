"""Narrows exports by receipt, name and column through the whole job, and by words."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from engagement import operations
from engagement.exceptions import InvalidContainerError, InvalidExportError, UnknownAppError
from engagement.model.export_request import ExportRequest
from engagement.model.export_tasks import ExportTask
from engagement.model.exports import (
    CampaignType,
    Compression,
    ExportFormat,
    ExportState,
    ExportType,
    TimeAxis,
    TimeRange,
)
from engagement.operations.estimates import estimate_export
from engagement.runtime.opening import Runtime
from engagement.testing import StoppedClock, open_test_runtime
from support.batches import batch, log
from support.command_line import Shell
from support.waiting import WAIT_SECONDS_MAX

ONE_HOUR = timedelta(hours=1)
ALL_TIME = TimeRange.of_days(date(2010, 1, 1), date(2030, 12, 31))


@pytest.fixture
def clock() -> StoppedClock:
    return StoppedClock()


@pytest.fixture
def runtime(tmp_path: Path, clock: StoppedClock) -> Iterator[Runtime]:
    out = tmp_path / "out"
    out.mkdir()
    with open_test_runtime(
        tmp_path / "home", clock=clock, local_roots=(out,), part_rows_target=100
    ) as runtime:
        yield runtime


@pytest.fixture
def app_id(runtime: Runtime) -> str:
    made = operations.create_app(
        runtime, name="app", collection="apps", resource_group="group", subscription="subscription"
    )
    return made.app.app_id


def take_sample(runtime: Runtime, app_id: str) -> None:
    sample = operations.generate_sample(devices=12, days=3, seed=7)
    operations.import_batches(runtime, app_id=app_id, lines=sample)


def request(
    app_id: str, export_type: ExportType = ExportType.EVENT, **options: Any
) -> ExportRequest:
    """A request for everything of a type; without a container, as an estimate takes it."""
    fields: dict[str, Any] = {"export_format": ExportFormat.NDJSON}
    if export_type.is_historical:
        fields["time_range"] = ALL_TIME
    elif export_type is ExportType.PUSH:
        fields |= {"campaign_type": CampaignType.ANNOUNCEMENT, "time_range": ALL_TIME}
    return ExportRequest(app_id=app_id, export_type=export_type, **(fields | options))


def delivered(runtime: Runtime, folder: Path, wanted: ExportRequest) -> ExportTask:
    """The task of an export into the folder that succeeded and was proved to the lake."""
    url = folder.as_uri()
    created = operations.create_export(runtime, _to(wanted, url))
    task = operations.wait_export(runtime, created.task_id, timeout_seconds=WAIT_SECONDS_MAX)
    assert task.state is ExportState.SUCCEEDED, task.error_details
    proof = operations.verify_export(runtime, container_url=url, folder=task.folder)
    assert proof.compared_with_lake
    assert proof.rows == task.progress.rows_done == task.progress.rows_total
    return task


def _to(wanted: ExportRequest, url: str) -> ExportRequest:
    return replace(wanted, container_url=url)


def lines(folder: Path, task: ExportTask) -> list[dict[str, Any]]:
    parts = sorted((folder / task.folder).glob("part-*.ndjson"))
    return [json.loads(line) for part in parts for line in part.read_bytes().splitlines()]


def manifest(folder: Path, task: ExportTask) -> dict[str, Any]:
    return json.loads((folder / task.folder / "manifest.json").read_bytes())


def test_a_copy_that_is_made_every_hour_misses_nothing(
    runtime: Runtime, app_id: str, clock: StoppedClock, tmp_path: Path
) -> None:
    """Devices report late, so what happened in an hour is not what came in during it."""
    out, found, sent = tmp_path / "out", [], []
    for hour in range(3):
        for late in (0, 1, 20):
            name = f"{hour} {late}"
            sent.append(name)
            body = batch(log("event", day=date(2026, 2, 28) - timedelta(days=late), name=name))
            operations.import_batches(runtime, app_id=app_id, lines=[body])
        span = TimeRange(start=clock.now, end=clock.now + ONE_HOUR)
        clock.now += ONE_HOUR
        task = delivered(
            runtime, out, request(app_id, time_range=span, time_axis=TimeAxis.RECEIVED)
        )
        found += [line["name"] for line in lines(out, task)]
        selection = manifest(out, task)["selection"]
        assert selection["timeAxis"] == "received"
        assert selection["start"] == span.start.isoformat()

    assert sorted(found) == sorted(sent)


@pytest.mark.parametrize(
    "export_format", [item for item in ExportFormat if item.value != "JsonBlob"]
)
def test_names_and_columns_together_are_delivered_and_verified(
    runtime: Runtime, app_id: str, tmp_path: Path, export_format: ExportFormat
) -> None:
    take_sample(runtime, app_id)
    every = lines(tmp_path / "out", delivered(runtime, tmp_path / "out", request(app_id)))
    names = tuple(sorted({item["name"] for item in every})[:2])

    task = delivered(
        runtime,
        tmp_path / "out",
        request(
            app_id,
            export_format=export_format,
            compression=Compression.ZSTD,
            event_names=names,
            columns=("timestamp", "name"),
        ),
    )

    delivered_manifest = manifest(tmp_path / "out", task)
    assert 0 < task.progress.rows_done == sum(item["name"] in names for item in every) < len(every)
    assert delivered_manifest["selection"]["eventNames"] == list(names)
    assert delivered_manifest["selection"]["columns"] == ["timestamp", "name"]
    assert [field["name"] for field in delivered_manifest["fields"]] == ["name", "timestamp"]
    kept = operations.export_manifest(runtime, task.task_id)
    assert kept == (tmp_path / "out" / task.folder / "manifest.json").read_bytes()


def test_an_export_without_options_does_not_speak_of_them(
    runtime: Runtime, app_id: str, tmp_path: Path
) -> None:
    """Manifests of earlier releases are made anew with the same bytes."""
    task = delivered(runtime, tmp_path / "out", request(app_id))

    selection = manifest(tmp_path / "out", task)["selection"]

    assert sorted(selection) == [
        "asOf", "campaignIds", "campaignType", "csvFormulaGuard", "end", "includeUserId", "start",
    ]  # fmt: skip


def test_an_export_needs_a_container_and_columns_that_there_are(
    runtime: Runtime, app_id: str, tmp_path: Path
) -> None:
    unknown = _to(request(app_id, columns=("nme",)), (tmp_path / "out").as_uri())

    with pytest.raises(InvalidContainerError):
        operations.create_export(runtime, request(app_id))
    with pytest.raises(InvalidExportError, match="got 'nme'"):
        operations.create_export(runtime, unknown)
    assert operations.list_exports(runtime, app_id=app_id) == []


@pytest.mark.parametrize("export_type", list(ExportType))
def test_an_estimate_is_never_too_low(
    runtime: Runtime, app_id: str, tmp_path: Path, export_type: ExportType
) -> None:
    take_sample(runtime, app_id)
    half_days = TimeRange(
        start=datetime(2026, 1, 1, 9, tzinfo=UTC), end=datetime(2026, 1, 2, 15, tzinfo=UTC)
    )
    requests = [request(app_id, export_type)]
    if export_type.is_historical:
        requests += [
            request(app_id, export_type, time_range=half_days),
            request(app_id, export_type, time_axis=TimeAxis.RECEIVED),
            request(app_id, export_type, time_axis=TimeAxis.RECEIVED, time_range=half_days),
        ]

    for item in requests:
        before = operations.list_exports(runtime, app_id=app_id)
        estimate = estimate_export(runtime, item)
        assert operations.list_exports(runtime, app_id=app_id) == before
        done = delivered(runtime, tmp_path / "out", item).progress
        assert estimate.rows >= done.rows_done
        # Parts that turn out to be large are cut again, each into about the target's rows.
        cut_again = estimate.rows // runtime.settings.part_rows_target
        assert estimate.parts + cut_again >= done.parts_done
        if (
            item is requests[0]
            and export_type.is_historical
            and export_type is not ExportType.SESSION
        ):
            assert estimate.rows == done.rows_done


def test_bytes_are_estimated_from_exports_that_are_alike(
    runtime: Runtime, app_id: str, tmp_path: Path
) -> None:
    take_sample(runtime, app_id)
    own_request = request(app_id)
    before = estimate_export(runtime, own_request)
    task = delivered(runtime, tmp_path / "out", own_request)

    after = estimate_export(runtime, own_request)
    day = TimeRange.of_days(date(2026, 1, 1), date(2026, 1, 1))
    less = estimate_export(runtime, request(app_id, time_range=day))

    assert before.bytes is None
    assert after.bytes == task.progress.bytes_done
    assert less.bytes is not None
    assert 0 < less.bytes < after.bytes
    assert less.bytes / less.rows == pytest.approx(after.bytes / after.rows, rel=0.05)
    for other in (
        {"export_type": ExportType.ACTIVITY},
        {"export_format": ExportFormat.CSV},
        {"compression": Compression.GZIP},
        {"columns": ("name",)},
        {"include_user_id": True},
    ):
        assert estimate_export(runtime, request(app_id, **other)).bytes is None


def test_an_estimate_of_nothing_is_nothing(runtime: Runtime, app_id: str) -> None:
    for export_type in ExportType:
        estimate = estimate_export(runtime, request(app_id, export_type))
        assert (estimate.rows, estimate.parts, estimate.bytes) == (0, 1, 0)
    with pytest.raises(UnknownAppError):
        estimate_export(runtime, request("0" * 32))
    with pytest.raises(InvalidExportError, match="got 'nme'"):
        estimate_export(runtime, request(app_id, columns=("nme",)))


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Shell, str]:
    """A shell and an app whose sample was imported."""
    shell = Shell(folder=tmp_path_factory.mktemp("narrow"))
    shell.container.mkdir()
    sample = shell.run("sample", "--devices", "12", "--days", "2", "--seed", "3").stdout
    app_id = shell.new_app()
    shell.take(app_id, sample)
    return shell, app_id


def test_the_command_line_narrows_exports(imported: tuple[Shell, str]) -> None:
    shell, app_id = imported
    create = ("export", "create", "Event", "--app", app_id, "--container", str(shell.container))
    days = ("--from", "2026-01-01", "--to", "2026-01-02", "--format", "NdjsonBlob")
    ever = ("--from", "2000-01-01", "--to", "9999-12-30", "--format", "NdjsonBlob")

    every = shell.json(*create, *days)
    names = {line["name"] for line in _lines(shell, every)}
    name = min(names)
    some = shell.json(
        *create, *days, "--event-name", name, "--event-name", "none", "--column", "name"
    )
    happened_then = shell.json(*create, *days, "--time-axis", "received")
    received = shell.json(*create, *ever, "--time-axis", "RECEIVED")

    assert {tuple(line.items()) for line in _lines(shell, some)} == {(("name", name),)}
    assert happened_then["progress"]["rowsDone"] == 0
    assert received["progress"]["rowsDone"] == every["progress"]["rowsDone"] > 0
    for task in (some, received):
        proof = shell.json("verify", str(shell.container / task["folder"]))
        assert proof["rows"] == task["progress"]["rowsDone"]
        assert proof["comparedWithLake"]


def _lines(shell: Shell, task: dict[str, Any]) -> list[dict[str, Any]]:
    parts = (shell.container / task["folder"]).glob("part-*.ndjson")
    return [json.loads(line) for part in parts for line in part.read_bytes().splitlines()]


def test_the_command_line_estimates_exports(imported: tuple[Shell, str]) -> None:
    shell, app_id = imported
    words = ("Crash", "--app", app_id, "--from", "2026-01-01", "--to", "2026-01-02")

    before = shell.json("export", "estimate", *words)
    task = shell.json("export", "create", *words, "--container", str(shell.container))
    after = shell.json("export", "estimate", *words)
    output = shell.run("export", "estimate", *words).stdout.decode()

    assert before == {"rows": task["progress"]["rowsDone"], "parts": 1, "bytes": None}
    assert after == before | {"bytes": task["progress"]["bytesDone"]}
    assert f"up to {before['rows']:,}" in output


@pytest.mark.parametrize(
    "words",
    [
        ("Device", "--time-axis", "received"),
        ("Session", "--from", "2026-01-01", "--to", "2026-01-02", "--event-name", "a"),
        ("Event", "--from", "2026-01-01", "--to", "2026-01-02", "--column", "name"),
        ("Token", "--format", "CsvBlob", "--column", "tokn"),
        ("Event", "--from", "2026-01-01", "--to", "2026-01-02", "--time-axis", "arrived"),
    ],
)
def test_impossible_options_are_refused_by_both_commands(
    imported: tuple[Shell, str], words: tuple[str, ...]
) -> None:
    shell, app_id = imported
    where = ("--container", str(shell.container))

    created = shell.error("export", "create", *words, "--app", app_id, *where, status=2)
    estimated = shell.error("export", "estimate", *words, "--app", app_id, status=2)

    assert created == estimated
    assert created[0] == "InvalidExport"
