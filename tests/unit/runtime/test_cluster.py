"""Tests what a machine must be given to be one of a cluster."""

import base64
from pathlib import Path
from typing import Any

import pytest

from engagement.exceptions import BadInputError
from engagement.runtime.cluster import check_cluster_settings, new_executor_id
from engagement.settings import Settings
from engagement.store.vault import KEY_BYTES

KEY = bytes(range(KEY_BYTES))
TEXT = base64.b64encode(KEY).decode()
GIVEN = {
    "state_url": "postgresql+psycopg://engagement@db/engagement",
    "lake_url": "s3://bucket/lake",
    "vault_key": TEXT,
}


def settings(**changed: Any) -> Settings:
    return Settings(**(GIVEN | changed))


def test_postgresql_makes_a_cluster() -> None:
    assert settings().is_cluster
    assert not Settings().is_cluster
    assert not settings(state_url="sqlite:////somewhere/state.db").is_cluster


def test_the_key_is_given_as_text_or_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "vault.key"
    file.write_text(f"{TEXT}\n")

    assert check_cluster_settings(settings()) == KEY
    assert check_cluster_settings(settings(vault_key="", vault_key_file=file)) == KEY


@pytest.mark.parametrize("lake_url", ["", "/var/lake", "lake", "file:///var/lake"])
def test_a_folder_is_no_lake_of_a_cluster(lake_url: str) -> None:
    with pytest.raises(BadInputError, match="ENGAGEMENT_LAKE_URL must be on object storage"):
        check_cluster_settings(settings(lake_url=lake_url))


@pytest.mark.parametrize("given", [{"vault_key": ""}, {"vault_key_file": Path("vault.key")}])
def test_the_key_is_given_once_and_never_made(given: dict[str, Any]) -> None:
    with pytest.raises(BadInputError, match="ENGAGEMENT_VAULT_KEY"):
        check_cluster_settings(settings(**given))


@pytest.mark.parametrize("text", ["canary", "c" + TEXT[:-2], base64.b64encode(b"canary").decode()])
def test_what_is_no_key_is_refused_and_not_shown(text: str) -> None:
    with pytest.raises(BadInputError, match="ENGAGEMENT_VAULT_KEY") as raised:
        check_cluster_settings(settings(vault_key=text))

    assert text not in str(raised.value)


def test_a_key_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "missing.key"
    with pytest.raises(BadInputError, match=r"FileNotFoundError.*missing\.key"):
        check_cluster_settings(settings(vault_key="", vault_key_file=missing))


def test_every_process_has_a_name_of_its_own() -> None:
    names = {new_executor_id() for _ in range(100)}

    assert len(names) == 100
    assert all(len(f"engagement/{name}") < 64 for name in names)
