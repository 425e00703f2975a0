"""Tests who may post a body, and where it is read: never in the event loop if that takes long."""

import gzip
import json
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard

from engagement import operations
from engagement.collect.protocols.segment.bodies import WRITE_KEY_BYTES_MAX
from engagement.model.refused import RefusedFilter
from engagement.runtime.opening import Runtime
from engagement.server.collection import native, segment
from engagement.server.collection.admission import BYTES_PER_REQUEST, SMALL_BYTES_MAX
from engagement.server.dependencies import INLINE_BYTES_MAX
from engagement.server.token_endpoint import FORM_BYTES_MAX
from support.batches import batch
from support.server_in_process import Role, Service, app_path, serve_in_process

RATE = 40
SHARE = 5
COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": gzip.compress,
    "zstd": zstandard.compress,
}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with serve_in_process(
        tmp_path_factory.mktemp("home"), unknown_keys_per_minute=10**6
    ) as running:
        yield running


@pytest.fixture(scope="module")
def key(service: Service) -> str:
    return made_key(service, "posting")


def made_key(service: Service, name: str) -> str:
    """The key of a new app."""
    return operations.create_app(
        service.runtime, name=name, collection="c", resource_group="g", subscription="s"
    ).app_key


def messages(size: int, **more: Any) -> bytes:
    """A body of one tracking message that has at least so many bytes."""
    message = {"type": "track", "event": "e", "userId": "u", "properties": {"long": "x" * size}}
    return json.dumps({"batch": [message], **more}).encode()


def status_of(service: Service, path: str, body: bytes, key: str | None = None) -> int:
    """The status of the answer to a post."""
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    status: int = service.http.request("POST", path, content=body, headers=headers).status_code
    return status


@pytest.fixture
def read_in(monkeypatch: pytest.MonkeyPatch) -> list[threading.Thread]:
    """The threads in which bodies are read, in their order."""
    threads: list[threading.Thread] = []
    for name in ("collect_batch", "read_posted"):
        work = getattr(operations, name)

        def noted(*given: Any, work: Any = work, **more: Any) -> Any:
            threads.append(threading.current_thread())
            return work(*given, **more)

        monkeypatch.setattr(operations, name, noted)
    return threads


@pytest.mark.parametrize("compress", COMPRESS.values(), ids=COMPRESS)
@pytest.mark.parametrize("claimed", [None, "nobody's"])
def test_a_body_without_a_known_key_is_not_read(
    service: Service,
    read_in: list[threading.Thread],
    compress: Callable[[bytes], bytes],
    claimed: str | None,
) -> None:
    body = compress(messages(2 * SMALL_BYTES_MAX, writeKey=claimed))

    assert status_of(service, "/v1/batch", body) == 401
    assert status_of(service, "/v1/batch", body, "nobody's") == 401
    assert status_of(service, native.PATH, body, claimed) == 401
    assert read_in == []


@pytest.mark.parametrize("compress", COMPRESS.values(), ids=COMPRESS)
@pytest.mark.parametrize("place", ["first", "last"])
def test_a_key_is_found_before_and_behind_as_many_messages_as_sdks_send(
    service: Service, key: str, place: str, compress: Callable[[bytes], bytes]
) -> None:
    sent = messages(500_000)
    member = json.dumps({"writeKey": key}).encode().strip(b"{}")
    body = {
        "first": b"{" + member + b"," + sent[1:],
        "last": sent[:-1] + b", " + member + b"}",
    }[place]

    assert status_of(service, "/v1/b", compress(body)) == 200


def test_a_key_is_not_looked_for_beyond_the_beginning(service: Service, key: str) -> None:
    assert status_of(service, "/v1/b", messages(WRITE_KEY_BYTES_MAX, writeKey=key)) == 401


def test_a_key_within_a_message_admits_no_body(service: Service, key: str) -> None:
    inner = {"type": "track", "event": "e", "userId": "u", "properties": {"writeKey": key}}

    for more in ({}, {"writeKey": "nobody's"}):
        assert status_of(service, "/v1/b", json.dumps({"batch": [inner], **more}).encode()) == 401


