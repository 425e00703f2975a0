"""Who may do what, who is signed in, and who changed what."""

from collections.abc import Sequence
from datetime import UTC, datetime

from starlette.responses import Response

from engagement import operations
from engagement.exceptions import (
    BadInputError,
    EngagementError,
    ForbiddenError,
    UnknownClientError,
)
from engagement.model.access import ApiClient, Caller, NewClient, Role, Scope
from engagement.model.audit import COLUMNS as CHANGE_COLUMNS
from engagement.model.audit import Action, RecordedChange
from engagement.model.console import ConsoleSession
from engagement.server.console.downloads import ROWS_MAX, answer_download, download_format
from engagement.server.console.forms import ID_DIGITS_MAX, FormErrors, read_days, read_number
from engagement.server.console.visits import PageVisit, redirect

CHANGES_PER_PAGE = 50
KEEP_HOURS_DEFAULT = "24"
HOURS_DIGITS_MAX = 5
ACCESS = "/console/access"
CLIENT_COLUMNS = ("client_id", "name", "role", "scope", "created_at", "ends_at", "revoked_at")


def show(visit: PageVisit) -> Response:
    """Return the clients and sessions that a person may know of, and the issuers."""
    if download_format(visit):
        rows = [_row(client) for client in _visible_clients(visit)]
        return answer_download(visit, "clients", CLIENT_COLUMNS, rows)
    return _render(visit, FormErrors())


def show_changes(visit: PageVisit) -> Response:
    """Return who changed what of the apps that a person owns, newest first."""
    if not visit.owns_something():
        raise ForbiddenError("Seeing who changed what needs the role owner.")
    apps = visit.visible_apps()
    owned = frozenset(app.app_id for app in apps if visit.caller.may(Role.OWNER, app))
    given = visit.query.get("action", "")
    chosen = operations.AuditFilter(
        app_ids=None if visit.may_everywhere(Role.OWNER) else owned,
        action=Action(given) if given in set(Action) else None,
        since=_read_day(visit.query.get("since", "")),
    )
    if download_format(visit):
        rows = [
            dict(zip(CHANGE_COLUMNS, entry.columns(), strict=True))
            for entry in _list_changes(visit, chosen, ROWS_MAX, None)
        ]
        return answer_download(visit, "changes", CHANGE_COLUMNS, rows)
    before = read_number(visit.query.get("before", ""), digits_max=ID_DIGITS_MAX)
    changes = _list_changes(visit, chosen, CHANGES_PER_PAGE + 1, before)
    return visit.render(
        "changes.html",
        changes=changes[:CHANGES_PER_PAGE],
        older=changes[CHANGES_PER_PAGE - 1].position if len(changes) > CHANGES_PER_PAGE else None,
        apps={app.app_id: app for app in apps},
        names={each.client_id: each.name for each in operations.list_clients(visit.runtime)},
        actions=[action.value for action in Action],
    )


def create_client(visit: PageVisit) -> Response:
    """Register a client whose rights are within the person's own, and show its secret once."""
    if not visit.owns_something():
        raise ForbiddenError("Creating a client needs the role owner.")
    errors = FormErrors()
    scope, days = _read_scope(visit, errors), read_days(visit.field("days"), errors)
    role = visit.field("role")
    if role not in set(Role):
        errors.add("role", "The role must be one of the list.")
    if scope is not None and not visit.caller.may_within(Role.OWNER, scope):
        errors.add("scope", "You are not the owner of all of this scope.")
    if errors or scope is None:
        return _render(visit, errors)
    try:
        made = operations.create_client(
            visit.runtime,
            name=visit.field("name"),
            role=Role(role),
            scope=scope,
            secret_days=days,
        )
    except EngagementError as error:
        return _render(visit, FormErrors({"name": str(error)}))
    return _show_secret(visit, made, "It works from now on.")


def rotate_client(visit: PageVisit) -> Response:
    """Give a client a new secret, shown this once; the old one goes on for some hours."""
    client = _find_managed(visit)
    hours = read_number(visit.field("keep_hours"), digits_max=HOURS_DIGITS_MAX)
    if hours is None:
        return _render(visit, FormErrors({"": "The hours must be a whole number."}))
    try:
        made = operations.rotate_client(visit.runtime, client.client_id, keep_hours=hours)
    except EngagementError as error:
        return _render(visit, FormErrors({"": str(error)}))
    return _show_secret(visit, made, f"The old secret goes on for {hours:,} hours.")


