"""Opens destinations with obstore, which is configured by the container URL alone."""

import os
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import obstore
from obstore.exceptions import BaseError
from obstore.store import AzureStore, GCSStore, MemoryStore, S3Store

from engagement.deliver.destination import Destination, WatchedChunks, key_names
from engagement.deliver.egress_proxy import EgressProxy, Resolve, resolve_addresses
from engagement.deliver.local import LocalDestination
from engagement.deliver.refusals import refusal
from engagement.deliver.urls import ContainerUrl, Scheme
from engagement.exceptions import DestinationError, ErrorCode

BLOCK_BYTES = 8 * 1024 * 1024
BLOCKS_AT_ONCE = 4
RETRIES_MAX = 4
RETRY_SECONDS_MAX = 60
REQUEST_SECONDS_MAX = 120
CONNECT_SECONDS_MAX = 30
"""The proxy answers at once, but only after it has connected and agreed TLS itself."""
CHECK_KEY = ".engagement-export-check"
UNNAMED_ACCOUNT = "unnamed"
"""Stands for the name of an account that is not known, which no request with a SAS has."""
GCS_ENDPOINT = "https://storage.googleapis.com"

_T = TypeVar("_T")

_RETRY: Any = {
    "max_retries": RETRIES_MAX,
    "retry_timeout": timedelta(seconds=RETRY_SECONDS_MAX),
    "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=5)},
}
_MEMORY: dict[str, MemoryStore] = {}


def open_destination(url: ContainerUrl, *, resolve: Resolve = resolve_addresses) -> Destination:
    """Open the destination of a checked container URL.

    Credentials come from the URL alone: each store gets an explicit provider, because without
    one the host's own credentials would sign, or override the user's SAS. Every request goes
    through the destination's own proxy, which leads to its host alone.

    Args:
        url: Where to.
        resolve: How names become addresses.
    """
    match url.scheme:
        case Scheme.LOCAL:
            return LocalDestination(Path(url.container))
        case Scheme.MEMORY:
            return StoreDestination(_MEMORY.setdefault(url.container, MemoryStore()), url)
        case Scheme.AZURE:
            proxy = _proxy(url, resolve)
            return StoreDestination(_azure(url, proxy), url, proxy)
        case Scheme.S3:
            proxy = _proxy(url, resolve)
            return StoreDestination(_s3(url, proxy), url, proxy)
        case Scheme.GCS:
            proxy = _proxy(url, resolve)
            return StoreDestination(_gcs(url, proxy), url, proxy)


class StoreDestination:
    """A container of an object store, below the URL's prefix."""

    def __init__(self, store: Any, url: ContainerUrl, proxy: EgressProxy | None = None) -> None:
        self._store = store
        self._proxy = proxy
        self._url = url

    def check(self) -> None:
        """Return only if an object can be written now.

        The empty marker stays: a credential that may only write cannot delete it.
        """
        self.put(CHECK_KEY, [])

    def put(self, key: str, chunks: Iterable[bytes | memoryview]) -> None:
        """Return only when the store has committed the object whole."""
        path = self._path(key)
        source = WatchedChunks(chunks)
        try:
            obstore.put(
                self._store,
                path,
                _content(source),
                chunk_size=BLOCK_BYTES,
                max_concurrency=BLOCKS_AT_ONCE,
            )
        except (BaseError, OSError) as error:
            if error is source.failure:
                raise
            refused = self._refusal(error, key)
        else:
            return
        raise refused

    def get(self, key: str) -> Iterator[bytes]:
        """The object's bytes, in order."""
        path = self._path(key)
        got = self._request(key, lambda: obstore.get(self._store, path))
        stream = iter(got.stream(min_chunk_size=BLOCK_BYTES))
        while (data := self._request(key, lambda: next(stream, None))) is not None:
            yield bytes(data)

    def list_keys(self, prefix: str) -> list[str]:
        """The keys below a prefix, sorted."""
        folder = "/".join(filter(None, [self._url.prefix, prefix.rpartition("/")[0]]))
        skipped = len(self._url.prefix) + 1 if self._url.prefix else 0
        keys = self._request(
            prefix,
            lambda: [
                entry["path"][skipped:]
                for batch in obstore.list(self._store, folder or None)
                for entry in batch
            ],
        )
        return sorted(key for key in keys if key.startswith(prefix))

    def delete(self, key: str) -> None:
        """Return only when no object has this key."""
        path = self._path(key)
        try:
            self._request(key, lambda: obstore.delete(self._store, path))
        except DestinationError as error:
            if error.code is not ErrorCode.CONTAINER_NOT_FOUND:
                raise

    def _refusal(self, error: Exception, key: str) -> DestinationError:
        failure = None if self._proxy is None else self._proxy.failure
        return refusal(str(error), key, self._url, failure=failure)

    def _path(self, key: str) -> str:
        if self._url.scheme is Scheme.AZURE and "\\" in key:
            # Azure would take it for a slash, and so another blob.
            raise DestinationError(
                f"An object key in Azure must have no backslash, got {key!r}.",
                code=ErrorCode.EGRESS_DENIED,
            )
        return "/".join([*filter(None, [self._url.prefix]), *key_names(key)])

    def _request(self, key: str, send: Callable[[], _T]) -> _T:
        """Return what the store answers; its exception is left behind, as it may hold a secret."""
        try:
            return send()
        except (BaseError, OSError) as error:
            refused = self._refusal(error, key)
        raise refused


