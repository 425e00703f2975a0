"""Tests that what is altered on its way is never taken for delivered, and time is given."""

import secrets
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from hashlib import md5
from pathlib import Path

import pytest
from altering import Alter, altering, break_off, cut, flip_a_bit
from certificates import server_context
from scripted import Answer, ScriptedServer, scripted

from engagement.deliver import http_relay
from engagement.deliver.containers import BLOCK_BYTES, RETRIES_MAX, open_destination
from engagement.deliver.destination import Destination
from engagement.deliver.inside_tls import outside_context
from engagement.deliver.urls import DestinationPolicy, parse_container_url
from engagement.exceptions import DestinationError, ErrorCode, Retryable
from support.servers import S3, AzureContainer, Azurite, S3Container

POLICY = DestinationPolicy(allow_loopback=True)
KEY = "Activity/0123/part-00000.json"
SMALL = secrets.token_bytes(1_000)
LARGE = secrets.token_bytes(2 * BLOCK_BYTES + 7)
FOR_EVER = 1_000_000
ALTERATIONS = (flip_a_bit, cut, break_off)


@pytest.fixture(params=["azurite", "s3"])
def server(request: pytest.FixtureRequest) -> Azurite | S3:
    """A real server of each kind."""
    found: Azurite | S3 = request.getfixturevalue(request.param)
    return found


@contextmanager
def _behind(
    server: Azurite | S3, alter: Alter, *, times: int
) -> Iterator[tuple[Destination, AzureContainer | S3Container]]:
    """A destination whose first uploads are altered, and what lies in it."""
    container = server.container()
    with altering(server.endpoint, alter, times=times) as between:
        # The endpoint is a part of S3's URL, in which only its slashes and colons are encoded.
        port, other = (
            endpoint.rpartition(":")[2] for endpoint in (server.endpoint, between.endpoint)
        )
        url = container.write_url.replace(port, other, 1)
        yield open_destination(parse_container_url(url, POLICY)), container
        assert between.altered


def _refusal(destination: Destination, data: bytes) -> DestinationError | None:
    try:
        destination.put(KEY, [data])
    except DestinationError as error:
        return error
    return None


def _put_until_it_is_delivered(destination: Destination, data: bytes) -> None:
    """Return only when it is; each refusal must say that a repeat may succeed."""
    for _ in range(RETRIES_MAX):
        error = _refusal(destination, data)
        if error is None:
            return
        assert isinstance(error, Retryable)
        assert error.code is ErrorCode.DESTINATION_UNAVAILABLE
    pytest.fail("An upload that nobody alters any more must be delivered.")


@pytest.mark.parametrize("alter", ALTERATIONS)
@pytest.mark.parametrize("data", [SMALL, LARGE], ids=["small", "large"])
def test_what_is_altered_once_is_uploaded_anew(
    server: Azurite | S3, alter: Alter, data: bytes
) -> None:
    with _behind(server, alter, times=1) as (destination, container):
        _put_until_it_is_delivered(destination, data)

        assert container.admin.read(KEY) == data


@pytest.mark.parametrize("alter", ALTERATIONS)
def test_what_is_always_altered_is_refused(server: Azurite | S3, alter: Alter) -> None:
    with _behind(server, alter, times=FOR_EVER) as (destination, container):
        for data in (SMALL, LARGE):
            with pytest.raises(DestinationError) as raised:
                destination.put(KEY, [data])
            assert raised.value.code is ErrorCode.DESTINATION_UNAVAILABLE
            assert isinstance(raised.value, Retryable)
        if isinstance(server, Azurite):  # which checks before it keeps anything
            assert container.admin.list() == []


def test_without_digests_an_altered_upload_would_pass(
    server: Azurite | S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planted: neither the service nor we compare."""
    monkeypatch.setattr(http_relay, "digest_fields", lambda *_: {})
    monkeypatch.setattr(http_relay, "check_digest", lambda *_, **__: None)

    with _behind(server, flip_a_bit, times=1) as (destination, container):
        destination.put(KEY, [SMALL])

        assert container.admin.read(KEY) == flip_a_bit(SMALL) != SMALL


def _azure_url(server: ScriptedServer) -> str:
    return f"{server.endpoint}/devstoreaccount1/{secrets.token_hex(8)}?sp=cw&sr=c&sig=signature"


def _opened(server: ScriptedServer) -> Destination:
    return open_destination(parse_container_url(_azure_url(server), POLICY))


def test_an_answer_with_another_digest_is_a_failure() -> None:
    headers = {"Content-MD5": b64encode(md5(b"others").digest()).decode()}  # noqa: S324 - as Azure
    with scripted(Answer(headers=headers)) as server, pytest.raises(DestinationError) as raised:
        _opened(server).put(KEY, [SMALL])

    assert raised.value.code is ErrorCode.DESTINATION_UNAVAILABLE
    assert isinstance(raised.value, Retryable)
    assert http_relay.ALTERED in str(raised.value)


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    "retry_after",
    [
        lambda: "1",
        lambda: format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True),
    ],
    ids=["seconds", "date"],
)
def test_a_container_is_left_alone_for_as_long_as_it_asks(
    status: int, retry_after: Callable[[], str]
) -> None:
    with scripted(Answer()) as server:
        server.first = [Answer(status=status, headers={"Retry-After": retry_after()})]
        _opened(server).put(KEY, [SMALL])

    first, second = server.calls
    assert second.at - first.at >= 0.9  # a date has whole seconds, so two are at least one


def test_who_opens_the_container_anew_leaves_it_alone_too() -> None:
    """As a part does that is tried again; other containers there are not held up."""
    with scripted(Answer(status=503, headers={"Retry-After": "2"})) as server:
        server.first = [Answer(status=503)] * RETRIES_MAX
        url, other = _azure_url(server), _azure_url(server)
        with pytest.raises(DestinationError):
            open_destination(parse_container_url(url, POLICY)).put(KEY, [SMALL])
        server.answer = Answer()
        last = server.calls[-1].at
        open_destination(parse_container_url(other, POLICY)).put(KEY, [SMALL])
        open_destination(parse_container_url(url, POLICY)).put(KEY, [SMALL])

    unaffected, held_up = server.calls[-2:]
    assert other.partition("?")[0].endswith(unaffected.target.partition(f"/{KEY}")[0])
    assert held_up.at - last >= 2


def test_tls_is_agreed_with_whom_the_system_trusts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what goes through it carries a digest as well, over one connection for all."""
    context = server_context(tmp_path / "server.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "server.pem"))
    outside_context.cache_clear()
    try:
        with scripted(Answer(), tls=context) as server:
            destination = _opened(server)
            for _ in range(3):
                destination.put(KEY, [SMALL])
            connections = {call.client for call in server.calls}
    finally:
        outside_context.cache_clear()

    digest = b64encode(md5(SMALL).digest()).decode()  # noqa: S324 - as Azure wants it
    assert [call.headers["content-md5"] for call in server.calls] == [digest] * 3
    assert len(connections) == 1
