"""Serves three tenants in this process, for tests of who gets in."""

import asyncio
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from starlette.types import ASGIApp

from engagement import operations
from engagement.model.access import NewClient, ProvenClient, Role, Scope
from engagement.runtime.opening import Runtime, open_service
from engagement.server.app import build_server
from engagement.server.auth.authentication import Authentication
from engagement.settings import Settings
from support.server_process import RECORD_AGE_DAYS

TENANTS = ("alpha", "beta", "gamma")
PUBLIC_URL = "http://testserver"
VERSIONS = ("2014-12-01", "2026-11-01")
CREATES = {
    "activities", "crashes", "errors", "events", "jobs", "sessions", "devices", "tags", "tokens",
    "info", "locations", "feedbackByDate", "feedbackByCampaign",
}  # fmt: skip
LATER = (
    "/cancel", "/retry", "/manifest", "/info", "/locations", "/keys", "/{keyId}", "/rotate",
    "/apps/{appName}", "/auditLog", "/retention",
)  # fmt: skip
"""Ends of paths that version 2014-12-01 does not have."""
BODIES: dict[str, dict[str, Any]] = {
    "ImportTasks_Create": {"storageUrl": "https://example.org/c/b?sig=x"},
    "Devices_TagByDeviceId": {"tags": {}},
    "Devices_TagByUserId": {"tags": {}},
    "AppCollections_CheckNameAvailability": {"name": "new"},
    "Apps_SetRetention": {"days": 30},
    "ExportTasks_Retry": {"containerUrl": "https://example.org/c?sig=x"},
    "Keys_Create": {"name": "further"},
    "Keys_Rotate": {"keepHours": 0},
}
NEEDS = {
    "AppCollections_List": Role.READER,
    "AppCollections_CheckNameAvailability": Role.READER,
    "SupportedPlatforms_List": Role.READER,
    "Apps_List": Role.READER,
    "Apps_Get": Role.READER,
    "Apps_SetRetention": Role.OWNER,
    "ExportTasks_List": Role.READER,
    "ExportTasks_Get": Role.READER,
    "ExportTasks_GetManifest": Role.READER,
    "ExportTasks_Cancel": Role.EXPORTER,
    "ExportTasks_Retry": Role.EXPORTER,
    "Devices_List": Role.READER,
    "Devices_GetByDeviceId": Role.READER,
    "Devices_GetByUserId": Role.READER,
    "Devices_Erase": Role.OWNER,
    "Devices_EraseUser": Role.OWNER,
    "Devices_TagByDeviceId": Role.OWNER,
    "Devices_TagByUserId": Role.OWNER,
    "ImportTasks_List": Role.READER,
    "ImportTasks_Create": Role.OWNER,
    "ImportTasks_Get": Role.READER,
    "Keys_List": Role.OWNER,
    "Keys_Create": Role.OWNER,
    "Keys_Rotate": Role.OWNER,
    "Keys_Revoke": Role.OWNER,
    "Apps_Rename": Role.OWNER,
    "Apps_Delete": Role.OWNER,
    "Apps_ListChanges": Role.OWNER,
}
"""The role that each operation needs; creating exports needs the exporter's."""


def app_path(tenant: str) -> str:
    """The resource path of a tenant's app."""
    return (
        f"/subscriptions/{tenant}/resourceGroups/group/providers/Microsoft.MobileEngagement"
        "/appcollections/collection/apps/app"
    )


