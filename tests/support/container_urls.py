"""Parses container URLs as of one instant, and checks that a refusal repeats no secret."""

from datetime import UTC, datetime

import pytest

from engagement.deliver.urls import ContainerUrl, DestinationPolicy, parse_container_url
from engagement.exceptions import InvalidContainerError

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
SAS = "sv=2023-11-03&sr=c&sp=cw&se=2099-01-01T00%3A00%3A00Z&sig=canary"
HOST = "account.blob.core.windows.net"
STRICT = DestinationPolicy()


def parsed_url(
    url: str, policy: DestinationPolicy = STRICT, *, permission: str = "w"
) -> ContainerUrl:
    return parse_container_url(url, policy, now=NOW, permission=permission)


def refusal_of(url: str, policy: DestinationPolicy = STRICT) -> InvalidContainerError:
    """The error that refuses a URL, whose secrets have the word canary in them."""
    with pytest.raises(InvalidContainerError) as raised:
        parsed_url(url, policy)
    assert "canary" not in f"{raised.value} {raised.value!r}"
    assert raised.value.__cause__ is None
    assert raised.value.__context__ is None
    return raised.value


def sas_of(query: str) -> dict[str, str]:
    """The parameters of a container's SAS as they are read."""
    return dict(parsed_url(f"https://{HOST}/container?{query}").sas)
