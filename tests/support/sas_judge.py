"""Checks SAS that Azurite does not know, by having Azure's own SDK sign them anew.

What arrives must be exactly what the SDK signs for it, parameter by parameter; then it is kept in
Azurite. A folder is taken from the path as Azure does, by the depth that the SAS names.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote

from azure.storage.blob import BlobServiceClient, generate_blob_sas, generate_container_sas

from support.http_servers import serve
from support.sas_urls import delegation_key
from support.servers import AZURE_ACCOUNT, Azurite

_ARGUMENTS = {
    "sp": "permission", "st": "start", "se": "expiry", "spr": "protocol", "sip": "ip",
    "ses": "encryption_scope", "saoid": "preauthorized_agent_object_id",
    "suoid": "agent_object_id", "scid": "correlation_id", "rscc": "cache_control",
    "rscd": "content_disposition", "rsce": "content_encoding", "rscl": "content_language",
    "rsct": "content_type",
}  # fmt: skip


class Judge(ThreadingHTTPServer):
    """Takes blobs of one request, if their SAS is right."""

    daemon_threads = True

    def __init__(self, azurite: Azurite) -> None:
        self.key = azurite.key
        self.client: BlobServiceClient = azurite.client
        super().__init__(("127.0.0.1", 0), _Handler)
        self.endpoint = f"http://127.0.0.1:{self.server_port}"


@contextmanager
def judging(azurite: Azurite) -> Iterator[Judge]:
    """A judge on a free loopback port."""
    with serve(Judge(azurite)) as judge, judge.client:
        yield judge


def is_signed(key: str, container: str, names: list[str], query: str) -> bool:
    """Whether the SDK signs just these parameters for the container, or a folder in it."""
    given = parse_qs(query, strict_parsing=True)
    values = {name: texts[0] for name, texts in given.items()}
    arguments: dict[str, Any] = {
        _ARGUMENTS[name]: value for name, value in values.items() if name in _ARGUMENTS
    }
    signer = (
        {"user_delegation_key": delegation_key()} if "skoid" in values else {"account_key": key}
    )
    if values.get("sr") == "d":
        folder = "/".join(names[: int(values["sdd"])])
        token = generate_blob_sas(
            AZURE_ACCOUNT, container, folder, is_directory=True, **signer, **arguments
        )
    else:
        token = generate_container_sas(AZURE_ACCOUNT, container, **signer, **arguments)
    return parse_qs(token) == given


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Judge

    def do_PUT(self) -> None:
        data = self.rfile.read(int(self.headers["Content-Length"]))
        path, _, query = self.path.partition("?")
        _, account, container, *names = [unquote(name) for name in path.split("/")]
        if account == AZURE_ACCOUNT and is_signed(self.server.key, container, names, query):
            self.server.client.get_blob_client(container, "/".join(names)).upload_blob(
                data, overwrite=True
            )
            self._answer(201)
        else:
            self._answer(403, b"<Error><Code>AuthenticationFailed</Code></Error>")

    def _answer(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("ETag", '"0x1"')
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Say nothing."""