class InProcess:
    """Requests to a server in this process, one after the other."""

    def __init__(self, server: ASGIApp) -> None:
        self._runner = asyncio.Runner()
        self._client = httpx.AsyncClient(
            transport=httpx.ASGITransport(server, raise_app_exceptions=False),
            base_url=PUBLIC_URL,
            trust_env=False,
        )

    def request(self, method: str, url: str, **given: Any) -> httpx.Response:
        """The answer."""
        return self._runner.run(self._client.request(method, url, **given))

    def get(self, url: str, **given: Any) -> httpx.Response:
        """The answer to a GET."""
        return self.request("GET", url, **given)

    def close(self) -> None:
        """End it."""
        self._runner.run(self._client.aclose())
        self._runner.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A server in this process with three tenants, each with an app and a client of each role."""

    runtime: Runtime
    http: InProcess
    authentication: Authentication
    clients: dict[tuple[str, Role], NewClient]

    def headers(self, tenant: str, role: Role) -> dict[str, str]:
        """The header of a tenant's client."""
        issued = self.authentication.own.issue(prove(self.runtime, self.clients[tenant, role]))
        return {"Authorization": f"Bearer {issued.text}"}

    def ask(self, route: "Route", tenant: str, headers: dict[str, str], **names: str) -> Any:
        """What a route of a tenant's resources answers."""
        return self.http.request(
            route.method,
            route.address(tenant, **names),
            params={"api-version": route.version},
            headers=headers,
            json=route.body if route.takes_body else None,
        )

    def create(self, tenant: str, version: str, word: str, body: dict[str, Any]) -> httpx.Response:
        """A creation of a CsvBlob into a folder, by the tenant's owner."""
        (folder,) = self.runtime.settings.local_roots
        return self.http.request(
            "POST",
            f"{app_path(tenant)}/devices/exportTasks/{word}",
            params={"api-version": version},
            headers=self.headers(tenant, Role.OWNER),
            json={"containerUrl": folder.as_uri(), "exportFormat": "CsvBlob", **body},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A verb on a path, in a version."""

    version: str
    method: str
    path: str
    operation: str

    @property
    def needs(self) -> Role:
        """The role it needs; a route without a row here fails."""
        if self.operation not in NEEDS and self.path.rsplit("/", 1)[1] in CREATES:
            return Role.EXPORTER
        return NEEDS[self.operation]

    @property
    def takes_body(self) -> bool:
        """Whether the verb comes with a body."""
        return self.method in {"POST", "PUT"}

    @property
    def body(self) -> dict[str, Any]:
        """A body that gets as far as to the app."""
        container = {"containerUrl": "https://example.org/c?sig=x", "exportFormat": "JsonBlob"}
        days = {"startDate": "2026-01-01", "endDate": "2026-01-01"}
        window = {
            "campaignType": "Poll",
            "campaignWindowStart": "2026-01-01T00:00:00Z",
            "campaignWindowEnd": "2026-01-02T00:00:00Z",
        }
        word = self.path.rsplit("/", 1)[1]
        if self.operation in BODIES:
            return BODIES[self.operation]
        if word == "feedbackByDate":
            return container | window
        if word == "feedbackByCampaign":
            return container | {"campaignType": "Poll", "campaignIds": [1]}
        snapshots = {"devices", "tags", "tokens", "info", "locations"}
        return container if word in snapshots else container | days

    def address(self, tenant: str, **names: str) -> str:
        """The path with a tenant's names."""
        known = {
            "subscriptionId": tenant,
            "resourceGroupName": "group",
            "appCollection": "collection",
            "appName": "app",
            "id": "0" * 32,
            "deviceId": "0" * 32,
            "userId": "nobody",
            "keyId": "0" * 16,
        } | names
        return self.path.format(**known)


@contextmanager
def serve_in_process(home: Path, **more: Any) -> Iterator[Service]:
    """A service on a folder, with further settings."""
    settings = Settings(
        home=home, requests_per_minute=10**9, record_age_days_max=int(RECORD_AGE_DAYS), **more
    )
    with open_service(settings) as runtime:
        clients = {}
        for tenant in TENANTS:
            operations.create_app(
                runtime,
                name="app",
                collection="collection",
                resource_group="group",
                subscription=tenant,
            )
            for role in Role:
                clients[tenant, role] = operations.create_client(
                    runtime,
                    name=f"{tenant} {role}",
                    role=role,
                    scope=Scope.parse(f"/subscriptions/{tenant}"),
                )
        server = build_server(runtime, public_url=PUBLIC_URL)
        with closing(InProcess(server)) as http:
            yield Service(
                runtime=runtime,
                http=http,
                authentication=Authentication(runtime, public_url=PUBLIC_URL),
                clients=clients,
            )


def prove(runtime: Runtime, client: NewClient) -> ProvenClient:
    """What the token endpoint knows of a client that sent its secret."""
    proven = operations.authenticate_client(runtime, client.client.client_id, client.client_secret)
    assert proven is not None
    return proven


def routes_of(service: Service) -> list[Route]:
    """Every verb on every path of resources, in both versions."""
    document = service.http.get("/openapi.json").json()
    return [
        Route(version=version, method=method.upper(), path=path, operation=operation["operationId"])
        for version in VERSIONS
        for path, verbs in document["paths"].items()
        for method, operation in verbs.items()
        if path.startswith("/subscriptions")
        if version == VERSIONS[1] or not path.endswith(LATER)
    ]
