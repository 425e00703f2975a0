"""Starts the real storage servers that tests deliver to, and looks into them."""

import fcntl
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlencode

import boto3
import pytest
from azure.storage.blob import BlobServiceClient, generate_container_sas
from botocore.config import Config

from support.checkout import TESTS
from support.waiting import wait_for

STOP_SECONDS_MAX = 10
"""After so long an emulator is killed, which no test minds."""
INSTALL_SECONDS_MAX = 600
AZURE_ACCOUNT = "devstoreaccount1"
AZURITE_FOLDER = TESTS / "azurite"
S3_REGION = "us-east-1"


class Admin(Protocol):
    """A look into a container with rights that the tested credential does not have."""

    def list(self) -> list[str]:
        """The keys below the container URL's prefix, sorted."""

    def read(self, name: str) -> bytes:
        """The bytes of one of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AzureContainer:
    """A container of its own in Azurite."""

    name: str
    """Its name."""
    write_url: str = field(repr=False)
    """With a SAS that may create and write, and nothing else."""
    read_url: str = field(repr=False)
    """With a SAS that may read and list."""
    admin: Admin
    """What lies in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Container:
    """A bucket of its own in moto's S3, with a prefix."""

    name: str
    """Its name."""
    write_url: str = field(repr=False)
    """With a key that may do everything."""
    read_url: str = field(repr=False)
    """The same."""
    admin: Admin
    """What lies below the prefix."""


@dataclass(frozen=True, slots=True)
class Azurite:
    """A running Azurite, whose account key is made for this run."""

    endpoint: str
    """Scheme, host and port."""
    key: str = field(repr=False)
    """The account key."""

    @property
    def client(self) -> BlobServiceClient:
        """The account, with every right."""
        return BlobServiceClient(f"{self.endpoint}/{AZURE_ACCOUNT}", credential=self.key)

    def container(self, prefix: str = "c") -> AzureContainer:
        """A new empty container."""
        name = f"{prefix}-{secrets.token_hex(8)}"
        with self.client as client:
            client.create_container(name)
        return AzureContainer(
            name=name,
            write_url=self.url(name, "cw"),
            read_url=self.url(name, "rl"),
            admin=AzureAdmin(server=self, name=name),
        )

    def url(
        self,
        name: str,
        permission: str,
        *,
        starts: datetime | None = None,
        ends: datetime | None = None,
        key: str | None = None,
    ) -> str:
        """A container URL with a SAS, signed with the account's key or another one."""
        sas = generate_container_sas(
            AZURE_ACCOUNT,
            name,
            account_key=key or self.key,
            permission=permission,
            start=starts,
            expiry=ends or datetime.now(UTC) + timedelta(hours=4),
        )
        return f"{self.endpoint}/{AZURE_ACCOUNT}/{name}?{sas}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AzureAdmin:
    """A look into a container of Azurite with the account's key."""

    server: Azurite
    name: str

    def list(self) -> list[str]:
        """The names of all blobs, sorted."""
        with self.server.client as client:
            return sorted(client.get_container_client(self.name).list_blob_names())

    def read(self, name: str) -> bytes:
        """The bytes of a blob."""
        with self.server.client as client:
            return client.get_blob_client(self.name, name).download_blob().readall()


@dataclass(frozen=True)
class S3:
    """A running moto server."""

    endpoint: str

    @cached_property
    def client(self) -> Any:
        """The account, with every right."""
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name=S3_REGION,
            aws_access_key_id="admin",
            aws_secret_access_key="admin",  # noqa: S106 - moto takes any
            config=Config(proxies={}),
        )

    def container(self, prefix: str = "c") -> S3Container:
        """A new empty bucket."""
        name = f"{prefix}-{secrets.token_hex(8)}"
        self.client.create_bucket(Bucket=name)
        url = self.url(name)
        return S3Container(
            name=name,
            write_url=url,
            read_url=url,
            admin=S3Admin(client=self.client, name=name, prefix="below/here"),
        )

    def url(self, name: str, *, secret: str | None = None) -> str:
        """A container URL with the prefix `below/here` and a made-up key, which moto takes."""
        query = {
            "access_key_id": f"id{secrets.token_hex(8)}",
            "secret_access_key": secret or secrets.token_urlsafe(30),
            "region": S3_REGION,
            "endpoint": self.endpoint,
        }
        return f"s3://{name}/below/here?{urlencode(query)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Admin:
    """A look into a bucket of moto."""

    client: Any = field(repr=False)
    name: str
    prefix: str

    def list(self) -> list[str]:
        """The keys below the prefix, without it, sorted."""
        pages = self.client.get_paginator("list_objects_v2").paginate(
            Bucket=self.name, Prefix=f"{self.prefix}/"
        )
        skipped = len(self.prefix) + 1
        return sorted(
            content["Key"][skipped:] for page in pages for content in page.get("Contents", ())
        )

    def read(self, name: str) -> bytes:
        """The bytes of an object."""
        answer = self.client.get_object(Bucket=self.name, Key=f"{self.prefix}/{name}")
        with answer["Body"] as body:
            data: bytes = body.read()
        return data


