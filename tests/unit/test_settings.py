"""Tests that settings come from the environment once, whole or not at all."""

from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engagement.exceptions import BadInputError
from engagement.settings import DIGITS_MAX, Settings

WHOLE_NUMBERS = [one for one in fields(Settings) if type(one.default) is int]
SWITCHES = [one for one in fields(Settings) if type(one.default) is bool]


def environment_of(name: str) -> str:
    (found,) = [one for one in fields(Settings) if one.name == name]
    return str(found.metadata["environment"])


def test_an_empty_environment_gives_the_defaults() -> None:
    assert Settings.from_environment({}) == Settings()


def test_an_empty_value_is_no_value() -> None:
    empty = {one.metadata["environment"]: "" for one in fields(Settings)}

    assert Settings.from_environment(empty) == Settings()


def test_every_setting_has_a_name_of_its_own_and_a_sentence() -> None:
    names = [one.metadata["environment"] for one in fields(Settings)]

    assert len(set(names)) == len(names)
    assert all(name.startswith("ENGAGEMENT_") for name in names)
    assert all(one.metadata["sentence"].endswith(".") for one in fields(Settings))


def test_paths_texts_and_lists_are_read() -> None:
    settings = Settings.from_environment(
        {
            "ENGAGEMENT_HOME": "some/home",
            "ENGAGEMENT_STATE_URL": "postgresql+psycopg://host/state",
            "ENGAGEMENT_LAKE_URL": "s3://bucket/lake",
            "ENGAGEMENT_LOCAL_ROOTS": "one:two::",
            "ENGAGEMENT_CONTAINER_HOSTS": " a.example , b.example,,",
            "UNRELATED": "x",
        }
    )

    assert settings.home == Path("some/home")
    assert settings.state_url == "postgresql+psycopg://host/state"
    assert settings.lake_url == "s3://bucket/lake"
    assert settings.local_roots == (Path("one"), Path("two"))
    assert settings.container_hosts == ("a.example", "b.example")


@pytest.mark.parametrize("name", [one.name for one in WHOLE_NUMBERS])
@given(number=st.integers(1, 10**DIGITS_MAX - 1))
def test_whole_numbers_are_read(name: str, number: int) -> None:
    settings = Settings.from_environment({environment_of(name): str(number)})

    assert getattr(settings, name) == number


@pytest.mark.parametrize("name", [one.name for one in WHOLE_NUMBERS])
@pytest.mark.parametrize("text", ["0", "-1", "1.5", "1e3", "many", " 1", "\u0661", "1_000", "00"])
def test_what_is_no_whole_number_above_zero_is_refused(name: str, text: str) -> None:
    with pytest.raises(BadInputError, match=environment_of(name)):
        Settings.from_environment({environment_of(name): text})


@pytest.mark.parametrize("name", [one.name for one in SWITCHES])
def test_switches_are_zero_or_one(name: str) -> None:
    read = [getattr(Settings.from_environment({environment_of(name): text}), name) for text in "01"]

    assert read == [False, True]
    for text in ("true", "yes", "2", " 1"):
        with pytest.raises(BadInputError, match=environment_of(name)):
            Settings.from_environment({environment_of(name): text})


def test_settings_do_not_follow_the_environment_later() -> None:
    environment = {"ENGAGEMENT_HOME": "before"}
    settings = Settings.from_environment(environment)

    environment["ENGAGEMENT_HOME"] = "after"

    assert settings.home == Path("before")
