"""Parses container URLs, which are hostile input, and hides the secrets in them."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from engagement.deliver.parameters import (
    Parameters,
    decode_escapes,
    parse_parameters,
    refuse_unknown,
    refuse_unsendable,
    require_parameters,
)
from engagement.deliver.sas import parse_sas
from engagement.exceptions import ErrorCode, InvalidContainerError
from engagement.model.hosts import LOOPBACK_HOSTS
from engagement.settings import Settings

URL_CHARACTERS_MAX = 8_192
AZURE_HOST_SUFFIXES = (
    ".blob.core.windows.net",
    ".blob.core.chinacloudapi.cn",
    ".blob.core.usgovcloudapi.net",
    ".blob.core.cloudapi.de",
    ".blob.storage.azure.net",
)
DATA_LAKE_HOST_SUFFIXES = tuple(
    suffix.replace(".blob.", ".dfs.", 1) for suffix in AZURE_HOST_SUFFIXES
)
"""Where the same accounts answer as Data Lake Storage: the same objects under the same names."""
_CONTAINER = re.compile(r"(?=.{3,63}$)[a-z0-9](-?[a-z0-9])+|\$root|\$web")
_BUCKET = re.compile(r"(?!.*\.\.)[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]")
_REGION = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
_HOST = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+")
_NUMBERS = re.compile(r"(0x[0-9a-f]*|[0-9]+)(\.(0x[0-9a-f]*|[0-9]+))*\.?")
_ACCOUNT = re.compile(r"[a-z0-9]{3,24}(-secondary)?")
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f-\U0010ffff\\<>\"^`{|}]")
_EXAMPLE = "https://ACCOUNT.blob.core.windows.net/CONTAINER?SAS"


class Scheme(StrEnum):
    """What kind of storage a container URL names."""

    AZURE = "azure"
    S3 = "s3"
    GCS = "gs"
    LOCAL = "file"
    MEMORY = "memory"


@dataclass(frozen=True, slots=True, kw_only=True)
class DestinationPolicy:
    """Which containers may be named."""

    local_roots: tuple[Path, ...] = ()
    """Folders below which `file://` containers may lie."""
    allow_loopback: bool = False
    """Development only: http and loopback hosts."""
    container_hosts: tuple[str, ...] = ()
    """Further host suffixes, besides those of the clouds."""
    allow_memory: bool = False
    """Tests only: `memory://` containers."""

    @classmethod
    def from_settings(
        cls, settings: Settings, *, allow_memory: bool = False
    ) -> "DestinationPolicy":
        """The policy that the operator set."""
        return cls(
            local_roots=tuple(root.absolute() for root in settings.local_roots),
            allow_loopback=settings.allow_loopback_containers,
            container_hosts=settings.container_hosts,
            allow_memory=allow_memory,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerUrl:
    """A container URL that was checked. What connects is built from these parts alone."""

    scheme: Scheme
    """What kind of storage."""
    container: str
    """Container, bucket, or absolute folder."""
    prefix: str = ""
    """Object key prefix inside it, without slashes at its ends."""
    endpoint: str = ""
    """Scheme, host and port to connect to; empty for the cloud's own."""
    account: str = ""
    """Azure: the storage account, empty at a host that the operator added."""
    secrets: dict[str, str] = field(default_factory=dict, repr=False)
    """Credentials by name; never shown. A SAS is here as it was given."""
    sas: Parameters = field(default=(), repr=False)
    """Azure: the parameters of the SAS, decoded and checked, which are what is sent."""
    starts_at: datetime | None = None
    """Azure: when the SAS starts."""
    expires_at: datetime | None = None
    """Azure: when the SAS ends."""

    @property
    def redacted(self) -> str:
        """The container without its credential, fit to be shown."""
        path = f"{self.container}/{self.prefix}" if self.prefix else self.container
        if self.scheme is Scheme.LOCAL:
            return f"file://{path}"
        if self.scheme is Scheme.AZURE:
            return f"{self.endpoint}/{path}"
        return f"{self.scheme.value}://{path}"

    def __str__(self) -> str:
        return self.redacted