def revoke_client(visit: PageVisit) -> Response:
    """End a client: its tokens and sessions end with it."""
    operations.revoke_client(visit.runtime, _find_managed(visit).client_id)
    return redirect(ACCESS)


def end_session(visit: PageVisit) -> Response:
    """Sign somebody out."""
    session_id = visit.name("session_id")
    if any(session.session_id == session_id for session in _visible_sessions(visit)):
        operations.end_console_session(visit.runtime, session_id)
    return redirect(ACCESS)


def _render(visit: PageVisit, errors: FormErrors) -> Response:
    settings = visit.runtime.settings
    clients = _visible_clients(visit)
    names = ("name", "role", "scope", "days")
    return visit.render(
        "access.html",
        status=422 if errors else 200,
        errors=errors,
        form={name: visit.field(name) for name in names},
        clients=clients,
        managed={client.client_id for client in clients if _may_manage(visit, client)},
        sessions=_visible_sessions(visit),
        roles=[role.value for role in Role],
        scopes=[grant.scope.path for grant in visit.caller.grants if grant.role is Role.OWNER],
        issuers=settings.issuers,
        sign_in_issuers=visit.console.code_flow.issuers,
        audience=settings.issuer_audience,
        secret_days=settings.client_secret_days,
        keep_hours=KEEP_HOURS_DEFAULT,
    )


def _visible_clients(visit: PageVisit) -> list[ApiClient]:
    """A person's own client, and those whose rights are within what the person owns."""
    return [
        client
        for client in operations.list_clients(visit.runtime)
        if client.client_id == visit.session.subject or _may_manage(visit, client)
    ]


def _may_manage(visit: PageVisit, client: ApiClient) -> bool:
    return visit.caller.may_within(Role.OWNER, client.scope)


def _visible_sessions(visit: PageVisit) -> list[ConsoleSession]:
    return [
        session
        for session in operations.list_console_sessions(visit.runtime)
        if session.subject == visit.session.subject or _may_end(visit.caller, session)
    ]


def _may_end(caller: Caller, session: ConsoleSession) -> bool:
    return all(caller.may_within(Role.OWNER, grant.scope) for grant in session.grants)


def _find_managed(visit: PageVisit) -> ApiClient:
    """Return the client of the path.

    Raises:
        UnknownClientError: There is none, or the person may not know of it.
        ForbiddenError: The person may see it, but not change it.
    """
    wanted = visit.name("client_id")
    found = [each for each in _visible_clients(visit) if each.client_id == wanted]
    if not found:
        raise UnknownClientError(f"No client has the id {wanted[:80]!r}.")
    if not _may_manage(visit, found[0]):
        raise ForbiddenError("Changing a client needs the role owner over its scope.")
    return found[0]


def _list_changes(
    visit: PageVisit, chosen: operations.AuditFilter, limit: int, before: int | None
) -> Sequence[RecordedChange]:
    found: list[RecordedChange] = []
    while len(found) < limit:
        count = min(operations.CHANGES_PER_PAGE_MAX, limit - len(found))
        page = operations.list_audit(visit.runtime, chosen, limit=count, before=before)
        found += page
        if len(page) < count:
            break
        before = page[-1].position
    return found


def _show_secret(visit: PageVisit, made: NewClient, hint: str) -> Response:
    return visit.render(
        "secret.html",
        title=f"The client {made.client.name}",
        what="Secret",
        secret=made.client_secret,
        details={"Client id": made.client.client_id, "Tenant": made.tenant_id},
        hint=f"It is shown this once. {hint}",
        back=ACCESS,
        back_name="I have stored it",
    )


def _row(client: ApiClient) -> dict[str, object]:
    return {
        "client_id": client.client_id,
        "name": client.name,
        "role": client.role.value,
        "scope": client.scope.path,
        "created_at": client.created_at,
        "ends_at": client.secret_expires_at,
        "revoked_at": client.revoked_at,
    }


def _read_scope(visit: PageVisit, errors: FormErrors) -> Scope | None:
    try:
        return Scope.parse(visit.field("scope"))
    except BadInputError as error:
        errors.add("scope", str(error))
        return None


def _read_day(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text[:10]).replace(tzinfo=UTC)
    except ValueError:
        return None
