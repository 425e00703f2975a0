"""Drives a SAS through every way in which a container can fail a running task.

The service's answers repeat the SAS, as a real one's do when they quote the string to sign, and
afterwards it must be nowhere: not in a log, a database file, an answer or the process.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from scripted import Answer, ScriptedServer, scripted

from support.canary import CANARY, SAS, has_canary
from support.server_process import FIRST_APP, RunningServer, import_sample, running_server
from support.waiting import wait_for

TASKS = f"{FIRST_APP}/devices/exportTasks"
VERSIONS = ({"api-version": "2014-12-01"}, {"api-version": "2026-11-01"})
FOR_GOOD = {
    "signature": Answer(status=403, code="AuthenticationFailed", message=SAS, detail=SAS),
    "permission": Answer(status=403, code="AuthorizationPermissionMismatch", message=SAS),
    "container": Answer(status=404, code="ContainerNotFound", message=SAS),
    "account": Answer(status=409, code="AccountBeingCreated", message=SAS),
    "immutable": Answer(status=409, code="BlobImmutableDueToPolicy", message=SAS),
    "request": Answer(status=400, code="InvalidQueryParameterValue", message=SAS),
    "moved": Answer(status=301, headers={"Location": f"https://example.org/?{SAS}"}),
    "elsewhere": Answer(status=303, headers={"Location": f"http://127.0.0.1:1/?{SAS}"}),
    "words": Answer(status=418, code=CANARY, message=CANARY),
}
FOR_NOW = {
    "busy": Answer(status=503, code="ServerBusy", message=SAS),
    "broken": Answer(status=500, code="InternalError", message=SAS),
    "throttled": Answer(status=429, code="TooManyRequests", message=SAS),
    "reset": Answer(is_reset=True),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """A server, its API, and all that it said."""

    server: RunningServer
    http: httpx.Client
    messages: list[bytes]

    def ask(self, method: str, path: str, version: dict[str, str], body: object = None) -> object:
        """An answer, kept to be looked through."""
        answer = self.http.request(method, path, params=version, json=body)
        self.messages.append(answer.content + repr(answer.headers).encode())
        return answer.json()

    def task(self, task_id: str) -> dict[str, str]:
        """A task in both versions; the newer one is returned."""
        for version in VERSIONS:
            found = self.ask("GET", f"{TASKS}/{task_id}", version)
        assert isinstance(found, dict)
        return found

    def ended(self, task_id: str) -> dict[str, str]:
        """A task after its end."""

        def find_ended() -> dict[str, str] | None:
            task = self.task(task_id)
            return None if task["state"] in {"Queued", "Started"} else task

        return wait_for(find_ended, "the end of an export")


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("canary")
    import_sample(folder / "home", devices=5, days=1, seed=3)
    with running_server(folder / "home", ENGAGEMENT_ALLOW_LOOPBACK_CONTAINERS="1") as server:
        token = server.token(server.client("owner"))
        with server.http(token) as http:
            yield Watched(server=server, http=http, messages=[])


def create(watched: Watched, container: ScriptedServer) -> str:
    """The id of a task whose container lets the first request through."""
    body = {"containerUrl": url(container), "exportFormat": "JsonBlob"}
    made = watched.ask("POST", f"{TASKS}/tags", VERSIONS[1], body)
    assert isinstance(made, dict)
    task_id: str = made["id"]
    return task_id


def url(container: ScriptedServer) -> str:
    return f"{container.endpoint}/devstoreaccount1/container?{SAS}"


def assert_nowhere(watched: Watched) -> None:
    """Fail if the canary can be found in any of its forms."""
    home = Path(watched.server.environment["ENGAGEMENT_HOME"])
    places = {str(path): path.read_bytes() for path in home.rglob("*") if path.is_file()}
    places["log"] = watched.server.log.read_bytes()
    for name in ("environ", "cmdline"):
        places[name] = Path(f"/proc/{watched.server.process.pid}/{name}").read_bytes()
    places |= {f"answer {number}": item for number, item in enumerate(watched.messages)}
    places["metrics"] = watched.http.get("/metrics").content
    assert [name for name, content in places.items() if has_canary(content)] == []


@pytest.mark.parametrize("fault", FOR_GOOD)
def test_a_failure_for_good_tells_nothing(watched: Watched, fault: str) -> None:
    with scripted(FOR_GOOD[fault], accepted=1) as container:
        task = watched.ended(create(watched, container))
        assert task["state"] == "Failed"
        assert task["errorDetails"]
        again = f"{TASKS}/{task['id']}/retry"
        watched.ask("POST", again, VERSIONS[1], {"containerUrl": url(container)})
        watched.ask("GET", TASKS, VERSIONS[1])

    assert any(has_canary(call.target.encode()) for call in container.calls)  # it was sent
    assert_nowhere(watched)


@pytest.mark.parametrize("fault", FOR_NOW)
def test_a_failure_for_now_tells_nothing_while_it_is_repeated(watched: Watched, fault: str) -> None:
    with scripted(FOR_NOW[fault], accepted=1) as container:
        task_id = create(watched, container)
        wait_for(
            lambda: watched.task(task_id) and len(container.calls) >= 4, "four tries of a delivery"
        )
        watched.ask("POST", f"{TASKS}/{task_id}/cancel", VERSIONS[1])
        container.answer = Answer(status=201)
        assert watched.ended(task_id)["state"] in {"Cancelled", "Succeeded"}

    assert_nowhere(watched)