def parse_container_url(
    text: str, policy: DestinationPolicy, *, now: datetime | None = None, permission: str = "w"
) -> ContainerUrl:
    """Return the checked parts of a container URL that may be used and can work.

    Args:
        text: What the client gave; never part of an error message.
        policy: What the operator allows.
        now: The instant at which a SAS must be valid; the present if absent.
        permission: What a SAS must allow: w to write, r to read.

    Raises:
        InvalidContainerError: Not so; the code says why, SasExpired for one.
    """
    split, port = split_plain_url(text)
    if split.fragment or "#" in text:
        raise InvalidContainerError("A container URL must not have a fragment (`#…`), got one.")
    if "@" in split.netloc:
        raise InvalidContainerError("A container URL must not have a user or password, got one.")
    parse = _PARSERS.get(split.scheme.lower())
    if parse is None:
        raise InvalidContainerError(
            f"A container URL must begin with https, s3, gs or file, got {split.scheme[:20]!r}."
        )
    return parse(
        _Given(
            split=split,
            port=port,
            policy=policy,
            now=now or datetime.now(UTC),
            permission=permission,
        )
    )


def split_plain_url(text: str) -> tuple[SplitResult, int | None]:
    """Split a URL whose text all parsers split alike, and return its parts and its port.

    Raises:
        InvalidContainerError: It is not.
    """
    if not 0 < len(text) <= URL_CHARACTERS_MAX or _FORBIDDEN.search(text):
        raise InvalidContainerError(
            f"A container URL must have 1 to {URL_CHARACTERS_MAX} printable ASCII characters "
            f"without spaces, such as {_EXAMPLE}."
        )
    try:
        split = urlsplit(text)
        port = split.port
    except ValueError:  # it quotes the URL, so it is left behind
        split = None
    if split is None:
        raise InvalidContainerError(f"The container URL must be like {_EXAMPLE}.")
    return split, port


@dataclass(frozen=True, slots=True, kw_only=True)
class _Given:
    split: SplitResult = field(repr=False)
    port: int | None
    policy: DestinationPolicy
    now: datetime
    permission: str


def _azure(given: _Given) -> ContainerUrl:
    host = _check_host(given)
    segments = _segments(given.split.path)
    is_emulated = host in LOOPBACK_HOSTS
    account = ""
    if is_emulated and segments:
        account = segments.pop(0)
    elif host.endswith(AZURE_HOST_SUFFIXES):
        account = host.split(".", 1)[0]
    if not segments or not _CONTAINER.fullmatch(segments[0]):
        raise InvalidContainerError(
            "A container name must have 3 to 63 lower-case letters, digits and single dashes."
        )
    if any("\\" in name for name in segments):  # Azure takes it for a slash, after `..` too
        raise InvalidContainerError(
            "The path of an Azure container URL must have no backslash, got one."
        )
    # A host that the operator added has its account's name nowhere, or in a place of its own.
    if not _ACCOUNT.fullmatch(account) and (is_emulated or account):
        raise InvalidContainerError(
            "A storage account name must have 3 to 24 lower-case letters and digits."
        )
    scheme = given.split.scheme.lower()
    endpoint = _endpoint(scheme, host, given.port)
    sas = parse_sas(
        given.split.query,
        scheme=scheme,
        depth=len(segments) - 1,
        now=given.now,
        permission=given.permission,
    )
    return ContainerUrl(
        scheme=Scheme.AZURE,
        container=segments[0],
        prefix="/".join(segments[1:]),
        endpoint=f"{endpoint}/{account}" if is_emulated else endpoint,
        account=account,
        secrets={"sas": given.split.query},
        sas=sas.parameters,
        starts_at=sas.starts_at,
        expires_at=sas.expires_at,
    )


def _endpoint(scheme: str, host: str, port: int | None) -> str:
    name = f"[{host}]" if ":" in host else host
    return f"{scheme}://{name}" if port is None else f"{scheme}://{name}:{port}"


def _check_host(given: _Given) -> str:
    """The host to connect to; that of a Data Lake account is the one of its blobs."""
    host = (given.split.hostname or "").lower()
    policy = given.policy
    if given.split.scheme.lower() not in {"http", "https"}:
        raise InvalidContainerError("A storage service must be reached by https.")
    if policy.allow_loopback and host in LOOPBACK_HOSTS:
        return host
    if given.split.scheme.lower() != "https" or given.port not in {None, 443}:
        raise InvalidContainerError("A container URL must use https on its own port, 443.")
    if _is_address(host) or not _HOST.fullmatch(host):
        raise InvalidContainerError(
            "A container URL must name a host, not an address, in plain letters and digits."
        )
    for suffix, blob_suffix in zip(DATA_LAKE_HOST_SUFFIXES, AZURE_HOST_SUFFIXES, strict=True):
        if host.endswith(suffix):
            host = f"{host.removesuffix(suffix)}{blob_suffix}"
    added = [suffix.lstrip(".").lower() for suffix in policy.container_hosts]
    suffixes = (*AZURE_HOST_SUFFIXES, *(f".{suffix}" for suffix in added))
    if host not in added and not host.endswith(suffixes):
        raise InvalidContainerError(
            f"The host of a container URL must be of a known storage service, got {host[:80]!r}; "
            "the operator can add one with ENGAGEMENT_CONTAINER_HOSTS.",
            code=ErrorCode.EGRESS_DENIED,
        )
    return host


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return _NUMBERS.fullmatch(host) is not None
    return True


