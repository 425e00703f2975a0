"""Who may do what: clients, roles and the resources a role reaches."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from engagement.exceptions import BadInputError
from engagement.model.apps import PROVIDER, App

SCOPE_FORM = (
    f"/subscriptions/NAME[/resourceGroups/NAME/providers/{PROVIDER}"
    "/appcollections/NAME[/apps/NAME]]"
)


class Role(StrEnum):
    """What a client may do with the resources in its scope; each includes the one before."""

    READER = "reader"
    EXPORTER = "exporter"
    OWNER = "owner"

    def includes(self, other: "Role") -> bool:
        """Whether whoever has this role has the other one too."""
        order = list(Role)
        return order.index(self) >= order.index(other)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """The resources that a role reaches: a subscription, a collection or an app; or all."""

    subscription: str | None = None
    """None means every subscription."""
    resource_group: str | None = None
    """Resource group of the collection; None where the whole subscription is meant."""
    collection: str | None = None
    """None means every collection of the subscription."""
    app: str | None = None
    """None means every app of the collection."""

    @classmethod
    def parse(cls, text: str) -> "Scope":
        """The scope that a resource path names; `/` names everything.

        Raises:
            BadInputError: The text is no path of a subscription, collection or app.
        """
        names = text.strip("/").split("/") if text.strip("/") else []
        words = [name.casefold() for name in names]
        fixed = (
            *(("subscriptions", 0), ("resourcegroups", 2), ("providers", 4)),
            *(("microsoft.mobileengagement", 5), ("appcollections", 6), ("apps", 8)),
        )
        is_path = len(names) in {0, 2, 8, 10} and all(names)
        if not is_path or any(words[at] != word for word, at in fixed if at < len(words)):
            raise BadInputError(f"A scope must be / or {SCOPE_FORM}, got {text[:200]!r}.")
        parts: list[str | None] = [*names, *[None] * (10 - len(names))]
        return cls(
            subscription=parts[1], resource_group=parts[3], collection=parts[7], app=parts[9]
        )

    @property
    def path(self) -> str:
        """The scope as text, which `parse` reads again."""
        if self.subscription is None:
            return "/"
        path = f"/subscriptions/{self.subscription}"
        if self.collection is not None:
            path += (
                f"/resourceGroups/{self.resource_group}/providers/{PROVIDER}"
                f"/appcollections/{self.collection}"
            )
        return path if self.app is None else f"{path}/apps/{self.app}"

    def covers(self, app: App) -> bool:
        """Whether the app is in this scope."""
        return self.includes(
            Scope(
                subscription=app.subscription,
                resource_group=app.resource_group,
                collection=app.collection,
                app=app.name,
            )
        )

    def includes(self, other: "Scope") -> bool:
        """Whether all of another scope is in this one, names in any upper and lower case."""
        pairs = (
            (self.subscription, other.subscription),
            (self.resource_group, other.resource_group),
            (self.collection, other.collection),
            (self.app, other.app),
        )
        return all(
            wanted is None or (name is not None and wanted.casefold() == name.casefold())
            for wanted, name in pairs
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiClient:
    """A program that was registered to use the API."""

    client_id: str
    """A GUID with dashes, as OAuth clients expect it."""
    name: str
    """The operator's own words."""
    role: Role
    """What it may do."""
    scope: Scope
    """Where it may do it."""
    created_at: datetime
    """When it was registered."""
    secret_expires_at: datetime | None
    """When its newest secret ends; None if it has no secret that works."""
    tokens_from: datetime
    """Tokens that were issued before this instant are refused."""
    revoked_at: datetime | None
    """When it was revoked; None if it was not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewClient:
    """A client with the secret that is shown once."""

    tenant_id: str
    """The directory that issues its tokens; a part of the token address."""
    client: ApiClient
    """The client."""
    client_secret: str = field(repr=False)
    """Only a hash of it is kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvenClient:
    """A client that has just proved a secret of its own."""

    client: ApiClient
    """The client."""
    secret_id: str
    """Names the secret that it proved."""
    secret_expires_at: datetime
    """When that secret ends, and every token with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """A role over a scope."""

    role: Role
    """What may be done."""
    scope: Scope
    """Where."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who makes a request, as an accepted token proves it."""

    client_id: str
    """Of our own client, or the issuer and subject of another issuer's."""
    grants: tuple[Grant, ...]
    """What it may do, and where."""

    def sees(self, app: App) -> bool:
        """Whether the app exists as far as this caller is concerned."""
        return any(grant.scope.covers(app) for grant in self.grants)

    def may(self, role: Role, app: App) -> bool:
        """Whether it may do with the app what the role is for."""
        return any(grant.role.includes(role) and grant.scope.covers(app) for grant in self.grants)

    def may_within(self, role: Role, scope: Scope) -> bool:
        """Whether it may do what the role is for with all that is in a scope."""
        return any(
            grant.role.includes(role) and grant.scope.includes(scope) for grant in self.grants
        )
