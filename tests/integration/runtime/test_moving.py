"""Tests that a moved service is what it was, in its new place alone, whatever ends the move."""

import json
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from engagement import operations
from engagement.exceptions import (
    BadInputError,
    EngagementError,
    HomeBusyError,
    ServiceMovedError,
    StateBusyError,
    StateLostError,
    VerificationError,
)
from engagement.failpoints import Failpoint
from engagement.model.executors import ProcessRole
from engagement.model.export_request import ExportRequest
from engagement.model.export_tasks import ExportTask
from engagement.model.exports import Compression, ExportFormat, ExportState, ExportType, TimeRange
from engagement.runtime.cluster import join_cluster
from engagement.runtime.moving import give_up_move, move_service
from engagement.runtime.opening import Runtime, open_service
from engagement.settings import Settings
from engagement.store.queries.executors import ExecutorQueries
from engagement.store.state import hold_state
from engagement.testing import MemoryContainer, StoppedClock
from support.batches import DAY, batch, log
from support.bucket_lake import name_bucket_lake
from support.home import StoppedError, stop_at
from support.postgres import PostgresServer, running_postgres
from support.servers import S3
from support.waiting import WAIT_SECONDS_MAX
from support.whole_service import (
    BATCHES,
    LATER,
    WAITING,
    accept_batches,
    app_id_of,
    export_all,
    register_app,
    take,
)

