"""Tests that the state database keeps the names of apps apart."""

from dataclasses import replace

import pytest
import sqlalchemy as sa

from engagement.exceptions import (
    BadInputError,
    UnknownAppError,
)
from engagement.model.apps import App
from engagement.store.app_files import register_first_key
from engagement.store.queries.apps import AppQueries
from support.batches import NOW


def test_an_app_name_is_taken_once_in_its_collection(engine: sa.Engine) -> None:
    queries = AppQueries(engine)
    app = App(app_id="1", name="n", collection="c", resource_group="g", subscription="s")
    queries.add(register_first_key(app, "k", NOW))

    with pytest.raises(BadInputError, match="'n'"):
        queries.add(register_first_key(replace(app, app_id="2"), "other", NOW))

    assert queries.list_all() == [app]
    assert queries.get("1") == app
    with pytest.raises(UnknownAppError, match="'2'"):
        queries.get("2")
