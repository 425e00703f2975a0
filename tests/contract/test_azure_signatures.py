"""Tests that a SAS signed by Azure's own SDK is taken if it is right, and only then.

Each URL is generated, so what must become of it is known from how it was made; that Azurite takes
it, as it is spelled, from a plain HTTP client is checked beside.
"""

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest
from azure.storage.blob import AccessPolicy, ContainerSasPermissions

from engagement.deliver.containers import open_destination
from engagement.deliver.urls import DestinationPolicy, parse_container_url
from engagement.exceptions import DestinationError, ErrorCode, InvalidContainerError, Retryable
from support.sas_judge import Judge, judging
from support.sas_urls import (
    AZURITE_KINDS,
    POLICY,
    Fate,
    Keys,
    Kind,
    SignedUrl,
    generate_urls,
)
from support.servers import AZURE_ACCOUNT, AzureContainer, Azurite

URLS = 2_200
KEY = "part&+ %.json"
LOOPBACK = DestinationPolicy(allow_loopback=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A container, and who checks the SAS of those that write there."""

    azurite: Azurite
    judge: Judge
    container: AzureContainer

    @property
    def keys(self) -> Keys:
        """What SAS for it are signed with."""
        return Keys(container=self.container.name, account_key=self.azurite.key)

    def url(self, signed: SignedUrl) -> str:
        """The whole container URL."""
        server = self.azurite if signed.kind in AZURITE_KINDS else self.judge
        path = f"{AZURE_ACCOUNT}/{self.container.name}{signed.path}"
        return f"{server.endpoint}/{path}?{signed.query}"


@pytest.fixture(scope="module")
def scene(azurite: Azurite) -> Iterator[Scene]:
    container = azurite.container()
    policy = AccessPolicy(
        permission=ContainerSasPermissions(create=True, write=True),
        start=datetime(2020, 1, 1, tzinfo=UTC),
        expiry=datetime(2099, 1, 1, tzinfo=UTC),
    )
    with azurite.client as client:
        client.get_container_client(container.name).set_container_access_policy({POLICY: policy})
    with judging(azurite) as judge:
        yield Scene(azurite=azurite, judge=judge, container=container)


def test_a_url_is_taken_or_refused_as_it_was_made(seed: int) -> None:
    keys = Keys(container="container", account_key="a2V5")
    host = "https://account.blob.core.windows.net"
    dice = random.Random(seed)  # noqa: S311 - repeated by its seed

    for signed in generate_urls(dice, URLS, keys):
        url = f"{host}/container{signed.path}?{signed.query}"
        if signed.flaw == "for https":  # as it is here
            continue
        if signed.fate is Fate.REFUSED:
            with pytest.raises(InvalidContainerError):
                parse_container_url(url, LOOPBACK)
            continue
        parsed = parse_container_url(url, LOOPBACK)
        assert dict(parsed.sas) == signed.signed, signed
        assert parsed.prefix == "/".join(signed.prefix)


def test_what_is_signed_is_delivered_under_its_name_and_nothing_else(
    scene: Scene, seed: int, signatures: int
) -> None:
    expected: dict[str, bytes] = {}
    kinds: set[Kind] = set()
    dice = random.Random(seed)  # noqa: S311 - repeated by its seed

    for number, signed in enumerate(generate_urls(dice, signatures, scene.keys)):
        data = b"%d" % number
        outcome = _deliver(scene.url(signed), data)
        assert outcome is signed.fate, signed
        if signed.kind in AZURITE_KINDS and not signed.flaw.startswith("stranger"):
            is_right = outcome is Fate.DELIVERED
            assert _plain_status(scene.url(signed)) == (201 if is_right else 403), signed
            expected |= {"/".join((*signed.prefix, "plain")): b"plain"} if is_right else {}
        if outcome is Fate.DELIVERED:
            expected["/".join((*signed.prefix, KEY))] = data
            kinds.add(signed.kind)

    assert kinds == set(Kind)
    assert _contents(scene) == expected


def _deliver(url: str, data: bytes) -> Fate:
    try:
        destination = open_destination(parse_container_url(url, LOOPBACK))
    except InvalidContainerError:
        return Fate.REFUSED
    try:
        destination.put(KEY, [data])
    except DestinationError as error:
        refused = error
    else:
        return Fate.DELIVERED
    assert refused.code is ErrorCode.SAS_INVALID_SIGNATURE
    assert not isinstance(refused, Retryable)
    return Fate.DENIED


def _plain_status(url: str) -> int:
    """What the service says to a plain client that writes below the URL as it is spelled."""
    split = urlsplit(url)
    connection = HTTPConnection(split.netloc, timeout=30)
    try:
        headers = {"x-ms-blob-type": "BlockBlob", "x-ms-version": "2025-01-05"}
        path = re.sub("/+", "/", split.path)  # two slashes are a name without letters to Azure
        target = f"{path}/plain?{split.query}"
        connection.request("PUT", target, body=b"plain", headers=headers)
        return connection.getresponse().status
    finally:
        connection.close()


def _contents(scene: Scene) -> dict[str, bytes]:
    """What lies in the container, by the SDK with the account's key."""
    with scene.azurite.client as client:
        container = client.get_container_client(scene.container.name)
        return {
            name: container.download_blob(name).readall() for name in container.list_blob_names()
        }
