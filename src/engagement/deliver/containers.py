"""This module opens destinations over obstore and turns their errors into ours, in one place."""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import obstore
from obstore.exceptions import BaseError
from obstore.store import AzureStore, GCSStore, MemoryStore, S3Store

from engagement.deliver.destination import Destination
from engagement.deliver.local import LocalDestination
from engagement.deliver.urls import LOOPBACK_HOSTS, ContainerUrl, DestinationPolicy, Scheme
from engagement.exceptions import DestinationError, ErrorCode, TransientDestinationError

BLOCK_BYTES = 8 * 1024 * 1024
BLOCKS_AT_ONCE = 4
RETRIES_MAX = 4
RETRY_SECONDS_MAX = 60
REQUEST_SECONDS_MAX = 120
CHECK_KEY = ".engagement-export-check"
MESSAGE_CHARACTERS_MAX = 1_024

_RETRY: Any = {
    "max_retries": RETRIES_MAX,
    "retry_timeout": timedelta(seconds=RETRY_SECONDS_MAX),
    "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=5)},
}
_MEMORY: dict[str, MemoryStore] = {}


def open_destination(url: ContainerUrl, policy: DestinationPolicy) -> Destination:
    """The destination of a checked container URL.

    Credentials come from the URL alone: each store gets an explicit provider, because without
    one the host's own credentials would sign, or override the user's SAS.
    """
    del policy
    match url.scheme:
        case Scheme.LOCAL:
            return LocalDestination(Path(url.container))
        case Scheme.MEMORY:
            return StoreDestination(_MEMORY.setdefault(url.container, MemoryStore()), url)
        case Scheme.AZURE:
            return StoreDestination(_azure(url), url)
        case Scheme.S3:
            return StoreDestination(_s3(url), url)
        case Scheme.GCS:
            return StoreDestination(_gcs(url), url)


class StoreDestination:
    """A container of an object store, below the URL's prefix."""

    def __init__(self, store: Any, url: ContainerUrl) -> None:
        self._store = store
        self._url = url

    def check(self) -> None:
        """Return only if an object can be written now.

        The empty marker stays: a credential that may only write cannot delete it.
        """
        self.put(CHECK_KEY, [])

    def put(self, key: str, chunks: Iterable[bytes | memoryview]) -> None:
        """Return only when the store has committed the object whole."""
        with self._translated(key):
            obstore.put(
                self._store,
                self._path(key),
                _blocks(chunks),
                chunk_size=BLOCK_BYTES,
                max_concurrency=BLOCKS_AT_ONCE,
            )

    def get(self, key: str) -> Iterator[bytes]:
        """The object's bytes, in order."""
        with self._translated(key):
            for data in obstore.get(self._store, self._path(key)).stream(
                min_chunk_size=BLOCK_BYTES
            ):
                yield bytes(data)

    def list_keys(self, prefix: str) -> list[str]:
        """The keys below a prefix, sorted."""
        skipped = len(self._path("")) if self._url.prefix else 0
        with self._translated(prefix):
            listed = obstore.list(self._store, self._path(prefix.rsplit("/", 1)[0]))
            keys = [entry["path"][skipped:] for batch in listed for entry in batch]
        return sorted(key for key in keys if key.startswith(prefix))

    def delete(self, key: str) -> None:
        """Return only when no object has this key."""
        with self._translated(key):
            obstore.delete(self._store, self._path(key))

    def _path(self, key: str) -> str:
        return f"{self._url.prefix}/{key}" if self._url.prefix else key

    @contextmanager
    def _translated(self, key: str) -> Iterator[None]:
        try:
            yield
        except (BaseError, OSError) as error:
            raise _translate(error, key, self._url) from None


def _blocks(chunks: Iterable[bytes | memoryview]) -> Any:
    """The chunks as obstore takes them; an object of at most one block is one plain request.

    A credential that may only create cannot commit blocks, and one request is faster.
    """
    source = iter(chunks)
    head: list[bytes | memoryview] = []
    size = 0
    for chunk in source:
        head.append(chunk)
        size += len(chunk)
        if size > BLOCK_BYTES:
            return _chained(head, source)
    return b"".join(head)


def _chained(
    head: list[bytes | memoryview], rest: Iterator[bytes | memoryview]
) -> Iterator[bytes | memoryview]:
    yield from head
    yield from rest


