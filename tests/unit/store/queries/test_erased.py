"""Tests that erased devices are known until they are forgotten."""

from datetime import timedelta

import pytest

from engagement.store.queries import erased
from engagement.store.queries.erased import ErasedQueries
from support.batches import DEVICES, NOW
from support.home import APP_ID, Home

OTHER_APP = "b" * 32


def test_a_device_is_erased_of_its_app_alone(home: Home) -> None:
    home.erased.add(APP_ID, DEVICES[:2], erased_at=NOW)

    assert home.erased.find(APP_ID, DEVICES) == set(DEVICES[:2])
    assert home.erased.find(OTHER_APP, DEVICES) == set()
    assert [home.erased.is_erased(APP_ID, device) for device in DEVICES[:3]] == [True, True, False]
    assert not home.erased.is_erased(OTHER_APP, DEVICES[0])
    assert (home.erased.find_last_at(APP_ID), home.erased.find_last_at(OTHER_APP)) == (NOW, None)


def test_a_device_that_is_erased_again_is_known_for_longer(home: Home) -> None:
    home.erased.add(APP_ID, DEVICES[:1], erased_at=NOW)
    home.erased.add(APP_ID, DEVICES[:1], erased_at=NOW + timedelta(days=1))

    home.erased.forget(NOW + timedelta(hours=1))

    assert home.erased.is_erased(APP_ID, DEVICES[0])
    home.erased.forget(NOW + timedelta(days=2))
    assert not home.erased.is_erased(APP_ID, DEVICES[0])
    assert not home.erased.knows_any()


def test_another_process_learns_of_what_is_erased_and_forgotten(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = ErasedQueries(home.engine)
    assert not other.is_erased(APP_ID, DEVICES[0])
    home.erased.add(APP_ID, DEVICES[:1], erased_at=NOW)
    assert not other.is_erased(APP_ID, DEVICES[0]), "it looks once a second"

    monkeypatch.setattr(erased, "LOOK_SECONDS", 0.0)
    other.forget(NOW)  # as if a second were over
    assert other.is_erased(APP_ID, DEVICES[0])
    home.erased.add(APP_ID, DEVICES[1:2], erased_at=NOW)
    assert other.is_erased(APP_ID, DEVICES[1])
