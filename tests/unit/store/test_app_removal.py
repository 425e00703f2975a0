"""Tests that a removal that was cut off anywhere leaves nothing when it is repeated."""

from contextlib import suppress
from pathlib import Path

import pytest
import sqlalchemy as sa

from engagement.failpoints import Failpoint
from engagement.model.apps import App
from engagement.store.app_files import register_first_key
from engagement.store.app_removal import AppRemoval
from engagement.store.queries.apps import AppQueries
from engagement.store.tables import deleted_apps, metadata
from support.batches import NOW, everything
from support.home import Home, StoppedError


@pytest.mark.parametrize("failpoint", [Failpoint.APP_TABLES_DELETED, Failpoint.APP_ROWS_DELETED])
def test_a_removal_that_was_cut_off_is_completed(tmp_path: Path, failpoint: Failpoint) -> None:
    home = Home(tmp_path)
    home.accept(everything(1))
    home.flush()
    home.accept(everything(2))
    app = App(app_id=home.app_id, name="n", collection="c", resource_group="g", subscription="s")
    queries = AppQueries(home.engine)
    queries.add(register_first_key(app, "k", NOW))
    queries.delete(home.app_id, deleted_at=NOW)

    def stop(reached: Failpoint) -> None:
        if reached is failpoint:
            raise StoppedError

    with suppress(StoppedError):
        AppRemoval(home.engine, home.lake, on_failpoint=stop).remove(home.app_id)
        pytest.fail("The failpoint must be reached.")
    removal = AppRemoval(home.engine, home.lake)
    removal.remove(home.app_id)

    assert not (tmp_path / "lake" / home.app_id).exists()
    with home.engine.connect() as connection:
        left = {
            table.name
            for table in metadata.sorted_tables
            if "app_id" in table.c and table is not deleted_apps
            if connection.scalar(sa.select(sa.func.count()).select_from(table))
        }
    assert left == set()
    assert removal.list_marked() == {home.app_id: NOW}
    removal.forget(home.app_id)
    assert removal.list_marked() == {}
