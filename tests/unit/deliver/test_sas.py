"""Tests that a SAS is decoded once, into parameters that are all known."""

import pytest

from engagement.deliver.blob_urls import split_blob_url
from engagement.deliver.urls import DestinationPolicy, Scheme
from engagement.exceptions import ErrorCode, InvalidContainerError
from support.container_urls import HOST, SAS, parsed_url, refusal_of, sas_of


def test_an_ampersand_inside_a_value_makes_no_parameter() -> None:
    """Case 02: what looks like another parameter is a part of a value, and stays there."""
    sas = sas_of(f"{SAS}&rscc=a%26comp%3Dmetadata")

    assert sas == {**sas_of(SAS), "rscc": "a&comp=metadata"}


def test_an_ampersand_inside_a_file_name_is_kept() -> None:
    """Case 03."""
    sas = sas_of(f"{SAS}&rscd=attachment%3B%20filename%3Da%26b.txt")

    assert sas["rscd"] == "attachment; filename=a&b.txt"


def test_a_host_of_the_operator_needs_no_account_name() -> None:
    """Case 12."""
    policy = DestinationPolicy(container_hosts=("my-files.example.org",))

    parsed = parsed_url(f"https://my-files.example.org/cont/a?{SAS}", policy)

    assert parsed.scheme is Scheme.AZURE
    assert parsed.endpoint == "https://my-files.example.org"
    assert (parsed.account, parsed.container, parsed.prefix) == ("", "cont", "a")


def test_a_plus_in_an_s3_secret_is_a_plus() -> None:
    """Case 13."""
    parsed = parsed_url(
        "s3://my-bucket/p?access_key_id=AK&secret_access_key=a/b+c&region=us-east-1"
    )

    assert parsed.secrets["secret_access_key"] == "a/b+c"  # noqa: S105 - made up


def test_a_text_that_is_no_permission_is_not_repeated() -> None:
    error = refusal_of(f"https://{HOST}/container?sp=r%26sig%3Dcanary&sig=x")

    assert error.code is ErrorCode.SAS_PERMISSION_MISSING


FOLDER = "sv=2023-11-03&sr=d&sp=cw&sig=canary"


@pytest.mark.parametrize(
    ("path", "depth"),
    [("a", 1), ("a/b", 1), ("a/b", 2), ("a/b/c/d", 3), ("a//b/", 2), ("a%20b/c", 2), ("", 0)],
)
def test_a_sas_for_a_folder_serves_that_folder_and_those_below(path: str, depth: int) -> None:
    parsed = parsed_url(f"https://{HOST}/container/{path}?{FOLDER}&sdd={depth}")

    assert dict(parsed.sas)["sdd"] == str(depth)


@pytest.mark.parametrize(
    ("path", "depth", "code"),
    [
        ("", "1", ErrorCode.SAS_PERMISSION_MISSING),
        ("a", "2", ErrorCode.SAS_PERMISSION_MISSING),
        ("a//", "2", ErrorCode.SAS_PERMISSION_MISSING),
        ("a/b/c", "4", ErrorCode.SAS_PERMISSION_MISSING),
        ("a", "", ErrorCode.INVALID_CONTAINER),
        ("a", "-1", ErrorCode.INVALID_CONTAINER),
        ("a", "1.0", ErrorCode.INVALID_CONTAINER),
        ("a", "01", ErrorCode.INVALID_CONTAINER),
        ("a", "%D9%A1", ErrorCode.INVALID_CONTAINER),
        ("a", "canary", ErrorCode.INVALID_CONTAINER),
        ("a", "9" * 5_000, ErrorCode.INVALID_CONTAINER),
    ],
)
def test_a_sas_for_a_folder_serves_nothing_above(path: str, depth: str, code: ErrorCode) -> None:
    error = refusal_of(f"https://{HOST}/container/{path}?{FOLDER}&sdd={depth}")

    assert error.code is code


def test_a_sas_for_a_folder_needs_its_depth() -> None:
    refusal_of(f"https://{HOST}/container/a?{FOLDER}")


@pytest.mark.parametrize(
    ("host", "endpoint"),
    [
        ("account.dfs.core.windows.net", "account.blob.core.windows.net"),
        ("ACCOUNT.DFS.core.windows.net:443", "account.blob.core.windows.net:443"),
        ("account.dfs.core.chinacloudapi.cn", "account.blob.core.chinacloudapi.cn"),
        ("account.dfs.core.usgovcloudapi.net", "account.blob.core.usgovcloudapi.net"),
        ("account.dfs.core.cloudapi.de", "account.blob.core.cloudapi.de"),
        ("account.z01.dfs.storage.azure.net", "account.z01.blob.storage.azure.net"),
    ],
)
def test_a_data_lake_host_is_the_blob_host_of_its_account(host: str, endpoint: str) -> None:
    parsed = parsed_url(f"https://{host}/files/a?{SAS}", DestinationPolicy())

    assert parsed.endpoint == f"https://{endpoint}"
    assert parsed.redacted == f"https://{endpoint}/files/a"
    assert parsed.account == "account"


@pytest.mark.parametrize(
    "host",
    ["dfs.core.windows.net", "evildfs.core.windows.net", "account.dfs.core.windows.net.evil.org"],
)
def test_a_host_that_looks_like_a_data_lake_is_denied(host: str) -> None:
    assert refusal_of(f"https://{host}/files?{SAS}").code is ErrorCode.EGRESS_DENIED


@pytest.mark.parametrize("path", ["%zz", "%", "a/%FF", "%ED%A0%80", "a%2", "%C0%AE%C0%AE"])
def test_a_path_in_broken_spelling_is_refused(path: str) -> None:
    refusal_of(f"https://{HOST}/container/{path}?{SAS}")
    with pytest.raises(InvalidContainerError):
        split_blob_url(f"https://{HOST}/container/{path}?{SAS}")
