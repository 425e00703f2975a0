"""Tests that the state database keeps the names of apps apart, and what is set of them."""

from dataclasses import replace
from datetime import timedelta

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


def test_what_is_set_of_an_app_is_kept(engine: sa.Engine) -> None:
    queries = AppQueries(engine)
    for number in "12":
        app = App(app_id=number, name=number, collection="c", resource_group="g", subscription="s")
        queries.add(register_first_key(app, number, NOW))

    queries.set_retention("1", 30)
    assert [app.retention_days for app in queries.list_all()] == [30, None]
    queries.set_retention("1", None)
    assert queries.get("1").retention_days is None


def test_an_app_is_untidied_when_the_time_is_over_or_the_clock_went_back(engine: sa.Engine) -> None:
    queries = AppQueries(engine)
    app = App(app_id="1", name="n", collection="c", resource_group="g", subscription="s")
    queries.add(register_first_key(app, "k", NOW))
    day = timedelta(days=1)

    def is_due(now: timedelta) -> bool:
        return queries.list_untidied(now=NOW + now, since=day) == ["1"]

    assert [is_due(hours * day / 24) for hours in (-1, 0, 23, 25)] == [True, False, False, True]
    queries.mark_tidied("1", NOW + day)
    assert [is_due(hours * day / 24) for hours in (23, 25, 47, 49)] == [True, False, False, True]