def _azure(url: ContainerUrl) -> AzureStore:
    token: Any = {"sas_token": url.secrets["sas"], "expires_at": None}
    is_emulated = any(f"://{host}" in url.endpoint for host in LOOPBACK_HOSTS)
    options: Any = {
        "container_name": url.container,
        "account_name": url.account,
        "endpoint": url.endpoint,
    }
    return AzureStore(
        config=options,
        credential_provider=lambda: token,
        client_options=_client_options(allow_http=is_emulated),
        retry_config=_RETRY,
    )


def _s3(url: ContainerUrl) -> S3Store:
    secrets = url.secrets
    credential: Any = {
        "access_key_id": secrets["access_key_id"],
        "secret_access_key": secrets["secret_access_key"],
        "token": secrets.get("session_token"),
        "expires_at": None,
    }
    options: Any = {"region": secrets["region"], "bucket": url.container}
    if url.endpoint:
        options |= {"endpoint": url.endpoint, "virtual_hosted_style_request": False}
    return S3Store(
        config=options,
        credential_provider=lambda: credential,
        client_options=_client_options(allow_http=url.endpoint.startswith("http://")),
        retry_config=_RETRY,
    )


def _gcs(url: ContainerUrl) -> GCSStore:
    token: Any = {"token": url.secrets["access_token"], "expires_at": None}
    return GCSStore(
        url.container,
        credential_provider=lambda: token,
        client_options=_client_options(allow_http=False),
        retry_config=_RETRY,
    )


def _client_options(*, allow_http: bool) -> Any:
    return {
        "allow_http": allow_http,
        "timeout": timedelta(seconds=REQUEST_SECONDS_MAX),
        "connect_timeout": timedelta(seconds=10),
    }


_STATUS = re.compile(r"\b(?:status|response|error)[^0-9]{0,40}\b([1-5]\d\d)\b", re.IGNORECASE)
_STORE_CODE = re.compile(r"<Code>(\w+)</Code>")
_SECRET = re.compile(
    r"(?i)\b(sig|signature|x-amz-signature|x-amz-credential|x-amz-security-token|access_token)"
    r"(=|%3d)[^&\s\"'<>]+"
)

_BY_STORE_CODE: dict[str, tuple[ErrorCode, bool]] = {
    "AuthenticationFailed": (ErrorCode.SAS_INVALID_SIGNATURE, False),
    "SignatureDoesNotMatch": (ErrorCode.SAS_INVALID_SIGNATURE, False),
    "InvalidAccessKeyId": (ErrorCode.SAS_INVALID_SIGNATURE, False),
    "ExpiredToken": (ErrorCode.SAS_EXPIRED, False),
    "AuthorizationFailure": (ErrorCode.SAS_INVALID_SIGNATURE, False),
    "AuthorizationPermissionMismatch": (ErrorCode.SAS_PERMISSION_MISSING, False),
    "AuthorizationServiceMismatch": (ErrorCode.SAS_PERMISSION_MISSING, False),
    "AuthorizationResourceTypeMismatch": (ErrorCode.SAS_PERMISSION_MISSING, False),
    "AuthorizationProtocolMismatch": (ErrorCode.SAS_PERMISSION_MISSING, False),
    "AuthorizationSourceIPMismatch": (ErrorCode.IP_NOT_ALLOWED, False),
    "AccessDenied": (ErrorCode.SAS_PERMISSION_MISSING, False),
    "ContainerNotFound": (ErrorCode.CONTAINER_NOT_FOUND, False),
    "NoSuchBucket": (ErrorCode.CONTAINER_NOT_FOUND, False),
    "ContainerBeingDeleted": (ErrorCode.CONTAINER_BEING_DELETED, False),
    "AccountIsDisabled": (ErrorCode.ACCOUNT_DISABLED, False),
    "AllAccessDisabled": (ErrorCode.ACCOUNT_DISABLED, False),
    "BlobImmutableDueToPolicy": (ErrorCode.BLOB_IMMUTABLE, False),
    "BlobImmutableDueToLegalHold": (ErrorCode.BLOB_IMMUTABLE, False),
    "BlobAlreadyExists": (ErrorCode.BLOB_IMMUTABLE, False),
    "LeaseIdMissing": (ErrorCode.LEASE_CONFLICT, False),
    "InvalidBlockList": (ErrorCode.CONCURRENT_WRITER, True),
    "ServerBusy": (ErrorCode.DESTINATION_THROTTLED, True),
    "SlowDown": (ErrorCode.DESTINATION_THROTTLED, True),
    "OperationTimedOut": (ErrorCode.DESTINATION_TIMEOUT, True),
    "InternalError": (ErrorCode.DESTINATION_UNAVAILABLE, True),
    "InsufficientAccountPermissions": (ErrorCode.SAS_PERMISSION_MISSING, False),
    "QuotaExceeded": (ErrorCode.INSUFFICIENT_QUOTA, False),
    "BlockCountExceedsLimit": (ErrorCode.LIMIT_EXCEEDED, False),
    "RequestBodyTooLarge": (ErrorCode.LIMIT_EXCEEDED, False),
    "EntityTooLarge": (ErrorCode.LIMIT_EXCEEDED, False),
}

