"""Tests that tags are imported from real blobs, and that their URLs do not stay."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from azure.storage.blob import generate_blob_sas
from secrecy import assert_hidden

from engagement.exceptions import ErrorCode, InvalidContainerError
from engagement.model.records import new_guid
from engagement.model.tag_imports import ImportState
from engagement.operations.tag_imports import list_import_tasks
from support.servers import AZURE_ACCOUNT, Azurite
from support.tag_imports import IMPORTED, LINES, TAGS, ImportScene, open_import_scene

HOUR = timedelta(hours=1)
FORMS = {
    "one object": json.dumps(TAGS).encode(),
    "one object, indented": b"\xef\xbb\xbf" + json.dumps(TAGS, indent=2).encode(),
    "one object a line": LINES,
}


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ImportScene]:
    with open_import_scene(tmp_path_factory.mktemp("imports")) as scene:
        yield scene


@pytest.fixture
def app_id(scene: ImportScene) -> str:
    return scene.new_app()


def blob_url(azurite: Azurite, container: str, name: str) -> str:
    """The URL of a blob with a SAS that may read this blob alone."""
    sas = generate_blob_sas(
        AZURE_ACCOUNT,
        container,
        name,
        account_key=azurite.key,
        permission="r",
        expiry=datetime.now(UTC) + HOUR,
    )
    return f"{azurite.endpoint}/{AZURE_ACCOUNT}/{container}/{name}?{sas}"


def upload(azurite: Azurite, data: bytes) -> str:
    """The URL of a new blob in a new container."""
    container, name = azurite.container().name, f"tags/{new_guid()}.json"
    with azurite.client as client:
        client.get_blob_client(container, name).upload_blob(data)
    return blob_url(azurite, container, name)


@pytest.mark.parametrize("form", FORMS)
def test_tags_of_a_blob_are_imported(
    scene: ImportScene, azurite: Azurite, app_id: str, form: str
) -> None:
    url = upload(azurite, FORMS[form])

    task = scene.create(app_id, url)

    assert task.state is ImportState.QUEUED
    assert task.storage == url.partition("?")[0]
    done = scene.ended(task)
    assert (done.state, done.error_code, done.error_details) == (ImportState.SUCCEEDED, None, None)
    assert task.created_at <= done.started_at <= done.completed_at
    assert scene.tags(app_id) == IMPORTED
    assert "sig=" not in f"{task}{done}"


def test_a_sas_of_the_whole_container_will_do(
    scene: ImportScene, azurite: Azurite, app_id: str
) -> None:
    container = azurite.container()
    with azurite.client as client:
        client.get_blob_client(container.name, "tags.json").upload_blob(LINES)
    path, _, sas = container.read_url.partition("?")

    task = scene.ended(scene.create(app_id, f"{path}/tags.json?{sas}"))

    assert task.state is ImportState.SUCCEEDED
    assert scene.tags(app_id) == IMPORTED


def test_a_blob_that_is_not_there_fails_the_task(
    scene: ImportScene, azurite: Azurite, app_id: str
) -> None:
    url = blob_url(azurite, azurite.container().name, "nothing.json")

    task = scene.ended(scene.create(app_id, url))

    assert (task.state, task.error_code) == (ImportState.FAILED, ErrorCode.CONTAINER_NOT_FOUND)
    assert url.partition("sig=")[2] not in f"{task}"


def test_a_wrong_signature_fails_the_task(
    scene: ImportScene, azurite: Azurite, app_id: str
) -> None:
    url = upload(azurite, b"{}").partition("sig=")[0] + "sig=bm8%3D"

    task = scene.ended(scene.create(app_id, url))

    assert (task.state, task.error_code) == (ImportState.FAILED, ErrorCode.SAS_INVALID_SIGNATURE)


REFUSED = {
    "no blob": "https://account.blob.core.windows.net/container?sv=1&sp=r&sig=canary",
    "no container": "https://account.blob.core.windows.net/blob?sv=1&sp=r&sig=canary",
    "may not read": "https://account.blob.core.windows.net/container/blob?sp=cw&sr=b&sig=canary",
    "a queue": "https://account.blob.core.windows.net/container/blob?sp=r&sr=q&sig=canary",
    "ended": "https://account.blob.core.windows.net/container/blob?se=2020-01-01&sp=r&sig=canary",
    "other host": "https://example.org/container/blob?sp=r&sig=canary",
    "hidden slash": "https://account.blob.core.windows.net/container/a%2Fcanary?sp=r&sig=canary",
    "a space": "https://account.blob.core.windows.net/container/a b?sp=r&sig=canary",
    "not below a root": "file:///elsewhere/blob",
    "the root itself": "file:///",
    "nothing": "",
    "no port": "https://account.blob.core.windows.net:canary/container/blob?sp=r&sig=canary",
    "brackets": "https://[canary/container/blob",
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_url_that_cannot_work_is_refused_at_once(
    scene: ImportScene, app_id: str, what: str
) -> None:
    with pytest.raises(InvalidContainerError) as raised:
        scene.create(app_id, REFUSED[what])

    assert_hidden(raised.value, "canary")
    assert list_import_tasks(scene.runtime, app_id).tasks == ()


def test_a_folder_that_is_a_root_is_no_blob(scene: ImportScene, app_id: str) -> None:
    with pytest.raises(InvalidContainerError):
        scene.create(app_id, f"file://{scene.folder(app_id)}")
