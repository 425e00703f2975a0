"""Plants bugs in the processes of a cluster, and demands that each is refused or found.

Without any bug the same run finds nothing, although locks are without effect there.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import polars as pl
import pytest
from cluster_load import damage_of
from collector import planting

from engagement import operations
from engagement.cli.exit_statuses import EXIT_FAILURE
from engagement.model.records import Kind
from engagement.runtime.opening import Runtime
from support.batches import batch, log
from support.bucket_lake import name_lake_environment
from support.cluster import Cluster, cluster_on, open_beside, post_batch
from support.postgres import PostgresServer, running_postgres
from support.servers import S3
from support.waiting import WAIT_SECONDS_MAX, wait_for
from support.whole_service import accept_batches, register_app

pytestmark = pytest.mark.slow

ROUNDS_MAX = 500
ROUNDS_WITHOUT_BUG = 4
BATCHES_PER_ROUND = 5
SENT_TWICE = 60
SENT_TWICE_MAX = 5_000
WHOLE = {"lost": 0, "doubled": 0, "invented": 0}


@pytest.fixture(scope="module")
def database() -> Iterator[PostgresServer]:
    with running_postgres(is_durable=True) as server:
        yield server


@pytest.fixture
def cluster(
    database: PostgresServer, s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Cluster]:
    with cluster_on(database, database.new_database(), tmp_path, s3) as cluster:
        name_lake_environment(cluster.environment, monkeypatch)
        yield cluster


def names_in_lake(runtime: Runtime, app_id: str) -> list[str]:
    """The names of all events in the newest recorded version of their table."""
    commit = runtime.inbox.last_commits(app_id).get(Kind.EVENT)
    if commit is None:
        return []
    files = runtime.lake.files(app_id, Kind.EVENT, commit.version)
    paths = [file.path for file in files]
    rows: pl.DataFrame = runtime.lake.scan(app_id, Kind.EVENT, paths).collect()
    return rows["name"].to_list()


def damage_under(cluster: Cluster, bug: str, *, rounds_max: int) -> dict[str, int]:
    """What two workers with a bug do to what is accepted, while tables are rewritten."""
    with open_beside(cluster) as runtime:
        app_id = register_app(runtime).app_id
        roles = ("worker", "--roles", "flush,commit")
        for machine in [cluster.begin(roles, planting(bug)) for _ in range(2)]:
            cluster.await_hello(machine)
        names: list[str] = []
        damage = WHOLE
        for _ in range(rounds_max):
            for _ in range(BATCHES_PER_ROUND):
                names.append(f"event {len(names)}")
                content = batch(log("event", name=names[-1]), batch_id=names[-1])
                assert accept_batches(runtime, app_id, content) == [True]
            wait_for(lambda: not runtime.inbox.depth(), "the inbox to be flushed")
            operations.compact(runtime, app_id)
            damage = damage_of(names_in_lake(runtime, app_id), names)
            if damage["doubled"]:
                break
        return damage


def test_locks_carry_nothing(cluster: Cluster) -> None:
    damage = damage_under(cluster, "locks_without_effect", rounds_max=ROUNDS_WITHOUT_BUG)

    assert damage == WHOLE


@pytest.mark.parametrize("bug", ["rounds_not_counted", "numbers_not_looked_for"])
def test_what_is_staged_or_committed_without_looking_is_found(
    cluster: Cluster, bug: str, *, full_counts: bool
) -> None:
    """It takes two processes at one moment; in one process `test_lockless.py` finds it always."""
    if not full_counts:
        pytest.skip("a matter of chance in few rounds; `make torture` has many")

    assert damage_under(cluster, bug, rounds_max=ROUNDS_MAX)["doubled"] > 0


def test_a_second_process_of_one_name_and_one_with_a_key_of_its_own_do_not_start(
    cluster: Cluster,
) -> None:
    roles = ("worker", "--roles", "flush")
    same = [cluster.begin(roles, planting("same_executor_id")) for _ in range(2)]
    ended = wait_for(
        lambda: [each for each in same if each.process.poll() is not None],
        "one of two processes of one name to be refused",
    )
    keyed = cluster.begin(roles, planting("key_of_its_own") | {"ENGAGEMENT_VAULT_KEY": ""})

    assert keyed.process.wait(WAIT_SECONDS_MAX) == EXIT_FAILURE
    assert "VaultKeyLost" in keyed.log.read_text()
    assert [each.process.returncode for each in ended] == [EXIT_FAILURE]
    assert "executors" in ended[0].log.read_text()


@pytest.mark.parametrize(
    ("bug", "is_found"),
    [
        (None, False),
        ("accepted_if_not_found", True),
        ("accepted_without_looking_back", True),
    ],
)
def test_what_two_servers_are_sent_at_once_is_kept_once(
    cluster: Cluster, bug: str | None, *, is_found: bool, full_counts: bool
) -> None:
    """Found by an answer that is none of those that devices know, or by a batch that is twice."""
    if is_found and not full_counts:
        pytest.skip("a matter of chance with few batches; `make torture` has many")
    sent = SENT_TWICE_MAX if full_counts else SENT_TWICE
    with open_beside(cluster) as runtime:
        app_id = register_app(runtime).app_id
        key = operations.create_key(runtime, app_id, name="devices").app_key
        servers = [
            cluster.begin(("serve", "--port", "0", "--roles", "collect"), planting(bug))
            for _ in range(2)
        ]
        addresses = [cluster.await_hello(server).address for server in servers]
        answers = set()
        with ThreadPoolExecutor(len(servers)) as threads:
            for number in range(sent):
                content = batch(log("event", name="tap"), batch_id=f"batch {number}")
                posted = threads.map(lambda at, body=content: post_batch(at, key, body), addresses)
                answers.update(answer.status_code for answer in posted)
        kept = runtime.inbox.measure_waiting()[app_id].records

    is_damaged = answers != {httpx.codes.ACCEPTED} or kept != sent
    assert is_damaged == is_found, (answers, kept)
