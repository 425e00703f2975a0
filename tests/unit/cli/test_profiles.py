"""Tests which server a command is for, and that its secrets are the owner's alone."""

from pathlib import Path

import pytest

from engagement.cli.profiles import server_settings
from engagement.exceptions import BadInputError


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A profile file, which the environment names, with one profile."""
    path = tmp_path / "profiles.toml"
    path.touch(0o600)
    path.write_text('[work]\nserver = "https://work.example"\nclient_id = "me"\n')
    monkeypatch.setenv("ENGAGEMENT_PROFILE_FILE", str(path))
    return path


def test_without_a_server_the_command_is_for_here(file: Path) -> None:
    assert server_settings(None, None) is None


def test_a_profile_names_a_server_and_its_client(file: Path) -> None:
    found = server_settings(None, "work")

    assert found is not None
    assert (found.server, found.client_id) == ("https://work.example", "me")


def test_an_option_wins_over_the_profile_and_this_over_the_environment(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENGAGEMENT_SERVER", "https://environment.example")
    monkeypatch.setenv("ENGAGEMENT_CLIENT_SECRET", "of the environment")

    by_profile = server_settings(None, "work")
    by_option = server_settings("https://option.example", "work")
    alone = server_settings(None, None)

    assert by_profile is not None
    assert by_profile.server == "https://work.example"
    assert by_profile.client_secret == "of the environment"  # noqa: S105 - made up
    assert by_option is not None
    assert by_option.server == "https://option.example"
    assert alone is not None
    assert alone.server == "https://environment.example"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[other]\n", r"The profile must be one in .* \(other\), got 'work'"),
        ('work = "text"\n', "The profile must be one"),
        ("[work]\n", "must name a server"),
        ('[work]\nserver = "s"\nkey = "k"\n', "got 'key'"),
        ("[work]\nserver = 1\n", "server is none"),
        ("[work\nsesame", "must be TOML"),
    ],
)
def test_a_profile_that_cannot_be_used_is_refused(file: Path, content: str, message: str) -> None:
    file.write_text(content)

    with pytest.raises(BadInputError, match=message) as caught:
        server_settings(None, "work")
    assert "sesame" not in str(caught.value)


def test_a_file_that_others_may_read_is_refused(file: Path) -> None:
    file.chmod(0o640)

    with pytest.raises(BadInputError, match="chmod 600"):
        server_settings(None, "work")


def test_a_file_that_is_not_there_is_named(file: Path) -> None:
    file.unlink()

    with pytest.raises(BadInputError, match="cannot be read"):
        server_settings(None, "work")