def _s3(given: _Given) -> ContainerUrl:
    query = dict(parse_parameters(given.split.query))
    require_parameters(query, ("access_key_id", "secret_access_key", "region"), "s3")
    allowed = {"access_key_id", "secret_access_key", "session_token", "region", "endpoint"}
    refuse_unknown(query.keys(), allowed)
    refuse_unsendable(query, {"access_key_id", "session_token"})
    if not _REGION.fullmatch(query["region"]):  # it becomes a part of the host's name
        raise InvalidContainerError("A region must be like us-east-1: letters, digits, dashes.")
    endpoint = query.get("endpoint", "")
    if endpoint:
        split, port = split_plain_url(endpoint)
        if "@" in split.netloc or split.path.strip("/") or split.query or "#" in endpoint:
            raise InvalidContainerError("An S3 endpoint must be like https://HOST.")
        host = _check_host(replace(given, split=split, port=port))
        endpoint = _endpoint(split.scheme.lower(), host, port)
    names = {"access_key_id", "secret_access_key", "session_token", "region"}
    return _bucket(given, Scheme.S3, endpoint, {name: query[name] for name in names & query.keys()})


def _gcs(given: _Given) -> ContainerUrl:
    query = dict(parse_parameters(given.split.query))
    require_parameters(query, ("access_token",), "gs")
    refuse_unknown(query.keys(), {"access_token"})
    refuse_unsendable(query, {"access_token"})
    return _bucket(given, Scheme.GCS, "", query)


def _bucket(given: _Given, scheme: Scheme, endpoint: str, secrets: dict[str, str]) -> ContainerUrl:
    bucket = given.split.netloc
    if not _BUCKET.fullmatch(bucket) or _is_address(bucket):
        raise InvalidContainerError(
            "A bucket name must have 3 to 63 lower-case letters, digits, dots and dashes."
        )
    return ContainerUrl(
        scheme=scheme,
        container=bucket,
        prefix="/".join(_segments(given.split.path)),
        endpoint=endpoint,
        secrets=secrets,
    )


def _local(given: _Given) -> ContainerUrl:
    split, roots = given.split, given.policy.local_roots
    if split.netloc or split.query:
        raise InvalidContainerError("A local container must be like file:///absolute/folder.")
    folder = Path("/", *_segments(split.path))
    root = next((path for path in roots if folder == path or path in folder.parents), None)
    if root is None:
        raise InvalidContainerError(
            "A local container must lie below a folder that the operator allows with "
            f"ENGAGEMENT_LOCAL_ROOTS ({len(roots)} allowed), got {folder}.",
            code=ErrorCode.EGRESS_DENIED,
        )
    # The operator may have put a link in a root's own path; below it none is followed.
    real = root.resolve() / folder.relative_to(root)
    return ContainerUrl(scheme=Scheme.LOCAL, container=str(real))


def _memory(given: _Given) -> ContainerUrl:
    if not given.policy.allow_memory:
        raise InvalidContainerError("Containers in memory are for tests only.")
    return ContainerUrl(
        scheme=Scheme.MEMORY,
        container=given.split.netloc,
        prefix="/".join(_segments(given.split.path)),
    )


def _segments(path: str) -> list[str]:
    segments = [decode_escapes(name) for name in path.split("/") if name]
    if any(name in {".", ".."} or "/" in name or not name.isprintable() for name in segments):
        raise InvalidContainerError(
            "The path of a container URL must be plain names, without `.`, `..` or hidden slashes."
        )
    return segments


_PARSERS: dict[str, Callable[[_Given], ContainerUrl]] = {
    "https": _azure,
    "http": _azure,
    "s3": _s3,
    "gs": _gcs,
    "file": _local,
    "memory": _memory,
}
