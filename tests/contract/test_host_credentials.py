"""Tests that nothing of the host's own, set for its clouds, reaches a delivery.

An operator's key in the environment must never sign for a user: a user who names the operator's
account with a worthless SAS would write with the operator's rights.
"""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from scripted import Answer, Call, ScriptedServer, scripted

# A program of its own, because the libraries read the environment of the process.
_DELIVER = """
import sys
from engagement.deliver.containers import open_destination
from engagement.deliver.urls import DestinationPolicy, parse_container_url
from engagement.exceptions import DestinationError
policy = DestinationPolicy(allow_loopback=True)
def resolve(host, port):
    print("resolved", host, port)
    return ["127.0.0.1"]
try:
    for url in sys.argv[1:]:
        destination = open_destination(parse_container_url(url, policy), resolve=resolve)
        destination.put("a/b", [b"bytes"])
except DestinationError as error:
    sys.exit(f"{error.code}: {error}")
"""
_PLAIN_AZURE = """
import sys
import obstore
from obstore.store import AzureStore
store = AzureStore("container", account_name="devstoreaccount1", sas_key="sp=cw&sig=USER",
                   endpoint=sys.argv[1], client_options={"allow_http": True})
obstore.put(store, "a/b", b"bytes")
"""
_PLAIN_S3 = """
import sys
import obstore
from obstore.store import S3Store
store = S3Store("bucket", region="us-east-1", endpoint=sys.argv[1],
                client_options={"allow_http": True})
obstore.put(store, "a/b", b"bytes")
"""
KEY = "aG9zdC1rZXktaG9zdC1rZXk="
HOST_CREDENTIALS = {
    "AZURE_STORAGE_ACCOUNT_NAME": "hostaccount",
    "AZURE_STORAGE_ACCOUNT_KEY": KEY,
    "AZURE_STORAGE_SAS_KEY": "sp=rw&sig=HOST",
    "AZURE_STORAGE_TOKEN": "HOST",
    "AZURE_STORAGE_CLIENT_ID": "HOST",
    "AZURE_STORAGE_CLIENT_SECRET": "HOST",
    "AZURE_STORAGE_TENANT_ID": "HOST",
    "AZURE_CREDENTIAL_TYPE": "azure_cli",
    "AWS_ACCESS_KEY_ID": "HOST",
    "AWS_SECRET_ACCESS_KEY": "HOST",
    "AWS_SESSION_TOKEN": "HOST",
    "AWS_ROLE_ARN": "HOST",
    "AWS_PROFILE": "HOST",
    "GOOGLE_SERVICE_ACCOUNT_KEY": '{"private_key": "HOST", "private_key_id": "HOST", '
    '"client_email": "HOST", "disable_oauth": true}',
}
# What could change where or how a delivery is sent; {other} is a server of someone else's.
HOST_OPTIONS: tuple[dict[str, str], ...] = (
    {"AZURE_STORAGE_ENDPOINT": "{other}", "AZURE_ENDPOINT": "{other}"},
    {"AZURE_STORAGE_USE_EMULATOR": "true", "AZURITE_BLOB_STORAGE_URL": "{other}"},
    {"AZURE_USE_FABRIC_ENDPOINT": "true"},
    {"AZURE_SKIP_SIGNATURE": "true"},
    {"AZURE_CONTAINER_NAME": "other"},
    {"AZURE_PROXY_URL": "{other}", "AWS_PROXY_URL": "{other}"},
    {"AZURE_MSI_ENDPOINT": "{other}", "IDENTITY_ENDPOINT": "{other}", "IDENTITY_HEADER": "x"},
    {"AZURE_ALLOW_HTTP": "false", "AWS_ALLOW_HTTP": "false"},
    {"AWS_ENDPOINT": "{other}", "AWS_ENDPOINT_URL": "{other}"},
    {"AWS_ENDPOINT_URL_S3": "{other}"},
    {"AWS_SKIP_SIGNATURE": "true"},
    {"AWS_S3_EXPRESS": "true"},
    {"AWS_UNSIGNED_PAYLOAD": "true"},
    {"AWS_VIRTUAL_HOSTED_STYLE_REQUEST": "true"},
    {"AWS_BUCKET": "other", "AWS_BUCKET_NAME": "other"},
    {"AWS_REGION": "eu-west-3", "AWS_DEFAULT_REGION": "eu-west-3"},
    {"AWS_REQUEST_PAYER": "true"},
    {"AWS_METADATA_ENDPOINT": "{other}", "AWS_CONTAINER_CREDENTIALS_FULL_URI": "{other}"},
    {"AWS_WEB_IDENTITY_TOKEN_FILE": "/dev/null", "AWS_ENDPOINT_URL_STS": "{other}"},
    {"AZURE_FEDERATED_TOKEN_FILE": "/dev/null", "AZURE_AUTHORITY_HOST": "{other}"},
    {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/role", "AWS_CONTAINER_AUTHORIZATION_TOKEN": "x"},
    {"AWS_SHARED_CREDENTIALS_FILE": "/dev/null", "AWS_CONFIG_FILE": "/dev/null"},
    {"HTTP_PROXY": "{other}", "http_proxy": "{other}", "ALL_PROXY": "{other}"},
    {"HTTPS_PROXY": "{other}", "https_proxy": "{other}", "NO_PROXY": ""},
)
CLOUDS = ("AZURE_", "AWS_", "GOOGLE_")
COMBINATIONS = (
    {},
    HOST_CREDENTIALS,
    *({name: value} for name, value in HOST_CREDENTIALS.items()),
    *(
        {name: value for name, value in HOST_CREDENTIALS.items() if not name.startswith(cloud)}
        for cloud in CLOUDS
    ),
    *HOST_OPTIONS,
    *(HOST_CREDENTIALS | options for options in HOST_OPTIONS),
)
COMBINATIONS_MIN = 40


@pytest.fixture
def users() -> Iterator[ScriptedServer]:
    """The server that the user named."""
    with scripted(Answer(status=201)) as server:
        yield server


@pytest.fixture
def others() -> Iterator[ScriptedServer]:
    """A server that nobody named."""
    with scripted(Answer(status=201)) as server:
        yield server


def _run(
    program: str, *arguments: str, settings: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env={"PATH": os.defpath, **settings},
        check=False,
        capture_output=True,
        text=True,
    )


def _azure_url(server: ScriptedServer) -> str:
    return f"{server.endpoint}/devstoreaccount1/container?sp=cw&sr=c&sig=USER"


def _s3_url(server: ScriptedServer) -> str:
    query = "access_key_id=USER&secret_access_key=hidden&region=us-east-1"
    return f"s3://bucket/below?{query}&endpoint={server.endpoint}"


def _assert_users_azure(call: Call) -> None:
    assert call.method == "PUT"
    assert call.target == "/devstoreaccount1/container/a/b?sp=cw&sr=c&sig=USER"
    assert "authorization" not in call.headers


def _assert_users_s3(call: Call) -> None:
    assert call.method == "PUT"
    assert call.target == "/bucket/below/a/b"
    assert "Credential=USER/" in call.headers["authorization"]
    assert "/us-east-1/s3/" in call.headers["authorization"]
    assert call.headers["x-amz-content-sha256"] != "UNSIGNED-PAYLOAD"
    assert not {"x-amz-security-token", "x-amz-request-payer"} & call.headers.keys()


def test_there_are_as_many_combinations_as_promised() -> None:
    assert (
        len({tuple(sorted(combination.items())) for combination in COMBINATIONS})
        >= COMBINATIONS_MIN
    )


@pytest.mark.parametrize(
    "settings", COMBINATIONS, ids=lambda item: f"{len(item)} {' '.join(item)[-60:]}"
)
def test_only_the_users_credential_is_sent_and_only_to_the_users_server(
    users: ScriptedServer, others: ScriptedServer, settings: Mapping[str, str]
) -> None:
    filled = {name: value.replace("{other}", others.endpoint) for name, value in settings.items()}

    result = _run(_DELIVER, _azure_url(users), _s3_url(users), settings=filled)

    assert result.stderr == ""
    assert others.calls == []
    azure, s3 = users.calls
    _assert_users_azure(azure)
    _assert_users_s3(s3)


def test_without_our_care_the_hosts_key_signs_for_azure(users: ScriptedServer) -> None:
    # This is what the tests above would see: it shows that they can fail.
    endpoint = f"{users.endpoint}/devstoreaccount1"
    _run(_PLAIN_AZURE, endpoint, settings={"AZURE_STORAGE_ACCOUNT_KEY": KEY})

    assert users.calls[0].headers["authorization"].startswith("SharedKey devstoreaccount1:")
    assert "sig=USER" not in users.calls[0].target


def test_without_our_care_the_hosts_key_signs_for_s3(users: ScriptedServer) -> None:
    _run(_PLAIN_S3, users.endpoint, settings=HOST_CREDENTIALS)

    assert "Credential=HOST/" in users.calls[0].headers["authorization"]


def test_an_encryption_key_of_the_hosts_is_refused(users: ScriptedServer) -> None:
    settings = {"AWS_SERVER_SIDE_ENCRYPTION": "aws:kms", "AWS_SSE_KMS_KEY_ID": "HOST"}

    result = _run(_DELIVER, _s3_url(users), settings=settings)

    assert result.stderr.startswith("EgressDenied: ")
    assert "AWS_SERVER_SIDE_ENCRYPTION" in result.stderr
    assert users.calls == []


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("gs://bucket/below?access_token=USER", "storage.googleapis.com 443"),
        (
            "s3://bucket/below?access_key_id=USER&secret_access_key=hidden&region=eu-west-1",
            "s3.eu-west-1.amazonaws.com 443",
        ),
        (
            "https://account.blob.core.windows.net/container?sp=cw&sr=c&sig=USER",
            "account.blob.core.windows.net 443",
        ),
    ],
)
def test_a_clouds_own_service_is_found_whatever_the_host_says(
    others: ScriptedServer, tmp_path: Path, url: str, host: str
) -> None:
    account = tmp_path / "account.json"
    account.write_text(
        '{"private_key": "HOST", "private_key_id": "HOST", "client_email": "HOST", '
        f'"disable_oauth": true, "gcs_base_url": "{others.endpoint}"}}',
        encoding="utf-8",
    )
    settings = {
        "GOOGLE_SERVICE_ACCOUNT": str(account),
        "GOOGLE_BASE_URL": others.endpoint,
        "GOOGLE_SKIP_SIGNATURE": "true",
        "AWS_ENDPOINT_URL_S3": others.endpoint,
        "AWS_ENDPOINT_URL": others.endpoint,
        "AZURE_STORAGE_ENDPOINT": others.endpoint,
        "AZURE_STORAGE_USE_EMULATOR": "true",
    }

    result = _run(_DELIVER, url, settings={**settings, "HTTPS_PROXY": others.endpoint})

    assert set(result.stdout.splitlines()) == {f"resolved {host}"}
    assert result.stderr.startswith("EgressDenied: ")  # it was said to be on loopback
    assert others.calls == []
