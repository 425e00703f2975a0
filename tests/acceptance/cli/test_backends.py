"""Types the export commands at a server, by its address and by a profile."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.command_line import Shell
from support.server_process import Credentials, RunningServer, import_sample, running_server
from support.servers import AzureContainer, Azurite

OWNER_ONLY = 0o600


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """A shell that knows a server's address and an owner's secret from its environment."""

    server: RunningServer
    owner: Credentials
    shell: Shell
    app_id: str

    def with_profile(self, folder: Path, text: str, *, mode: int = OWNER_ONLY) -> Shell:
        """A shell that knows nothing but a profile file."""
        file = folder / "profiles.toml"
        file.write_text(text)
        file.chmod(mode)
        return Shell(folder=folder, settings=(("ENGAGEMENT_PROFILE_FILE", str(file)),))


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("desk")
    import_sample(folder / "server", devices=10, days=2, seed=5)
    with running_server(folder / "server", ENGAGEMENT_ALLOW_LOOPBACK_CONTAINERS="1") as server:
        owner = server.client("owner")
        settings = (
            ("ENGAGEMENT_TENANT_ID", owner.tenant_id),
            ("ENGAGEMENT_CLIENT_ID", owner.client_id),
            ("ENGAGEMENT_CLIENT_SECRET", owner.client_secret),
        )
        (app,) = server.command("apps", "list")
        yield Desk(
            server=server,
            owner=owner,
            shell=Shell(folder=folder, settings=settings),
            app_id=app["appId"],
        )


@pytest.fixture
def container(azurite: Azurite) -> AzureContainer:
    return azurite.container()


def test_the_same_commands_work_at_a_server(desk: Desk, container: AzureContainer) -> None:
    at = ("--server", desk.server.address)
    command = ("export", "create", "Event", "--app", desk.app_id, "--container", "-", *at)
    span = ("--from", "2000-01-01", "--to", "2099-12-31")
    given = container.write_url.encode()

    estimate = desk.shell.json("export", "estimate", "Event", "--app", desk.app_id, *span, *at)
    done = desk.shell.json(*command, *span, "--format", "NdjsonBlob", given=given)
    assert done["state"] == "Succeeded"
    assert 0 < done["progress"]["rowsDone"] <= estimate["rows"]
    assert f"{done['folder']}/manifest.json" in container.admin.list()
    assert desk.shell.json("export", "show", done["taskId"], *at) == done

    queued = desk.shell.run(*command, *span, "--no-wait", "--json", given=given)
    assert b"export wait" in queued.stderr
    assert desk.server.address.encode() in queued.stderr
    newest, before = desk.shell.json("export", "list", "--limit", "2", *at)
    assert before["taskId"] == done["taskId"]
    waited = desk.shell.json("export", "wait", newest["taskId"], *at)
    assert waited["state"] == "Succeeded"
    assert [
        item["taskId"] for item in desk.shell.json("export", "list", "--app", desk.app_id, *at)
    ][:2] == [waited["taskId"], done["taskId"]]

    for words in (("cancel",), ("retry", "--container", "https://a.blob.core.windows.net/c?sig=1")):
        code, _ = desk.shell.error("export", words[0], done["taskId"], *words[1:], *at, status=2)
        assert code == "IllegalState"
    assert not (desk.shell.folder / "home").exists()


def test_a_profile_holds_all_that_is_needed(
    desk: Desk, container: AzureContainer, tmp_path: Path
) -> None:
    shell = desk.with_profile(
        tmp_path,
        f'[work]\nserver = "{desk.server.address}"\ntenant_id = "{desk.owner.tenant_id}"\n'
        f'client_id = "{desk.owner.client_id}"\nclient_secret = "{desk.owner.client_secret}"\n',
    )
    file = tmp_path / "container"
    file.write_text(container.write_url)
    words = ("export", "create", "Tag", "--app", desk.app_id, "--container-file", str(file))

    done = shell.json(*words, "--profile", "work")

    assert done["state"] == "Succeeded"
    named = Shell(folder=tmp_path, settings=(*shell.settings, ("ENGAGEMENT_PROFILE", "work")))
    assert named.json("export", "show", done["taskId"]) == done


def test_what_cannot_work_is_said_without_the_secret(desk: Desk, tmp_path: Path) -> None:
    at = ("--server", desk.server.address)
    nobody = Shell(folder=tmp_path)
    code, message = nobody.error("export", "list", *at, status=2)
    assert code == "BadInput"
    assert "tenant_id, client_id, client_secret is missing" in message
    assert desk.shell.error("export", "show", "0" * 32, *at, status=2)[0] == "UnknownTask"
    code, message = desk.shell.error("export", "list", "--server", "http://192.0.2.1", status=2)
    assert code == "BadInput"
    assert "https" in message
    broken = '[work]\nserver = "http://127.0.0.1:1"\nclient_secret = "hush"'
    for text, mode, wanted in (
        (broken, 0o644, "chmod 600"),
        (broken, OWNER_ONLY, "must be one in"),
        ("[other]\nsecret = 'hush'", OWNER_ONLY, "may hold"),
        ("[other]\nserver = 1", OWNER_ONLY, "must be texts"),
        ("[other]\nclient_secret = 'hush'", OWNER_ONLY, "must name a server"),
        ("[other\nhush", OWNER_ONLY, "must be TOML"),
    ):
        shell = desk.with_profile(tmp_path, text, mode=mode)
        code, message = shell.error("export", "list", "--profile", "other", status=2)
        assert code == "BadInput"
        assert wanted in message
        assert "hush" not in message


def test_a_server_that_is_not_there_is_named(desk: Desk) -> None:
    words = ("export", "list", "--server", "http://127.0.0.1:9")
    assert desk.shell.error(*words, status=1)[0] == "ServerUnreachable"