_BY_TEXT: tuple[tuple[str, ErrorCode, bool], ...] = (
    ("signature not valid in the specified time frame", ErrorCode.SAS_EXPIRED, False),
    ("dns error", ErrorCode.DNS_ERROR, True),
    ("failed to lookup address", ErrorCode.DNS_ERROR, True),
    ("certificate", ErrorCode.TLS_ERROR, False),
    ("timed out", ErrorCode.DESTINATION_TIMEOUT, True),
    ("timeout", ErrorCode.DESTINATION_TIMEOUT, True),
)

_BY_STATUS: dict[int, tuple[ErrorCode, bool]] = {
    401: (ErrorCode.SAS_INVALID_SIGNATURE, False),
    403: (ErrorCode.SAS_PERMISSION_MISSING, False),
    404: (ErrorCode.CONTAINER_NOT_FOUND, False),
    408: (ErrorCode.DESTINATION_TIMEOUT, True),
    409: (ErrorCode.BLOB_IMMUTABLE, False),
    412: (ErrorCode.LEASE_CONFLICT, False),
    413: (ErrorCode.LIMIT_EXCEEDED, False),
    429: (ErrorCode.DESTINATION_THROTTLED, True),
    503: (ErrorCode.DESTINATION_THROTTLED, True),
    507: (ErrorCode.INSUFFICIENT_QUOTA, False),
}


def _translate(error: BaseException, key: str, url: ContainerUrl) -> DestinationError:
    """Our error for the store's, told apart by its code and status, not by its class."""
    text = str(error)
    code, may_pass = _classify(text)
    if code in {ErrorCode.SAS_INVALID_SIGNATURE, ErrorCode.SAS_PERMISSION_MISSING} and (
        url.expires_at is not None and datetime.now(UTC) >= url.expires_at
    ):
        code = ErrorCode.SAS_EXPIRED
    kind = TransientDestinationError if may_pass else DestinationError
    message = f"The container {url.redacted} refused {key!r}: {_scrubbed(text, url)}"
    return kind(message[:MESSAGE_CHARACTERS_MAX], code=code)


def _classify(text: str) -> tuple[ErrorCode, bool]:
    lowered = text.lower()
    for words, by_words, may_pass in _BY_TEXT[:1]:
        if words in lowered:
            return by_words, may_pass
    store_code = _STORE_CODE.search(text)
    if store_code and store_code[1] in _BY_STORE_CODE:
        return _BY_STORE_CODE[store_code[1]]
    for words, by_words, may_pass in _BY_TEXT[1:]:
        if words in lowered:
            return by_words, may_pass
    status = _STATUS.search(text)
    if status and int(status[1]) in _BY_STATUS:
        return _BY_STATUS[int(status[1])]
    if "not found" in lowered:
        return ErrorCode.CONTAINER_NOT_FOUND, False
    return ErrorCode.DESTINATION_UNAVAILABLE, True


def _scrubbed(text: str, url: ContainerUrl) -> str:
    """The text without anything secret: known values first, then whatever looks like one."""
    for name, value in url.secrets.items():
        if name != "region" and value:
            text = text.replace(value, "<redacted>")
    return _SECRET.sub(r"\1\2<redacted>", " ".join(text.split()))
