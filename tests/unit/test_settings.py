"""Tests that settings come from the environment once, whole or not at all."""

from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from engagement.exceptions import BadInputError
from engagement.settings import DIGITS_MAX, ServerSettings, Settings

FIELDS = Settings.model_fields
WHOLE_NUMBERS = [name for name, field in FIELDS.items() if type(field.default) is int]
SWITCHES = [name for name, field in FIELDS.items() if type(field.default) is bool]


def environment_of(name: str) -> str:
    return str(FIELDS[name].validation_alias)


def test_an_empty_environment_gives_the_defaults() -> None:
    assert Settings.from_environment({}) == Settings()


def test_an_empty_value_is_no_value() -> None:
    empty = {environment_of(name): "" for name in FIELDS} | {"ENGAGEMENT_NONE": ""}

    assert Settings.from_environment(empty) == Settings()


def test_every_setting_has_a_name_of_its_own_and_a_sentence() -> None:
    fields = [*FIELDS.values(), *ServerSettings.model_fields.values()]
    names = [str(field.validation_alias) for field in fields]

    assert len(set(names)) == len(names)
    assert all(name.startswith("ENGAGEMENT_") for name in names)
    assert all((field.description or "").endswith(".") for field in fields)


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


@pytest.mark.parametrize("name", WHOLE_NUMBERS)
@given(number=st.integers(1, 10**DIGITS_MAX - 1))
def test_whole_numbers_are_read(name: str, number: int) -> None:
    settings = Settings.from_environment({environment_of(name): str(number)})

    assert getattr(settings, name) == number


@pytest.mark.parametrize("name", WHOLE_NUMBERS)
@pytest.mark.parametrize("text", ["0", "-1", "1.5", "1e3", "many", " 1", "\u0661", "1_000", "00"])
def test_what_is_no_whole_number_above_zero_is_refused(name: str, text: str) -> None:
    with pytest.raises(BadInputError, match=environment_of(name)):
        Settings.from_environment({environment_of(name): text})


@pytest.mark.parametrize("name", SWITCHES)
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


@pytest.mark.parametrize("kind", [Settings, ServerSettings])
@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("ENGAGEMENT_FLUSH_SECOND", "ENGAGEMENT_FLUSH_SECONDS"),
        ("ENGAGEMENT_HOM", "ENGAGEMENT_HOME"),
        ("ENGAGEMENT_home", "ENGAGEMENT_HOME"),
        ("ENGAGEMENT_CLIENTSECRET", "ENGAGEMENT_CLIENT_SECRET"),
        ("ENGAGEMENT_LAKE_URLS", "ENGAGEMENT_LAKE_URL"),
    ],
)
def test_a_misspelt_variable_is_refused_without_its_value(
    kind: type[Settings | ServerSettings], name: str, meant: str
) -> None:
    with pytest.raises(BadInputError, match=f"{name}'; did you mean {meant}[?]$") as refused:
        kind.from_environment({name: "s3cret"})

    assert "s3cret" not in str(refused.value)


@given(name=st.text(max_size=80).map(lambda text: f"ENGAGEMENT_{text}"), value=st.text(min_size=1))
def test_no_variable_with_the_prefix_is_passed_over(name: str, value: str) -> None:
    known = {str(field.validation_alias) for field in FIELDS.values()}
    assume(name not in known)

    with pytest.raises(BadInputError, match="did you mean ENGAGEMENT_"):
        Settings.from_environment({name: value})


def test_what_kubernetes_sets_beside_a_service_of_this_name_is_no_setting() -> None:
    address = "tcp://10.0.0.1:8080"
    environment = {
        "ENGAGEMENT_SERVICE_HOST": "10.0.0.1",
        "ENGAGEMENT_SERVICE_PORT": "8080",
        "ENGAGEMENT_SERVICE_PORT_HTTP": "8080",
        "ENGAGEMENT_PORT": address,
        "ENGAGEMENT_PORT_8080_TCP": address,
        "ENGAGEMENT_PORT_8080_TCP_PROTO": "tcp",
        "ENGAGEMENT_PORT_8080_TCP_PORT": "8080",
        "ENGAGEMENT_PORT_8080_TCP_ADDR": "10.0.0.1",
    }

    assert Settings.from_environment(environment) == Settings()


def test_settings_that_are_made_here_know_no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGAGEMENT_HOME", "elsewhere")
    monkeypatch.setenv("home", "elsewhere")

    assert Settings().home == Path("engagement-home")
    assert Settings(home=Path("here")).home == Path("here")
    assert Settings.from_environment({}).home == Path("engagement-home")


def test_a_secret_is_not_shown() -> None:
    settings = ServerSettings.from_environment({"ENGAGEMENT_CLIENT_SECRET": "s3cret"})

    assert settings.client_secret == "s3cret"  # noqa: S105 - none
    assert "s3cret" not in repr(settings)
    assert "s3cret" not in str(settings)
