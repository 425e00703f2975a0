"""Tests that a delivery reaches its host at a public address, and nothing else."""

import socket
import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from ipaddress import IPv4Address, IPv6Address, ip_address
from itertools import cycle
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engagement.deliver.containers import open_destination
from engagement.deliver.egress_proxy import EgressProxy, is_public
from engagement.deliver.http_relay import HEAD_BYTES_MAX
from engagement.deliver.urls import DestinationPolicy, parse_container_url
from engagement.exceptions import DestinationError, ErrorCode, Retryable
from support.waiting import wait_for

URL = "https://account.blob.core.windows.net/container?sp=cw&sr=c&sig=SECRET"
FORBIDDEN = [
    "0.0.0.0",  # noqa: S104 - refused, not bound
    "0.1.2.3", "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.8.8.8", "168.63.129.16",
    "169.254.169.254", "172.16.0.1", "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.1.1",
    "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "64:ff9b::7f00:1", "64:ff9b:1::1",
    "2001::1", "2001:db8::1", "2002:7f00:1::", "fc00::1", "fd00:ec2::254", "fe80::1", "fec0::1",
    "ff02::1",
]  # fmt: skip
PUBLIC = ["8.8.8.8", "20.60.1.1", "52.239.1.1", "2603:1030::1", "2a00:1450:4001::1"]
FLIPS = 1_000


@contextmanager
def canary() -> Iterator[tuple[int, list[str]]]:
    """A listener on loopback that notices whoever connects."""
    heard: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def listen() -> None:
            while True:
                try:
                    connection, address = listener.accept()
                except OSError:
                    return
                heard.append(str(address))
                connection.close()

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        yield listener.getsockname()[1], heard
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def through(proxy: EgressProxy, target: str, *, credentials: str | None = None) -> bytes:
    """What the proxy answers to who wants to connect to a target, and knows its secret or not."""
    url = urlsplit(proxy.proxy_url)
    given = f"{url.username}:{url.password}" if credentials is None else credentials
    head = f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n"
    if given:
        head += f"Proxy-Authorization: Basic {b64encode(given.encode()).decode()}\r\n"
    return ask(proxy, f"{head}\r\n".encode())


def ask(proxy: EgressProxy, request: bytes) -> bytes:
    """What the proxy answers to any bytes, which it may stop to read."""
    with socket.create_connection(("127.0.0.1", urlsplit(proxy.proxy_url).port or 0)) as client:
        with suppress(ConnectionError):
            client.sendall(request)
            client.shutdown(socket.SHUT_WR)
        with suppress(ConnectionError):
            return b"".join(iter(lambda: client.recv(4_096), b""))
    return b""


@pytest.mark.parametrize("credentials", ["", "engagement:", "engagement:wrong", "\u00e4:\u00e4"])
def test_who_does_not_know_the_secret_is_let_go_without_a_word(credentials: str) -> None:
    with canary() as (port, heard):
        proxy = EgressProxy(f"http://127.0.0.1:{port}")

        answer = through(proxy, f"127.0.0.1:{port}", credentials=credentials)
        plain = f"GET http://127.0.0.1:{port}/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()

        assert (answer, ask(proxy, plain)) == (b"", b"")
        assert heard == []


def test_no_two_destinations_have_the_same_secret() -> None:
    urls = {urlsplit(EgressProxy("https://a.example").proxy_url).password for _ in range(20)}

    assert len(urls) == 20


