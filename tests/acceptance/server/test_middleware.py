"""Tests what every request passes: limits, headers, the log, a gentle stop."""

import json
import signal
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engagement.runtime.logging import redact
from support.canary import CANARY, SAS, has_canary
from support.command_line import Shell
from support.server_process import FIRST_APP, RunningServer, running_server
from support.waiting import WAIT_SECONDS_MAX, wait_for

TASKS = f"{FIRST_APP}/devices/exportTasks"
VERSION = {"api-version": "2026-11-01"}
OLD = {"api-version": "2014-12-01"}
REQUESTS_MAX = 100
BODY_MAX = 20_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("edge")
    with running_server(
        folder / "home",
        ENGAGEMENT_LOCAL_ROOTS=str(folder / "out"),
        ENGAGEMENT_REQUEST_BYTES=str(BODY_MAX),
        ENGAGEMENT_REQUESTS_PER_MINUTE=str(REQUESTS_MAX),
        ENGAGEMENT_TOKEN_REQUESTS_PER_MINUTE="5",  # noqa: S106 - a number
        ENGAGEMENT_ALLOW_LOOPBACK_CONTAINERS="1",
    ) as running:
        yield running


@pytest.fixture(scope="module")
def token(server: RunningServer) -> str:
    return server.token(server.client("owner"))


@pytest.mark.parametrize("path", ["/healthz", "/nowhere", TASKS, "/metrics", "/readyz"])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
def test_every_answer_has_what_all_have(server: RunningServer, path: str, method: str) -> None:
    with server.http() as http:
        answer = http.request(method, path, headers={"x-ms-client-request-id": "mine"})

    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert len(answer.headers["x-ms-request-id"]) == 36
    assert answer.headers["x-ms-client-request-id"] == "mine"
    assert "server" not in answer.headers
    if answer.is_error:
        assert set(answer.json()["error"]) == {"code", "message"}


def test_the_id_of_a_request_tells_nothing_of_others(server: RunningServer) -> None:
    with server.http() as http:
        ids = [uuid.UUID(http.get("/healthz").headers["x-ms-request-id"]) for _ in range(9)]

    assert len(set(ids)) == 9
    assert {found.version for found in ids} == {4}, "drawn at random, each by itself"


def test_the_log_names_no_device_and_no_user(server: RunningServer, token: str) -> None:
    ids = ["phone-of-canary", "user-of-canary", "nowhere-of-canary", "lost-of-canary"]
    paths = [f"{FIRST_APP}/devices/{ids[0]}", f"{FIRST_APP}/users/{ids[1]}"]
    paths += [f"{FIRST_APP}/people/{ids[2]}", f"/{ids[3]}/devices"]
    with server.http(token) as http:
        request_ids = [http.get(path, params=VERSION).headers["x-ms-request-id"] for path in paths]

    def read_lines() -> list[dict[str, Any]]:
        lines = [
            json.loads(line) for line in server.log.read_text().splitlines() if line.startswith("{")
        ]
        return [line for line in lines if line.get("request_id") in request_ids]

    wait_for(lambda: len(read_lines()) == len(request_ids), "the requests to be logged")
    assert not [name for name in ids if name in server.log.read_text()]
    assert read_lines()[0]["path"] == f"{FIRST_APP}/devices/{{deviceId}}"


def test_a_version_must_be_named(server: RunningServer) -> None:
    with server.http(server.token(server.client("reader"))) as http:
        codes = [
            http.get(TASKS, params=given).json()["error"]["code"]
            for given in ({}, {"api-version": "2015-01-01"}, {"api-version": ["a", "b"]})
        ]

    assert codes == ["MissingApiVersionParameter", *["InvalidApiVersionParameter"] * 2]


def test_a_body_has_a_limit(server: RunningServer, token: str) -> None:
    large = b"{" + b" " * BODY_MAX + b"}"
    with server.http(token) as http:
        declared = http.post(f"{TASKS}/events", params=VERSION, content=large)
        chunked = http.post(f"{TASKS}/events", params=VERSION, content=iter([large]))

    assert declared.status_code == chunked.status_code == 413


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b'"x"', b"\xff", b"[" * 5_000, b'{"a":1e999}', b"{}"]
)
def test_a_body_that_is_none_is_refused(server: RunningServer, token: str, body: bytes) -> None:
    with server.http(token) as http:
        answer = http.post(
            f"{TASKS}/events",
            params=OLD,
            content=body,
            headers={"Content-Type": "application/json"},
        )

    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "BadRequest"


def test_a_client_has_a_rate(server: RunningServer) -> None:
    with server.http(server.token(server.client("reader"))) as http:
        answers = [http.get(TASKS, params=VERSION) for _ in range(REQUESTS_MAX * 3)]
    refused = [answer for answer in answers if answer.status_code == 429]

    # The window may have turned over once meanwhile.
    assert REQUESTS_MAX <= len(answers) - len(refused) <= 2 * REQUESTS_MAX
    assert all(0 < int(refusal.headers["Retry-After"]) <= 60 for refusal in refused)


