"""Uses the Python client as its users do: against a server, into Azurite, and back."""

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from itertools import chain, repeat
from pathlib import Path
from typing import Any, get_args

import polars as pl
import pyarrow as pa
import pytest

import engagement
from engagement.client.frame_kinds import FrameKind
from engagement.exceptions import (
    BadInputError,
    CancelledError,
    DestinationError,
    ErrorCode,
    ForbiddenError,
    IdempotencyKeyReusedError,
    IllegalStateError,
    InvalidExportError,
    NotAuthenticatedError,
    ServerUnreachableError,
    UnknownAppError,
    UnknownTaskError,
    VerificationError,
)
from engagement.model.export_tasks import ExportTask
from engagement.model.exports import Compression, ExportFormat, ExportState, ExportType
from support.export_files import read_part
from support.server_process import (
    FIRST_APP,
    Credentials,
    RunningServer,
    import_sample,
    running_server,
)
from support.servers import AzureContainer, Azurite
from support.waiting import WAIT_SECONDS_MAX, join_threads

DAYS = {"start": date(2000, 1, 1), "end": date(2100, 1, 1)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A server with a sample in its first app, and an owner of it."""

    server: RunningServer
    owner: Credentials

    def client(self, credentials: Credentials | None = None, **more: Any) -> engagement.Client:
        """A client with a secret; the owner's if no other is given."""
        who = credentials or self.owner
        return engagement.Client(
            self.server.address,
            tenant_id=who.tenant_id,
            client_id=who.client_id,
            client_secret=who.client_secret,
            **more,
        )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("client")
    import_sample(folder / "home", devices=20, days=3, seed=5)
    settings = {
        "ENGAGEMENT_ALLOW_LOOPBACK_CONTAINERS": "1",
        "ENGAGEMENT_PART_ROWS": "200",
        "ENGAGEMENT_REQUESTS_PER_MINUTE": "100000",
    }
    with running_server(folder / "home", **settings) as server:
        yield Place(server=server, owner=server.client("owner"))


@pytest.fixture
def container(azurite: Azurite) -> AzureContainer:
    return azurite.container()


def options_of(export_type: ExportType) -> dict[str, Any]:
    """Everything of a type."""
    if export_type is ExportType.PUSH:
        return {"campaign_type": "Announcement", **DAYS}
    return DAYS if export_type.is_historical else {}


@pytest.mark.parametrize("export_type", list(ExportType))
def test_every_format_reads_as_the_same_table(
    place: Place, container: AzureContainer, export_type: ExportType
) -> None:
    tables: dict[ExportFormat, Counter[str]] = {}
    with place.client() as client:
        compressions = [*Compression, Compression.GZIP]
        pollers = [
            client.create_export(
                FIRST_APP,
                export_type,
                container.write_url,
                export_format=export_format,
                compression=compression,
                include_record_id=True,
                **options_of(export_type),
            )
            for export_format, compression in zip(ExportFormat, compressions, strict=True)
        ]
        for poller in pollers:
            task = poller.result(WAIT_SECONDS_MAX)
            manifest = client.manifest(task)
            table = client.read(task, container.read_url, "arrow")
            assert table.schema.names == [name for name, _ in manifest.fields]
            assert table.num_rows == task.progress.rows_done > 0
            tables[task.export_format] = bag(table)
            if task.export_format is ExportFormat.PARQUET:
                assert tables[task.export_format] == bag_by_others(container, task)

    for export_format in ExportFormat:
        assert tables[export_format] == tables[ExportFormat.PARQUET], export_format


def bag(table: pa.Table) -> Counter[str]:
    """The rows as a bag, without what they lack."""
    return Counter(text_of(row) for row in table.to_pylist())


def text_of(row: dict[str, Any]) -> str:
    present = {name: value for name, value in row.items() if value is not None}
    return json.dumps(present, sort_keys=True, default=lambda when: f"{when:%FT%T.%f}"[:-3] + "Z")


def bag_by_others(container: AzureContainer, task: ExportTask) -> Counter[str]:
    """The delivered rows as a reader that is not the client's has them."""
    names = [item for item in container.admin.list() if item.startswith(task.folder + "/part-")]
    rows = [
        row
        for name in names
        for row in read_part(
            container.admin.read(name), task.export_type, task.export_format, task.compression
        )
    ]
    written = [
        {
            name: json.dumps(value, ensure_ascii=False, separators=(",", ":"))
            if isinstance(value, dict)
            else value
            for name, value in row.items()
        }
        for row in rows
    ]
    return Counter(text_of(row) for row in written)


def test_an_export_is_read_as_the_frame_of_each_library(
    place: Place, container: AzureContainer
) -> None:
    import pandas as pd  # noqa: PLC0415 - as a user who has it

    with place.client() as client:
        created = client.create_export(FIRST_APP, "event", container.write_url, **DAYS)
        task = created.result(WAIT_SECONDS_MAX)
        frames = {arg: client.read(task, container.read_url, arg) for arg in get_args(FrameKind)}

        with pytest.raises(BadInputError, match="polars, pandas, arrow"):
            client.read(task, container.read_url, "excel")  # type: ignore[arg-type]

    assert isinstance(frames["polars"], pl.DataFrame)
    assert isinstance(frames["pandas"], pd.DataFrame)
    assert isinstance(frames["arrow"], pa.Table)
    assert {len(frame) for frame in frames.values()} == {task.progress.rows_done}
    assert frames["polars"].schema["timestamp"] == pl.Datetime("ms", "UTC")


def test_waiting_shows_progress_up_to_the_end(place: Place, container: AzureContainer) -> None:
    seen: list[ExportTask] = []
    with place.client() as client:
        poller = client.create_export(FIRST_APP, "Event", container.write_url, **DAYS)
        assert not poller.task.state.is_final
        task = poller.wait(WAIT_SECONDS_MAX, seen.append)

        assert poller.done()
        assert poller.task == task == seen[-1]
        assert task.state is ExportState.SUCCEEDED
        assert task.progress.parts_done == task.progress.parts_total > 1
        shares = [item.progress.parts_done for item in seen]
        assert shares == sorted(shares)
        assert client.get_export(FIRST_APP, task.task_id).task_id == task.task_id
        assert client.follow_export(task.app_id, task.task_id).result().state is task.state


def test_an_estimate_creates_nothing_and_holds(place: Place, container: AzureContainer) -> None:
    with place.client() as client:
        before = [export.task_id for export in client.list_exports(FIRST_APP)]
        estimate = client.estimate_export(FIRST_APP, "Crash", **DAYS)
        assert [export.task_id for export in client.list_exports(FIRST_APP)] == before

        created = client.create_export(FIRST_APP, "Crash", container.write_url, **DAYS)
        assert created.result(WAIT_SECONDS_MAX).progress.rows_done <= estimate.rows


def test_lists_go_over_all_pages(place: Place, container: AzureContainer) -> None:
    with place.client() as client:
        made = [
            client.create_export(FIRST_APP, "Tag", container.write_url, description=f"{number}")
            for number in range(45)
        ]
        ids = [item.task.task_id for item in made]
        listed = [export.task_id for export in client.list_exports(FIRST_APP)]
        for item in made:
            item.result(WAIT_SECONDS_MAX)

    assert len(listed) == len(set(listed))
    assert [entry for entry in listed if entry in ids] == ids[::-1]


def test_a_cancelled_export_goes_on_with_another_sas(
    place: Place, container: AzureContainer
) -> None:
    """Cancelling races with the end; whichever wins is told plainly."""
    with place.client() as client:
        poller = client.create_export(FIRST_APP, "Event", container.write_url, **DAYS)
        try:
            poller.cancel()
            with pytest.raises(CancelledError):
                poller.result(WAIT_SECONDS_MAX)
        except IllegalStateError:
            assert poller.result(WAIT_SECONDS_MAX).state is ExportState.SUCCEEDED
            return
        again = client.retry_export(FIRST_APP, poller.task.task_id, container.write_url)
        done = again.result(WAIT_SECONDS_MAX)

        assert done.task_id == poller.task.task_id
        assert done.attempt == 2
        with pytest.raises(IllegalStateError):
            client.retry_export(FIRST_APP, done.task_id, container.write_url)


def test_the_same_idempotency_key_makes_one_task(place: Place, container: AzureContainer) -> None:
    with place.client() as client:
        key = {"idempotency_key": "nightly-2026-01-01"}
        first = client.create_export(FIRST_APP, "Tag", container.write_url, **key)
        again = client.create_export(FIRST_APP, "Tag", container.write_url, **key)
        assert again.task.task_id == first.task.task_id

        with pytest.raises(IdempotencyKeyReusedError):
            client.create_export(FIRST_APP, "Token", container.write_url, **key)


def test_refusals_have_the_class_that_raised_them_on_the_server(
    place: Place, azurite: Azurite, container: AzureContainer
) -> None:
    reader = place.server.client("reader")
    with place.client() as client, place.client(reader) as looker:
        with pytest.raises(UnknownAppError, match="nowhere"):
            client.create_export("nowhere", "Event", container.write_url, **DAYS)
        with pytest.raises(UnknownTaskError):
            client.get_export(FIRST_APP, "0" * 32)
        with pytest.raises(InvalidExportError, match="a start and an end"):
            client.create_export(FIRST_APP, "Event", container.write_url)
        with pytest.raises(InvalidExportError, match=r"Activity, .*got 'Nothing'"):
            client.create_export(FIRST_APP, "Nothing", container.write_url)
        with pytest.raises(DestinationError) as refused:
            client.create_export(FIRST_APP, "Tag", azurite.url(container.name, "r"))
        assert refused.value.code is ErrorCode.SAS_PERMISSION_MISSING
        with pytest.raises(ForbiddenError):
            looker.create_export(FIRST_APP, "Tag", container.write_url)
    wrong = Credentials(
        tenant_id=place.owner.tenant_id,
        client_id=place.owner.client_id,
        client_secret="no",  # noqa: S106 - none
    )
    with place.client(wrong) as client, pytest.raises(NotAuthenticatedError):
        client.apps()


def test_what_was_changed_after_delivery_is_not_read(
    place: Place, azurite: Azurite, container: AzureContainer
) -> None:
    with place.client() as client:
        created = client.create_export(FIRST_APP, "Tag", container.write_url)
        task = created.result(WAIT_SECONDS_MAX)
        name = f"{task.folder}/{client.manifest(task).parts[0].name}"
        whole = container.admin.read(name)
        for other in (whole[:-1], whole + b" ", whole.replace(b"a", b"b", 1)):
            with azurite.client as service:
                service.get_blob_client(container.name, name).upload_blob(other, overwrite=True)
            with pytest.raises(VerificationError, match="must have"):
                client.read(task, container.read_url)
        with pytest.raises(DestinationError) as refused:
            client.read(task, container.write_url)
        assert refused.value.code is ErrorCode.SAS_PERMISSION_MISSING


def test_a_token_of_ones_own_is_enough_and_is_asked_for_again(
    place: Place, container: AzureContainer
) -> None:
    tokens = chain(["stale"], repeat(place.server.token(place.owner)))
    with engagement.Client(place.server.address, token=lambda: next(tokens)) as client:
        assert [app.name for app in client.apps()] == ["first"]
    with (
        engagement.Client(place.server.address, token="stale") as client,  # noqa: S106 - none
        pytest.raises(NotAuthenticatedError),
    ):
        client.create_export(FIRST_APP, "Tag", container.write_url)


def test_threads_may_share_a_client(place: Place, container: AzureContainer) -> None:
    found: list[ExportState] = []
    with place.client() as client:

        def run() -> None:
            created = client.create_export(FIRST_APP, "Tag", container.write_url)
            found.append(created.result(WAIT_SECONDS_MAX).state)

        threads = [threading.Thread(target=run) for _ in range(8)]
        for thread in threads:
            thread.start()
        join_threads(threads, "exports of threads")

    assert found == [ExportState.SUCCEEDED] * 8


def test_the_asynchronous_client_does_the_same(place: Place, container: AzureContainer) -> None:
    async def use() -> None:
        who = place.owner
        async with engagement.AsyncClient(
            place.server.address,
            tenant_id=who.tenant_id,
            client_id=who.client_id,
            client_secret=who.client_secret,
        ) as client:
            assert [item.name for item in await client.apps()] == ["first"]
            pollers = [
                await client.create_export(FIRST_APP, kind, container.write_url, **DAYS)
                for kind in (ExportType.EVENT, ExportType.JOB)
            ]
            tasks = await asyncio.gather(*(poller.result(WAIT_SECONDS_MAX) for poller in pollers))
            listed = {export.task_id async for export in client.list_exports(FIRST_APP)}
            assert {item.task_id for item in tasks} <= listed
            for task in tasks:
                frame = await client.read(task, container.read_url)
                assert frame.height == task.progress.rows_done > 0
            with pytest.raises(UnknownTaskError):
                await client.get_export(FIRST_APP, "0" * 32)

    asyncio.run(use())


def test_a_server_that_is_gone_is_named_after_a_few_tries(tmp_path: Path) -> None:
    with running_server(tmp_path / "home") as server:
        token, address = server.token(server.client("owner")), server.address
    waits: list[float] = []
    with (
        engagement.Client(address, token=token, retries=3, pause=waits.append) as client,
        pytest.raises(ServerUnreachableError),
    ):
        client.apps()

    assert len(waits) == 3