POINTS = [point for point in Failpoint if point.value.startswith("copy_")]
WHILE_CLAIMED = set(POINTS) - {
    Failpoint.COPY_SOURCE_MARKED,
    Failpoint.COPY_STATE_READ,
    Failpoint.COPY_FINISHED,
}
"""At these the new place holds something, and is not in use."""
OF_A_LAKE_ALONE = (
    Failpoint.COPY_SOURCE_MARKED,
    Failpoint.COPY_FILES_WRITTEN,
    Failpoint.COPY_RECORDED,
    Failpoint.COPY_FINISHED,
)
"""Points between which a move that leaves the state database does something else than others."""
IN_LAKE = batch(log("event", name="in the lake"), batch_id="1")
IN_INBOX = batch(log("event", 1, name="in the inbox"), batch_id="2")
NAMES = ["in the lake", "in the inbox"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where a service may be."""

    home: Settings
    """A folder, with all of it."""
    other_home: Settings
    """Another one, that is not there yet."""
    cluster: Settings
    """A database and a bucket, which are empty."""
    other_lake: Settings
    """The same database, and another bucket's folder."""


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with running_postgres(is_durable=True) as server:
        yield server


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a table of events in the lake, and a batch that waits."""
    home = tmp_path_factory.mktemp("small") / "home"
    with open_at(Settings(home=home)) as runtime:
        app_id = register_app(runtime).app_id
        take(runtime, app_id, IN_LAKE)
        accept_batches(runtime, app_id, IN_INBOX)
    return home


@pytest.fixture
def bucket(s3: S3, monkeypatch: pytest.MonkeyPatch) -> str:
    return name_bucket_lake(s3, monkeypatch)


@pytest.fixture
def places(small: Path, server: PostgresServer, bucket: str, tmp_path: Path) -> Places:
    return places_of(small, server, bucket, tmp_path)


def places_of(original: Path, server: PostgresServer, bucket: str, tmp_path: Path) -> Places:
    """The places of a copy of a home."""
    home = shutil.copytree(original, tmp_path / "home")
    shared = {
        "home": tmp_path / "machine",
        "state_url": server.new_database(),
        "vault_key_file": home / "keys" / "vault.key",
    }
    return Places(
        home=Settings(home=home),
        other_home=Settings(home=tmp_path / "other"),
        cluster=Settings(lake_url=f"{bucket}/first", **shared),
        other_lake=Settings(lake_url=f"{bucket}/second", **shared),
    )


def open_at(settings: Settings, *, run_tasks: bool = True) -> AbstractContextManager[Runtime]:
    """The service in a place; exports may go to memory."""
    clock = StoppedClock(LATER)
    return open_service(
        settings, run_tasks=run_tasks, allow_memory=True, clock=clock, uptime=clock.read_uptime
    )


def queue_export(settings: Settings, container: MemoryContainer) -> ExportTask:
    """An export that nobody has begun."""
    with open_at(settings, run_tasks=False) as runtime:
        request = ExportRequest(
            app_id=app_id_of(runtime),
            export_type=ExportType.EVENT,
            export_format=ExportFormat.NDJSON,
            compression=Compression.NONE,
            container_url=container.url,
            time_range=TimeRange.of_days(DAY - timedelta(days=9), DAY + timedelta(days=9)),
        )
        return operations.create_export(runtime, request)


def names_of(runtime: Runtime) -> list[str]:
    """The names of the events of an export."""
    parts = export_all(runtime, app_id_of(runtime), [ExportType.EVENT])[ExportType.EVENT]
    return [json.loads(line)["name"] for part in parts for line in part.splitlines()]


def test_a_service_goes_to_many_machines_and_back(
    whole: Path,
    server: PostgresServer,
    bucket: str,
    tmp_path: Path,
    expected: dict[ExportType, list[bytes]],
) -> None:
    places = places_of(whole, server, bucket, tmp_path)
    container = MemoryContainer()
    queued = queue_export(places.home, container)

    there = move_service(places.home, places.cluster)
    back = move_service(places.cluster, places.other_home)

    assert there.tables == back.tables != ()
    assert there.waiting == back.waiting == len(WAITING)
    assert there.state_rows == back.state_rows
    for left in (places.home, places.cluster):
        with pytest.raises(ServiceMovedError), open_at(left):
            pass
    with open_at(places.other_home) as runtime:
        app_id = app_id_of(runtime)
        ended = operations.wait_export(runtime, queued.task_id, timeout_seconds=WAIT_SECONDS_MAX)
        assert ended.state is ExportState.SUCCEEDED, ended.error_details
        assert container.read_parts(ended)
        assert export_all(runtime, app_id) == expected
        assert not any(take(runtime, app_id, *BATCHES, *WAITING))
        assert operations.check_lake(runtime).damaged == ()


@pytest.mark.parametrize("point", POINTS)
def test_a_move_to_many_machines_that_was_cut_off_is_gone_on_with(
    places: Places, point: Failpoint
) -> None:
    with pytest.raises(StoppedError):
        move_service(places.home, places.cluster, on_failpoint=stop_at(point))
    with pytest.raises(ServiceMovedError), open_at(places.home):
        pass
    if point in WHILE_CLAIMED:
        with pytest.raises(StateLostError), open_at(places.cluster):
            pass

    again = move_service(places.home, places.cluster)

    assert move_service(places.home, places.cluster) == again
    with open_at(places.cluster) as runtime:
        assert names_of(runtime) == NAMES
        assert not any(take(runtime, app_id_of(runtime), IN_LAKE, IN_INBOX))
        assert operations.check_lake(runtime).damaged == ()


@pytest.mark.parametrize("point", OF_A_LAKE_ALONE)
def test_a_move_to_another_bucket_that_was_cut_off_is_gone_on_with(
    places: Places, point: Failpoint
) -> None:
    move_service(places.home, places.cluster)
    with pytest.raises(StoppedError):
        move_service(places.cluster, places.other_lake, on_failpoint=stop_at(point))
    with pytest.raises(EngagementError), open_at(places.cluster):
        pass

    move_service(places.cluster, places.other_lake)

    with pytest.raises(ServiceMovedError), open_at(places.cluster):
        pass
    with open_at(places.other_lake) as runtime:
        assert names_of(runtime) == NAMES


def test_a_move_that_is_given_up_leaves_the_service_where_it_is(places: Places) -> None:
    with pytest.raises(BadInputError, match="none was begun"):
        give_up_move(places.home)
    with pytest.raises(StoppedError):
        move_service(
            places.home, places.cluster, on_failpoint=stop_at(Failpoint.COPY_STATE_WRITTEN)
        )
    with pytest.raises(ServiceMovedError, match="was begun"):
        move_service(places.home, places.other_home)

    give_up_move(places.home)

    with pytest.raises(StateLostError), open_at(places.cluster):
        pass
    with open_at(places.home) as runtime:
        assert names_of(runtime) == NAMES

    move_service(places.home, places.cluster)
    with pytest.raises(ServiceMovedError, match="open it there"):
        give_up_move(places.home)
    with pytest.raises(ServiceMovedError, match="open it there"):
        move_service(places.home, places.other_home)


def test_a_service_that_runs_is_not_moved(places: Places) -> None:
    with open_at(places.home), pytest.raises(HomeBusyError):
        move_service(places.home, places.cluster)
    move_service(places.home, places.cluster)
    with hold_state(places.cluster.state_url) as engine:
        executors = ExecutorQueries(engine, lease_seconds=30)
        with (
            join_cluster(executors, "alive", (ProcessRole.COLLECT,), slots=0),
            pytest.raises(StateBusyError, match="such as alive"),
        ):
            move_service(places.cluster, places.other_lake)
    with open_at(places.cluster):
        pass  # it learned nothing of it


def test_a_process_that_begins_while_a_cluster_is_moved_ends(places: Places) -> None:
    """It has looked for a move before one was begun, and is not seen until it has registered."""
    move_service(places.home, places.cluster)
    executors: list[ExecutorQueries] = []

    def register(point: Failpoint) -> None:
        if point is Failpoint.COPY_SOURCE_MARKED:
            executors[0].register("late", (ProcessRole.COLLECT,), host="", version="", slots=0)

    with hold_state(places.cluster.state_url) as engine:
        executors.append(ExecutorQueries(engine, lease_seconds=30))
        with pytest.raises(StateBusyError, match="such as late"):
            move_service(places.cluster, places.other_lake, on_failpoint=register)
        executors[0].remove("late")
    with open_at(places.cluster):
        pass


def test_what_is_changed_meanwhile_is_found_and_moved_by_the_next_run(places: Places) -> None:
    """A command that had the state open before may write until it ends."""
    with open_at(places.home, run_tasks=False) as open_before:

        def write(point: Failpoint) -> None:
            if point is Failpoint.COPY_STATE_WRITTEN:
                operations.create_app(
                    open_before,
                    name="late",
                    collection="c",
                    resource_group="g",
                    subscription="s",
                )

        with pytest.raises(VerificationError, match="apps"):
            move_service(places.home, places.other_home, on_failpoint=write)

    move_service(places.home, places.other_home)

    with open_at(places.other_home) as runtime:
        assert "late" in {app.name for app in operations.list_apps(runtime)}


def test_a_place_that_does_not_fit_is_named(places: Places, tmp_path: Path) -> None:
    home, cluster = places.home, places.cluster
    other_key = tmp_path / "other.key"
    other_key.write_text("A" * 43 + "=")
    taken = tmp_path / "taken"
    (taken / "lake").mkdir(parents=True)
    (taken / "lake" / "letter.txt").write_text("dear")
    inside = home.home / "lake" / "inside"
    for target, message in (
        (home, "another state database or another lake"),
        (Settings(home=tmp_path / "new", lake_url=str(inside)), "inside the other"),
        (cluster.model_copy(update={"vault_key_file": other_key}), "must have the vault's key"),
        (Settings(home=taken), "holds 1 files"),
    ):
        with pytest.raises(BadInputError, match=message):
            move_service(home, target)
        with_mark = message == "holds 1 files"
        if with_mark:
            give_up_move(home)
    with pytest.raises(BadInputError, match="must be a service to move"):
        move_service(Settings(home=tmp_path / "nothing"), cluster)
    with open_at(home):
        pass