def test_wrong_secrets_have_a_rate_and_tell_nothing(server: RunningServer) -> None:
    known = server.client("reader")
    form = {"grant_type": "client_credentials", "client_secret": "wrong"}
    with server.http() as http:
        answers = [
            http.post(f"/{known.tenant_id}/oauth2/token", data={**form, "client_id": item})
            for item in (known.client_id, "unknown", known.client_id, "unknown")
        ]
        for _ in range(10):
            last = http.post(f"/{known.tenant_id}/oauth2/token", data=form | {"client_id": "x"})

    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.content for answer in answers}) == 1
    assert last.status_code == 429


@pytest.mark.attack
def test_failures_of_an_address_lock_no_right_secret_out(
    server: RunningServer, *, full_counts: bool
) -> None:
    failures = 2_000 if full_counts else 20
    known = server.client("reader")
    address = f"/{known.tenant_id}/oauth2/token"
    wrong = {"grant_type": "client_credentials", "client_id": "x", "client_secret": "wrong"}
    right = {
        "grant_type": "client_credentials",
        "client_id": known.client_id,
        "client_secret": known.client_secret,
    }
    with server.http() as http:
        failed = [http.post(address, data=wrong).status_code for _ in range(failures)]
        given = http.post(address, data=right)
        failed.append(http.post(address, data=wrong).status_code)

    assert 429 in failed
    assert given.status_code == 200


def test_a_repeat_with_its_key_gives_the_same_task(server: RunningServer, token: str) -> None:
    folder = Path(server.environment["ENGAGEMENT_LOCAL_ROOTS"])
    body = {"containerUrl": f"file://{folder}/same", "exportFormat": "NdjsonBlob"}
    headers = {"Idempotency-Key": "once"}
    with server.http(token) as http:
        first, again = (
            http.post(f"{TASKS}/tags", params=VERSION, json=body, headers=headers) for _ in range(2)
        )
        other = http.post(
            f"{TASKS}/tags",
            params=VERSION,
            json=body | {"compression": "gzip"},
            headers=headers,
        )

    assert first.status_code == again.status_code == 202
    assert first.json()["id"] == again.json()["id"]
    assert other.status_code == 409
    assert other.json()["error"]["code"] == "IdempotencyKeyReused"


def test_a_dry_run_creates_nothing(server: RunningServer, token: str) -> None:
    with server.http(token) as http:
        before = http.get(TASKS, params=VERSION).json()["value"]
        answer = http.post(f"{TASKS}/tags", params={**VERSION, "dryRun": "true"}, json={})
        after = http.get(TASKS, params=VERSION).json()["value"]

    assert answer.json() == {"rows": 0, "parts": 1, "bytes": 0}
    assert len(after) == len(before)


def test_a_sas_is_nowhere_but_in_the_request(server: RunningServer, token: str) -> None:
    """Whatever goes wrong with it, no answer, log or database file has it."""
    urls = [
        f"https://127.0.0.1.nip.io/c?{SAS}",
        f"https://example.org/c?{SAS}",
        f"https://a b/c?{SAS}",
        f"http://127.0.0.1:1/devstoreaccount1/container?{SAS}",
        f"https://account.blob.core.windows.net/c?{SAS}&sp=r",
        f"https://account.blob.core.windows.net/container?{SAS.replace('sp=cw', 'sp=r')}",
        f"https://account.blob.core.windows.net/container?{SAS}&se=2001-01-01",
        f"https://account.blob.core.windows.net/container?{SAS}&se=nonsense{CANARY}",
        f"https://user:{quote(CANARY, safe='')}@account.blob.core.windows.net/container?{SAS}",
        f"s3://bucket?access_key_id=a&secret_access_key={quote(CANARY, safe='')}",
        CANARY,
    ]
    bodies: list[object] = [{"containerUrl": url, "exportFormat": "JsonBlob"} for url in urls]
    bodies += [{"exportFormat": urls[0], "containerUrl": 1}, {urls[0]: urls[0]}, [urls[0]], urls[0]]
    with server.http(token) as http:
        answers = [
            http.post(f"{TASKS}/tags", params=version, json=body)
            for body in bodies
            for version in (OLD, VERSION)
        ]
        answers.append(http.get(TASKS, params={**VERSION, "$orderby": urls[1]}))
        answers.append(http.get(f"{TASKS}/{quote(urls[1], safe='')}", params=VERSION))
        answers.append(
            http.post(
                f"{TASKS}/tags", params={**VERSION, "x": urls[1]}, content=b"{" + CANARY.encode()
            )
        )
    home = Path(server.environment["ENGAGEMENT_HOME"])
    places = {path.name: path.read_bytes() for path in home.glob("*.db*")}
    places |= {"log": server.log.read_bytes()}
    places |= {f"answer {number}": item.content for number, item in enumerate(answers)}
    places |= {
        name: Path(f"/proc/{server.process.pid}/{name}").read_bytes()
        for name in ("environ", "cmdline")
    }

    assert {answer.status_code for answer in answers} == {400, 404, 503}
    assert all(set(answer.json()) == {"error"} for answer in answers)
    assert [name for name, content in places.items() if has_canary(content)] == []
    assert has_canary(json.dumps(bodies).encode())  # the look can find it


