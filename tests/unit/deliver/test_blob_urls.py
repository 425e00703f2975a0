"""Tests that a blob's URL is split into its container and its name."""

import pytest

from engagement.deliver.blob_urls import split_blob_url
from engagement.exceptions import InvalidContainerError
from support.container_urls import HOST, SAS, parsed_url

FOLDER = "sv=2023-11-03&sr=d&sp=cw&sig=canary"


def test_the_url_of_a_blob_is_split_at_its_last_name() -> None:
    container, key = split_blob_url(f"https://{HOST}/container/a/b%20c.json?{FOLDER}&sdd=1")

    assert key == "b c.json"
    assert parsed_url(container, permission="r" if "sp=r" in container else "w").prefix == "a"


@pytest.mark.parametrize("name", ["", "..", "%2e%2e", ".", "a%2Fb", "a%00", "a\\b", "b#", "b#x"])
def test_a_url_that_names_no_blob_is_refused(name: str) -> None:
    before, _, fragment = name.partition("#")
    url = f"https://{HOST}/container/{before}?{SAS}" + ("#" + fragment if "#" in name else "")

    with pytest.raises(InvalidContainerError) as raised:
        split_blob_url(url)
    assert "canary" not in str(raised.value)