def _content(chunks: Iterator[bytes | memoryview]) -> Any:
    """The chunks as obstore takes them; an object of at most one block is one plain request.

    A credential that may only create cannot commit blocks, and one request is faster.
    """
    head: list[bytes | memoryview] = []
    size = 0
    for chunk in chunks:
        head.append(chunk)
        size += len(chunk)
        if size > BLOCK_BYTES:
            return _chain(head, chunks)
    return b"".join(head)


def _chain(
    head: list[bytes | memoryview], rest: Iterator[bytes | memoryview]
) -> Iterator[bytes | memoryview]:
    yield from head
    yield from rest


def _proxy(url: ContainerUrl, resolve: Resolve) -> EgressProxy:
    return EgressProxy(
        _endpoint(url),
        resolve=resolve,
        container=url.container,
        tag_is_md5=url.scheme is Scheme.S3,
    )


def _endpoint(url: ContainerUrl) -> str:
    """Scheme, host and port of the service."""
    if url.scheme is Scheme.GCS:
        return GCS_ENDPOINT
    if url.endpoint or url.scheme is not Scheme.S3:
        return url.endpoint
    region = url.secrets["region"]
    suffix = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    return f"https://s3.{region}.{suffix}"


# obstore reads the host's environment (AZURE_*, AWS_*, GOOGLE_*) below what is given here, so
# each option by which it could change where or how we write is given. The tests list them.


def _azure(url: ContainerUrl, proxy: EgressProxy) -> AzureStore:
    # As text it would be decoded whole and cut at each `&` then, so that an encoded one made
    # another parameter of the rest. Pairs are encoded once and sent as they are.
    token: Any = {"sas_token": list(url.sas), "expires_at": None}
    options: Any = {
        "container_name": url.container,
        "account_name": url.account or UNNAMED_ACCOUNT,
        "endpoint": url.endpoint,
        "use_emulator": False,
        "use_fabric_endpoint": False,
        "skip_signature": False,
    }
    return AzureStore(
        config=options,
        credential_provider=lambda: token,
        client_options=_client_options(url.endpoint, proxy),
        retry_config=_RETRY,
    )


def _s3(url: ContainerUrl, proxy: EgressProxy) -> S3Store:
    # Unlike the others it has no neutral value: the one option that can only be refused.
    if "AWS_SERVER_SIDE_ENCRYPTION" in os.environ:  # noqa: TID251 - what obstore would read
        raise DestinationError(
            "A delivery to S3 needs a process without AWS_SERVER_SIDE_ENCRYPTION in its "
            "environment, which would encrypt the user's objects with the operator's key.",
            code=ErrorCode.EGRESS_DENIED,
        )
    secrets = url.secrets
    credential: Any = {
        "access_key_id": secrets["access_key_id"],
        "secret_access_key": secrets["secret_access_key"],
        "token": secrets.get("session_token"),
        "expires_at": None,
    }
    region, endpoint = secrets["region"], _endpoint(url)
    options: Any = {
        "region": region,
        "bucket": url.container,
        "endpoint": endpoint,
        "aws_endpoint_url_s3": endpoint,
        "virtual_hosted_style_request": False,
        "skip_signature": False,
        "s3_express": False,
        "request_payer": False,
        "unsigned_payload": False,
    }
    return S3Store(
        config=options,
        credential_provider=lambda: credential,
        client_options=_client_options(endpoint, proxy),
        retry_config=_RETRY,
    )


def _gcs(url: ContainerUrl, proxy: EgressProxy) -> GCSStore:
    token: Any = {"token": url.secrets["access_token"], "expires_at": None}
    options: Any = {"bucket": url.container, "base_url": GCS_ENDPOINT, "skip_signature": False}
    return GCSStore(
        config=options,
        credential_provider=lambda: token,
        client_options=_client_options(GCS_ENDPOINT, proxy),
        retry_config=_RETRY,
    )


def _client_options(endpoint: str, proxy: EgressProxy) -> Any:
    options = {
        "allow_http": endpoint.startswith("http://"),
        "timeout": timedelta(seconds=REQUEST_SECONDS_MAX),
        "proxy_url": proxy.proxy_url,
        "connect_timeout": timedelta(seconds=CONNECT_SECONDS_MAX),
    }
    return (
        options if proxy.certificate is None else {**options, "root_certificate": proxy.certificate}
    )