@contextmanager
def running_azurite() -> Iterator[Azurite]:
    """Azurite on a free loopback port, in memory; installed first where it is missing."""
    node = required_program("node")
    install_node_packages(AZURITE_FOLDER, "azurite")
    key = b64encode(secrets.token_bytes(64)).decode()
    command = [
        node,
        str(AZURITE_FOLDER / "node_modules/azurite/dist/src/blob/main.js"),
        *("--blobHost", "127.0.0.1", "--blobPort", "0"),
        *("--skipApiVersionCheck", "--silent", "--inMemoryPersistence", "--disableTelemetry"),
    ]
    settings = {"AZURITE_ACCOUNTS": f"{AZURE_ACCOUNT}:{key}"}
    ready = re.compile(r"successfully listens on (http://127\.0\.0\.1:\d+)")
    with running_process(command, settings, ready) as endpoint:
        yield Azurite(endpoint, key)


@contextmanager
def running_s3() -> Iterator[S3]:
    """Moto's S3 on a free loopback port."""
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    ready = re.compile(r"Running on (http://127\.0\.0\.1:\d+)")
    with running_process(command, {}, ready) as endpoint:
        server = S3(endpoint)
        yield server
        server.client.close()


def required_program(program: str) -> str:
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"The test needs {program}, which is not installed.")
    return path


def install_node_packages(folder: Path, package: str) -> None:
    """Install what a folder's lock file pins, once for all test processes."""
    lock = folder / "package-lock.json"
    npm = required_program("npm")
    with lock.open(encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        installed = _node_version(folder / "node_modules/.package-lock.json", package)
        if installed == _node_version(lock, package):
            return
        done = subprocess.run(
            [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"],
            cwd=folder,
            timeout=INSTALL_SECONDS_MAX,
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode != 0:
        pytest.fail(f"`npm ci` must install {package}, but: {done.stderr[-2_000:]}")


def _node_version(lock: Path, package: str) -> str | None:
    """The version in a lock; npm writes the one inside node_modules when all is in place."""
    if not lock.is_file():
        return None
    packages = json.loads(lock.read_text(encoding="utf-8"))["packages"]
    version: str | None = packages.get(f"node_modules/{package}", {}).get("version")
    return version


@contextmanager
def running_process(
    command: Sequence[str], settings: Mapping[str, str], ready: re.Pattern[str]
) -> Iterator[str]:
    """A server process, from when it says its address until the end of the block."""
    with tempfile.TemporaryDirectory(prefix="engagement-server-") as folder:
        log = Path(folder) / "log"
        with (
            log.open("wb") as output,
            subprocess.Popen(
                command,
                cwd=folder,
                env={"PATH": os.defpath, "HOME": folder, **settings},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            ) as process,
        ):
            try:
                yield _address(process, log, ready)
            finally:
                _stop(process)


def _address(process: subprocess.Popen[bytes], log: Path, ready: re.Pattern[str]) -> str:
    def find_address() -> str | None:
        text = log.read_text(encoding="utf-8", errors="replace")
        if match := ready.search(text):
            return match[1]
        if process.poll() is not None:
            pytest.fail(f"The server must say its address, but it said: {text[-2_000:]}")
        return None

    return wait_for(find_address, f"the address of {process.args}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        process.kill()