def test_a_body_is_kept_for_the_app_whose_key_is_its_own(service: Service, key: str) -> None:
    other = made_key(service, "quoted")
    inner = {"type": "nothing", "userId": "u", "properties": {"writeKey": other}}

    assert (
        status_of(service, "/v1/b", json.dumps({"batch": [inner], "writeKey": key}).encode()) == 200
    )

    refused = operations.count_refused(service.runtime, RefusedFilter())
    assert {count.app_id for count in refused} == {
        operations.app_of_key(service.runtime, key).app_id
    }


@pytest.mark.parametrize("compress", COMPRESS.values(), ids=COMPRESS)
@pytest.mark.parametrize(
    ("path", "inline_bytes_max"),
    [(native.PATH, native.INLINE_BYTES_MAX), ("/v1/b", segment.INLINE_BYTES_MAX)],
)
def test_what_a_body_expands_to_tells_where_it_is_read(  # noqa: PLR0913, PLR0917 - a table's row
    service: Service,
    key: str,
    read_in: list[threading.Thread],
    path: str,
    inline_bytes_max: int,
    compress: Callable[[bytes], bytes],
) -> None:
    for size in (inline_bytes_max, SMALL_BYTES_MAX, 2 * SMALL_BYTES_MAX):
        sent = batch() if path == native.PATH else messages(0)
        assert status_of(service, path, compress(sent.ljust(size)), key) in {200, 202}

    loop, small, large = (thread.name for thread in read_in)
    assert loop == threading.current_thread().name
    assert small.startswith("small-body")
    assert large.startswith("large-body")


def test_a_body_counts_by_what_it_expands_to(tmp_path: Path) -> None:
    rest = {"unread": os.urandom(BYTES_PER_REQUEST).hex()}  # for a usual ratio
    body = gzip.compress(messages(BYTES_PER_REQUEST * (RATE - 1), **rest))
    with serve_in_process(tmp_path, collect_requests_per_minute=RATE) as service:
        key = made_key(service, "large")
        # A minute may end between two of them, though not between each two.
        statuses = [status_of(service, "/v1/b", body, key) for _ in range(4)]

    assert statuses[0] == 200
    assert 429 in statuses


def test_servers_of_a_cluster_share_what_may_be_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Runtime, "collectors", 4)
    with serve_in_process(tmp_path, collect_requests_per_minute=4 * SHARE) as service:
        key = made_key(service, "one of four")
        # A minute may end between two of them, though not between each two.
        statuses = [status_of(service, "/v1/b", messages(0), key) for _ in range(3 * SHARE)]

    assert statuses[:SHARE] == [200] * SHARE
    assert 429 in statuses


@pytest.mark.parametrize("size", [100, INLINE_BYTES_MAX, 10 * INLINE_BYTES_MAX])
def test_a_large_body_of_the_api_is_decoded_in_a_thread(
    service: Service, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    threads: list[str] = []
    loads = json.loads

    def noted(*given: Any, **more: Any) -> Any:
        threads.append(threading.current_thread().name)
        return loads(*given, **more)

    monkeypatch.setattr(json, "loads", noted)
    body = b'{"tags":{"wrong":1}}'.ljust(size)

    answer = service.http.request(
        "POST",
        f"{app_path('alpha')}/devices/tag",
        params={"api-version": "2026-11-01"},
        headers=service.headers("alpha", Role.OWNER) | {"Content-Type": "application/json"},
        content=body,
    )

    assert answer.status_code == 400, answer.text
    in_loop = threading.current_thread().name in threads
    assert in_loop == (size <= INLINE_BYTES_MAX)


def test_a_form_for_a_token_has_a_limit(service: Service) -> None:
    tenant = service.authentication.tenant_id
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    form = b"a=" + b"%41" * FORM_BYTES_MAX

    answer = service.http.request("POST", f"/{tenant}/oauth2/token", content=form, headers=kind)

    assert answer.status_code == 413
