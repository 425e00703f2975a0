"""Tests that the installation's values are kept once, and its keys exchanged all at once."""

import pytest
import sqlalchemy as sa

from engagement.exceptions import IllegalStateError
from engagement.model.tag_imports import ImportState, ImportTask
from engagement.store.queries.installation import (
    SIGNING_KEY,
    VAULT_KEY_ID,
    InstallationQueries,
)
from engagement.store.queries.plans import PlanQueries
from engagement.store.queries.tag_imports import ImportTaskQueries
from engagement.store.queries.tasks import TaskQueries
from engagement.store.vault import KEY_BYTES, Vault
from support.batches import NOW
from support.home import APP_ID, queued_task

OLD, NEW = Vault(bytes(KEY_BYTES)), Vault(bytes(range(KEY_BYTES)))


@pytest.fixture
def queries(engine: sa.Engine) -> InstallationQueries:
    return InstallationQueries(engine)


def queued_import(task_id: str) -> ImportTask:
    return ImportTask(
        task_id=task_id,
        app_id=APP_ID,
        state=ImportState.QUEUED,
        storage="https://account.example/container/tags",
        created_at=NOW,
        started_at=None,
        completed_at=None,
        error_code=None,
        error_details=None,
    )


def do_nothing() -> None:
    """Stand for nothing to be done."""


def seal_anew(sealed: bytes, context: str) -> bytes:
    return NEW.seal(OLD.open(sealed, context=context), context=context)


def test_of_several_first_values_one_stays(queries: InstallationQueries) -> None:
    assert queries.find_value("tenant") is None
    assert queries.value("tenant", b"first") == b"first"
    assert queries.value("tenant", b"second") == b"first"
    assert queries.value("other", b"second") == b"second"
    assert queries.find_value("tenant") == b"first"


def test_keys_are_exchanged_with_all_that_is_sealed_or_not_at_all(
    engine: sa.Engine, queries: InstallationQueries
) -> None:
    tasks, imports, plans = TaskQueries(engine), ImportTaskQueries(engine), PlanQueries(engine)
    tasks.add(queued_task("1"), sealed_container_url=OLD.seal("export", context="1"))
    tasks.add(queued_task("2"), sealed_container_url=OLD.seal("ended", context="2"))
    tasks.cancel("2", now=NOW)
    imports.add(queued_import("3"), sealed_storage_url=OLD.seal("import", context="3"))
    queries.value(SIGNING_KEY, OLD.seal("key", context=SIGNING_KEY))
    assert queries.count_sealed() == {OLD.key_id: 3}
    values = {VAULT_KEY_ID: NEW.key_id, SIGNING_KEY: NEW.seal("new key", context=SIGNING_KEY)}

    with pytest.raises(ZeroDivisionError):
        queries.exchange_keys(values, reseal=seal_anew, before_commit=lambda: [1 // 0])
    assert queries.count_sealed() == {OLD.key_id: 3}
    assert queries.find_value(VAULT_KEY_ID) is None
    queries.exchange_keys(values, reseal=seal_anew, before_commit=do_nothing)

    assert queries.count_sealed() == {NEW.key_id: 3}
    assert queries.find_value(VAULT_KEY_ID) == NEW.key_id
    url = plans.read_export("1").sealed_container_url
    assert url is not None
    assert NEW.open(url, context="1") == "export"
    assert plans.read_export("2").sealed_container_url is None
    sealed = imports.read_sealed_storage_url("3")
    assert sealed is not None
    assert NEW.open(sealed, context="3") == "import"


def test_nothing_is_kept_that_another_key_sealed(
    engine: sa.Engine, queries: InstallationQueries
) -> None:
    tasks, imports = TaskQueries(engine), ImportTaskQueries(engine)
    queries.value(VAULT_KEY_ID, NEW.key_id)
    tasks.add(queued_task("1"), sealed_container_url=NEW.seal("url", context="1"))
    tasks.cancel("1", now=NOW)
    late = OLD.seal("url", context="2")

    with pytest.raises(IllegalStateError, match="exchanged"):
        tasks.add(queued_task("2"), sealed_container_url=late)
    with pytest.raises(IllegalStateError, match="exchanged"):
        tasks.reopen(queued_task("1"), sealed_container_url=late)
    with pytest.raises(IllegalStateError, match="exchanged"):
        imports.add(queued_import("2"), sealed_storage_url=late)
    assert queries.count_sealed() == {}
    assert tasks.reopen(queued_task("1"), sealed_container_url=NEW.seal("url", context="1"))
