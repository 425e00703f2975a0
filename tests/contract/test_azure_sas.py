"""Tests what an Azure SAS that does not fit is answered with, and that it stays hidden.

Azurite answers `AuthorizationFailure` for a wrong signature and a wrong time alike, so these are
told apart by the times in the SAS; Azure's own words are tested in `test_failures.py`.
"""

from base64 import b64encode
from datetime import UTC, datetime, timedelta

import pytest
from secrecy import assert_hidden

from engagement.deliver.containers import open_destination
from engagement.deliver.destination import Destination
from engagement.deliver.urls import DestinationPolicy, parse_container_url
from engagement.exceptions import (
    DestinationError,
    ErrorCode,
    InvalidContainerError,
    Retryable,
)
from support.servers import S3, Azurite

POLICY = DestinationPolicy(allow_loopback=True)
HOUR = timedelta(hours=1)
OTHER_KEY = b64encode(bytes(64)).decode()


def _opened(url: str, *, now: datetime | None = None, permission: str = "w") -> Destination:
    return open_destination(parse_container_url(url, POLICY, now=now, permission=permission))


def _assert_refused(destination: Destination, code: ErrorCode, url: str) -> None:
    for data in (b"small", bytes(9 * 1024 * 1024)):
        with pytest.raises(DestinationError) as raised:
            destination.put("a/b", [data])
        assert raised.value.code is code
        assert not isinstance(raised.value, Retryable)
        assert_hidden(raised.value, url.partition("sig=")[2], url.partition("?")[2])


@pytest.mark.parametrize("permission", ["w", "cw", "racwdl"])
def test_a_sas_that_may_write_is_enough(azurite: Azurite, permission: str) -> None:
    container = azurite.container()
    destination = _opened(azurite.url(container.name, permission))

    destination.check()
    for data in (b"small", b"again", bytes(9 * 1024 * 1024)):
        destination.put("a/b", [data])

    assert container.admin.read("a/b") == bytes(9 * 1024 * 1024)


@pytest.mark.parametrize("permission", ["r", "c", "rl", "a"])
def test_a_sas_that_may_not_write_is_refused_up_front(azurite: Azurite, permission: str) -> None:
    url = azurite.url(azurite.container().name, permission)

    with pytest.raises(InvalidContainerError, match="permission w") as raised:
        _opened(url)

    assert raised.value.code is ErrorCode.SAS_PERMISSION_MISSING
    assert_hidden(raised.value, url.partition("sig=")[2])


def test_a_permission_missing_at_the_server_is_named(azurite: Azurite) -> None:
    container = azurite.container()
    url = azurite.url(container.name, "r")

    _assert_refused(_opened(url, permission="r"), ErrorCode.SAS_PERMISSION_MISSING, url)

    assert container.admin.list() == []


def test_a_credential_that_may_only_write_can_neither_read_list_nor_delete(
    azurite: Azurite,
) -> None:
    container = azurite.container()
    destination = _opened(container.write_url)
    destination.put("a/b", [b"bytes"])

    for request in (
        lambda: b"".join(destination.get("a/b")),
        lambda: destination.list_keys("a/"),
        lambda: destination.delete("a/b"),
    ):
        with pytest.raises(DestinationError) as raised:
            request()
        assert raised.value.code is ErrorCode.SAS_PERMISSION_MISSING

    assert container.admin.list() == ["a/b"]


def test_a_sas_for_creating_only_can_write_each_small_object_once(azurite: Azurite) -> None:
    container = azurite.container()
    destination = _opened(azurite.url(container.name, "c"), permission="c")

    destination.put("a/b", [b"first"])
    with pytest.raises(DestinationError) as raised:
        destination.put("a/b", [b"second"])

    assert raised.value.code is ErrorCode.SAS_PERMISSION_MISSING
    assert container.admin.read("a/b") == b"first"


def test_a_wrong_signature_is_named(azurite: Azurite) -> None:
    container = azurite.container()
    url = azurite.url(container.name, "cw", key=OTHER_KEY)

    _assert_refused(_opened(url), ErrorCode.SAS_INVALID_SIGNATURE, url)

    assert container.admin.list() == []


def test_an_expired_sas_is_refused_up_front(azurite: Azurite) -> None:
    url = azurite.url(azurite.container().name, "cw", ends=datetime.now(UTC) - HOUR)

    with pytest.raises(InvalidContainerError) as raised:
        _opened(url)

    assert raised.value.code is ErrorCode.SAS_EXPIRED
    assert_hidden(raised.value, url.partition("sig=")[2])


def test_a_sas_that_expired_meanwhile_is_named(azurite: Azurite) -> None:
    now = datetime.now(UTC)
    url = azurite.url(azurite.container().name, "cw", ends=now - HOUR)

    _assert_refused(_opened(url, now=now - 2 * HOUR), ErrorCode.SAS_EXPIRED, url)


def test_a_sas_of_the_future_is_refused_up_front(azurite: Azurite) -> None:
    now = datetime.now(UTC)
    url = azurite.url(azurite.container().name, "cw", starts=now + HOUR, ends=now + 3 * HOUR)

    with pytest.raises(InvalidContainerError) as raised:
        _opened(url)

    assert raised.value.code is ErrorCode.SAS_NOT_YET_VALID


def test_a_sas_that_has_not_started_at_the_server_is_named(azurite: Azurite) -> None:
    now = datetime.now(UTC)
    url = azurite.url(azurite.container().name, "cw", starts=now + HOUR, ends=now + 3 * HOUR)

    _assert_refused(_opened(url, now=now + 2 * HOUR), ErrorCode.SAS_NOT_YET_VALID, url)


def test_the_secrets_of_s3_stay_hidden(s3: S3) -> None:
    secret = "canary/with+letters=that&are%encoded"  # noqa: S105 - a canary
    url = s3.url("c-that-is-not", secret=secret)
    destination = _opened(url)

    assert_hidden(ValueError(repr(destination), str(parse_container_url(url, POLICY))), secret)
    with pytest.raises(DestinationError) as raised:
        destination.put("a/b", [b"bytes"])
    assert_hidden(raised.value, secret)