@pytest.mark.parametrize("at_once", [True, False])
def test_a_head_is_bounded_however_it_comes(*, at_once: bool) -> None:
    """Each line may be short, and all may come in one segment."""
    with canary() as (port, heard):
        proxy = EgressProxy(f"http://127.0.0.1:{port}")
        url = urlsplit(proxy.proxy_url)
        known = b64encode(f"{url.username}:{url.password}".encode())
        line = b"A: " + b"b" * (HEAD_BYTES_MAX if at_once else 1_000) + b"\r\n"
        head = f"GET http://127.0.0.1:{port}/ HTTP/1.1\r\n".encode()
        head += b"Proxy-Authorization: Basic " + known + b"\r\n"

        answer = ask(proxy, head + line * (HEAD_BYTES_MAX // len(line) + 1) + b"\r\n")

        assert (answer, heard) == (b"", [])


@pytest.mark.parametrize("address", FORBIDDEN)
def test_an_address_inside_is_refused(address: str) -> None:
    proxy = EgressProxy("https://a.example", resolve=lambda *_: [address])

    answer = through(proxy, "a.example:443")

    assert answer.startswith(b"HTTP/1.1 403 ")
    assert proxy.failure is not None
    assert proxy.failure.code is ErrorCode.EGRESS_DENIED


def test_a_destination_inside_is_refused_by_name() -> None:
    destination = open_destination(
        parse_container_url(URL, DestinationPolicy()), resolve=lambda *_: ["127.0.0.1"]
    )

    with pytest.raises(DestinationError) as raised:
        destination.check()

    assert raised.value.code is ErrorCode.EGRESS_DENIED
    assert not isinstance(raised.value, Retryable)
    assert "SECRET" not in str(raised.value)


@pytest.mark.parametrize("address", PUBLIC)
def test_an_address_outside_is_public(address: str) -> None:
    assert is_public(ip_address(address))


@given(st.integers(0, 2**32 - 1).map(IPv4Address))
def test_an_ipv4_address_in_disguise_is_never_public(address: IPv4Address) -> None:
    number = int(address)

    assert not is_public(IPv6Address((0xFFFF << 32) | number))
    assert not is_public(IPv6Address((0x64FF9B << 96) | number))
    assert not is_public(IPv6Address((0x2002 << 112) | (number << 80)))


def test_one_bad_answer_spoils_all() -> None:
    for addresses in (["20.60.1.1", "127.0.0.1"], ["::1", "20.60.1.1"], ["20.60.1.1", "garbage"]):
        with canary() as (port, heard):
            proxy = EgressProxy(f"https://a.example:{port}", resolve=lambda *_, a=addresses: a)
            answer = through(proxy, f"a.example:{port}")

        assert b"200 Connected" not in answer
        assert heard == []


def test_a_name_without_an_address_is_closed_to_all() -> None:
    def resolve(host: str, port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_FAIL, "SERVFAIL")

    destination = open_destination(parse_container_url(URL, DestinationPolicy()), resolve=resolve)

    with pytest.raises(DestinationError) as raised:
        destination.check()

    assert raised.value.code is ErrorCode.DNS_ERROR
    assert isinstance(raised.value, Retryable)


def test_a_name_that_changes_its_address_never_leads_inside() -> None:
    with canary() as (port, heard):
        # The address is looked up once, and what was checked is what is connected to.
        answers = cycle([["127.0.0.1"], ["240.0.0.1"], ["127.0.0.1", "20.60.1.1"], []])
        proxy = EgressProxy(f"https://a.example:{port}", resolve=lambda *_: next(answers))
        replies = [through(proxy, f"a.example:{port}") for _ in range(FLIPS)]

    assert heard == []
    assert not any(b"200 Connected" in item for item in replies)


def test_the_canary_notices_a_passage_to_it() -> None:
    with canary() as (port, heard):
        reply = through(EgressProxy(f"http://127.0.0.1:{port}"), f"127.0.0.1:{port}")

        wait_for(lambda: heard, "the canary to hear of it")

    assert b"200 Connected" in reply
    assert len(heard) == 1


def test_a_passage_leads_to_its_own_place_alone() -> None:
    with canary() as (port, heard), canary() as (other, heard_there):
        proxy = EgressProxy(f"http://127.0.0.1:{port}")
        for target in (f"127.0.0.1:{other}", f"localhost:{port}", "127.0.0.1", f"a@b:{port}", ""):
            assert b"200 Connected" not in through(proxy, target)

    assert heard == heard_there == []


@given(st.binary(max_size=200))
def test_garbage_gets_nowhere(garbage: bytes) -> None:
    port = int(GARBAGE_PROXY.proxy_url.rpartition(":")[2])

    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(garbage + b"\r\n\r\n")
        client.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: client.recv(4_096), b""))

    assert b"200" not in answer[:20]


GARBAGE_PROXY = EgressProxy("https://a.example", resolve=lambda *_: ["127.0.0.1"])