@given(
    st.sampled_from(["sig", "SIG", "X-Amz-Signature", "client_secret", "access_token"]),
    st.from_regex(r"[A-Za-z0-9%+/._~-]{8,80}", fullmatch=True),
    st.text(alphabet=" abc&?", max_size=20),
)
def test_the_log_hides_what_looks_like_a_secret(name: str, value: str, around: str) -> None:
    redacted = redact(f"{around}&{name}={value}&{around}")

    assert value not in redacted
    assert name in redacted


def test_the_log_is_json_and_names_the_request(server: RunningServer, token: str) -> None:
    with server.http(token) as http:
        answer = http.get(TASKS, params={**VERSION, "sig": CANARY})
    wanted = answer.headers["x-ms-request-id"]
    # The line is written after the answer has gone.
    found = wait_for(
        lambda: [line for line in _lines(server) if line.get("request_id") == wanted],
        "the request's line in the log",
    )

    assert [record["path"] for record in found] == [TASKS]
    assert CANARY not in server.log.read_text()


def _lines(server: RunningServer) -> list[dict[str, Any]]:
    """The whole lines of the log."""
    whole = server.log.read_text().rpartition("\n")[0].splitlines()
    return [json.loads(item) for item in whole if item.startswith("{")]


def test_metrics_count_by_route(server: RunningServer) -> None:
    with server.http() as http:
        http.get("/healthz")
        text = http.get("/metrics").text

    assert 'engagement_requests_total{method="GET",route="/healthz",status="200"}' in text
    assert 'engagement_export_tasks{state="Queued"}' in text


def test_a_second_server_on_the_folder_is_refused(server: RunningServer) -> None:
    assert server.command("serve", "--port", "0", status=3) is None


def test_a_trusted_proxy_must_be_an_address(tmp_path: Path) -> None:
    shell = Shell(folder=tmp_path, settings=(("ENGAGEMENT_TRUSTED_PROXIES", "10.0.0.1/8"),))

    errors = shell.run("serve", "--port", "0", status=2).stderr.decode()

    assert "ENGAGEMENT_TRUSTED_PROXIES must hold IP addresses and networks" in errors
    assert "10.0.0.1/8" in errors


def test_a_slow_request_does_not_keep_the_others_waiting(server: RunningServer) -> None:
    host, port = server.address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as slow, server.http() as http:
        slow.sendall(b"POST /x/oauth2/token HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n1")

        assert http.get("/healthz").is_success


def test_it_stops_gently_and_goes_on(tmp_path: Path) -> None:
    with running_server(tmp_path / "home") as server:
        server.process.send_signal(signal.SIGTERM)
        server.process.wait(WAIT_SECONDS_MAX)
    with running_server(tmp_path / "home") as server, server.http() as http:
        assert http.get("/readyz").json() == {"status": "ready", "worker": "running"}


def test_a_head_that_does_not_end_is_not_waited_for(server: RunningServer) -> None:
    """Slow senders lose their connection; one that was kept after an answer too."""
    whole = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    begun = [b"", b"GET /healthz HT", b"GET /healthz HTTP/1.1\r\nHost: ", whole + b"GET /heal"]
    lines = [connected(server) for _ in begun]
    for line, event in zip(lines, begun, strict=True):
        line.sendall(event)
    for line in lines:
        while line.recv(65_536):  # until the server closes it
            pass
        line.close()


def test_a_head_of_any_length_is_not_read(server: RunningServer) -> None:
    line = connected(server)
    line.sendall(b"GET /healthz HTTP/1.1\r\n")
    sent, answer = 0, b""
    try:
        while sent < 100 * BODY_MAX:
            sent += line.send(b"X-Filler: " + b"a" * 8_000 + b"\r\n")
        answer = line.recv(65_536)
    except ConnectionError:
        pass  # closed while this side still wrote
    line.close()

    assert answer.startswith(b"HTTP/1.1 400 ") or sent < 100 * BODY_MAX
    with server.http() as http:
        assert http.get("/healthz").is_success


def connected(server: RunningServer) -> socket.socket:
    host, _, port = server.address.removeprefix("http://").rpartition(":")
    return socket.create_connection((host, int(port)), timeout=WAIT_SECONDS_MAX)
