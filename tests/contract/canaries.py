"""A program for a network namespace of its own: hostile URLs among canaries.

It listens on the addresses that no export may ever reach, on many ports, has every name resolve
to one of them, and offers generated container URLs to the service. It prints as JSON how many
URLs it tried, how many were refused at once, and who was connected to. With `control`, it makes
one connection itself, which the canaries must notice.
"""

import json
import random
import selectors
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from itertools import cycle
from urllib.parse import quote

from engagement.deliver.containers import open_destination
from engagement.deliver.urls import DestinationPolicy, parse_container_url
from engagement.exceptions import DestinationError, InvalidContainerError

CANARIES = ("127.0.0.1", "169.254.169.254", "168.63.129.16", "10.0.0.1", "fd00:ec2::254", "::1")
PORTS = (80, 443, 8_080, 8_443, 10_000)
HOSTILE = 10_000
LEGAL = 500
QUERY = "sv=2024-11-04&sr=c&sp=cw&sig=AAAA"
AZURE = "blob.core.windows.net"


def main(words: list[str]) -> None:
    """Try everything and tell what happened."""
    for address in CANARIES:
        # Without duplicate address detection an IPv6 address is there at once.
        command = ["ip", "address", "add", address, "dev", "lo"]
        subprocess.run([*command, *(["nodad"] if ":" in address else [])], check=False)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    heard: list[str] = []
    listeners = [_listener(address, port) for address in CANARIES for port in PORTS]
    threading.Thread(target=_listen, args=(listeners, heard), daemon=True).start()
    is_control = words == ["control"]
    if is_control:
        socket.create_connection(("169.254.169.254", 80), timeout=60).close()
    policy, canaries = DestinationPolicy(), cycle(CANARIES)
    refused = tried = 0
    dice = random.Random(20261124)  # noqa: S311 - the same URLs each time
    for url in _hostile(dice, 1 if is_control else HOSTILE):
        tried += 1
        try:
            parsed = parse_container_url(url, policy)
        except InvalidContainerError:
            refused += 1
            continue
        _deliver(parsed, canaries)
    legal = sum(_is_accepted(url, policy) for url in _legal(dice, LEGAL))
    json.dump({"tried": tried, "refused": refused, "legal": legal, "heard": heard}, sys.stdout)


def _deliver(parsed: object, canaries: Iterator[str]) -> None:
    destination = open_destination(parsed, resolve=lambda *_: [next(canaries)])  # type: ignore[arg-type]
    try:
        destination.check()
    except DestinationError:
        return


def _is_accepted(url: str, policy: DestinationPolicy) -> bool:
    parse_container_url(url, policy)
    return True


def _listener(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return socket.create_server((address, port), family=family)


def _listen(listeners: list[socket.socket], heard: list[str]) -> None:
    ready = selectors.DefaultSelector()
    for listener in listeners:
        ready.register(listener, selectors.EVENT_READ)
    while True:
        for key, _ in ready.select():
            connection, _ = key.fileobj.accept()  # type: ignore[union-attr]
            heard.append(str(connection.getsockname()[:2]))
            connection.close()


def _hostile(dice: random.Random, count: int) -> Iterator[str]:
    """Container URLs that name an inner address in some disguise."""
    for _ in range(count):
        address = dice.choice(CANARIES[:4])
        host = dice.choice(_DISGUISES)(dice, address)
        scheme = dice.choice(
            ("https", "https", "https", "http", "HTTPS", "ftp", "gopher", "s3", "")
        )
        port = dice.choice(("", "", "", ":443", ":80", ":8080", ":10000", ":0", ":99999", ":x"))
        path = dice.choice(("/container", "/container/a/../b", "/acc/container", "//container", ""))
        query = dice.choice((QUERY, QUERY, f"{QUERY}&endpoint=http://{address}", f"{QUERY}#x", ""))
        if scheme == "s3":
            endpoint = quote(f"https://{host}{port}", safe="")
            yield (
                f"s3://bucket/p?access_key_id=a&secret_access_key=bbbb&region=us-east-1"
                f"&endpoint={endpoint}"
            )
        else:
            yield f"{scheme}://{host}{port}{path}?{query}"


def _number(address: str) -> int:
    return int.from_bytes(socket.inet_aton(address))


_DISGUISES = (
    lambda _, a: a,
    lambda _, a: str(_number(a)),
    lambda _, a: hex(_number(a)),
    lambda _, a: oct(_number(a)).replace("o", ""),
    lambda _, a: ".".join(hex(int(word)) for word in a.split(".")),
    lambda _, a: ".".join(f"0{int(word):o}" for word in a.split(".")),
    lambda _, a: f"{a.split('.')[0]}.{_number(a) & 0xFFFFFF}",
    lambda _, a: f"{a}.",
    lambda _, a: f"[::ffff:{a}]",
    lambda _, a: f"[::{a}]",
    lambda _, a: f"[64:ff9b::{a}]",
    lambda _, a: f"[2002:{_number(a) >> 16:x}:{_number(a) & 0xFFFF:x}::]",
    lambda _, __: "[::1]",
    lambda _, __: "[fd00:ec2::254]",
    lambda _, __: "[fd00:ec2::254%25lo]",
    lambda _, __: "localhost",
    lambda _, a: f"{a}.nip.io",
    lambda _, a: f"account.{AZURE}@{a}",
    lambda _, a: f"{a}@account.{AZURE}",
    lambda _, a: f"{a}\\@account.{AZURE}",
    lambda _, a: f"{a}/account.{AZURE}",
    lambda _, a: f"{a}#.{AZURE}",
    lambda _, a: f"{a}?.{AZURE}",
    lambda _, a: f"{a}%00.{AZURE}",
    lambda _, a: f"{a}%2f.{AZURE}",
    lambda _, a: f"{a}\t.{AZURE}",
    lambda _, a: f"{a}\r\n.{AZURE}",
    lambda _, a: f"{a} .{AZURE}",
    lambda _, a: quote(a, safe="").replace(".", "%2e"),
    lambda _, a: "".join(chr(0xFEE0 + ord(item)) if item.isdigit() else item for item in a),
    lambda _, a: a.replace(".", "。"),
    lambda _, __: f"account.{AZURE}.evil.example",
    lambda _, __: f"evil-{AZURE}",
    lambda _, __: f"account.{AZURE}.",
    lambda _, __: f"аccount.{AZURE}",  # noqa: RUF001 - a Cyrillic letter
    lambda _, __: AZURE,
    lambda _, __: f"..{AZURE}",
    lambda _, __: f"{'a' * 70}.{AZURE}",
    lambda dice, _: f"{''.join(dice.choices('abc123.-_%@:[]', k=12))}.{AZURE}",
    lambda dice, _: f"account{dice.randrange(9)}.{AZURE}",
)


def _legal(dice: random.Random, count: int) -> Iterator[str]:
    """Container URLs as users have them."""
    suffixes = (AZURE, "blob.core.chinacloudapi.cn", "blob.core.usgovcloudapi.net")
    for number in range(count):
        account = "".join(
            dice.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=dice.randint(3, 24))
        )
        prefix = dice.choice(("", "/a", "/a/b%20c", "/2026/11"))
        port = dice.choice(("", "", ":443"))
        url = f"https://{account}.{dice.choice(suffixes)}{port}/container-{number}{prefix}?{QUERY}"
        yield dice.choice((url, url.replace("https://", "HTTPS://")))


if __name__ == "__main__":
    main(sys.argv[1:])
