"""Tests that the storage servers of the tests are what the tests take them for."""

import pytest
from azure.core.exceptions import HttpResponseError
from azure.storage.blob import ContainerClient

from support.servers import S3, Azurite


def test_azurite_lets_the_write_url_write_but_not_read(azurite: Azurite) -> None:
    container = azurite.container()

    with ContainerClient.from_container_url(container.write_url) as client:
        client.upload_blob("a/b", b"bytes", overwrite=True)
        with pytest.raises(HttpResponseError):
            client.download_blob("a/b")

    assert container.admin.list() == ["a/b"]
    assert container.admin.read("a/b") == b"bytes"


def test_azurite_lets_the_read_url_read_but_not_write(azurite: Azurite) -> None:
    container = azurite.container()

    with ContainerClient.from_container_url(container.read_url) as client:
        assert list(client.list_blob_names()) == []
        with pytest.raises(HttpResponseError):
            client.upload_blob("a/b", b"bytes")


def test_s3_shows_what_lies_below_the_prefix(s3: S3) -> None:
    container = s3.container()

    s3.client.put_object(Bucket=container.name, Key="below/here/a", Body=b"bytes")
    s3.client.put_object(Bucket=container.name, Key="elsewhere", Body=b"")

    assert container.admin.list() == ["a"]
    assert container.admin.read("a") == b"bytes"
