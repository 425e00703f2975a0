"""The token endpoint, in both of the shapes that clients of Azure know."""

import base64
import binascii
from typing import Annotated, Any
from urllib.parse import parse_qsl, unquote_plus

from fastapi import APIRouter, Path
from starlette.requests import Request
from starlette.responses import JSONResponse

from engagement import operations
from engagement.model.access import ProvenClient
from engagement.server.auth.access_tokens import AUDIENCE, OWN_ALGORITHM
from engagement.server.body_limits import LimitedBody
from engagement.server.dependencies import Context, InContext
from engagement.server.errors import Problem
from engagement.server.schemas import ApiError

FORM_FIELDS_MAX = 16
FORM_BYTES_MAX = 16 * 1024
"""No client's form is longer, and a longer one of escapes alone would take long to read."""
AZURE_RESOURCES = ("https://management.azure.com", "https://management.core.windows.net")
"""What old SDKs ask tokens for; they mean us."""

router = APIRouter(tags=["Authentication"])
_FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "application/x-www-form-urlencoded": {
                "schema": {
                    "type": "object",
                    "required": ["grant_type"],
                    "properties": {
                        name: {"type": "string"}
                        for name in (
                            "grant_type",
                            "client_id",
                            "client_secret",
                            "resource",
                            "scope",
                        )
                    },
                }
            }
        },
    }
}
_ANSWERS: dict[int | str, dict[str, Any]] = {
    400: {"description": "The request is not one for a token, as RFC 6749 says why."},
    401: {"description": "No such client and secret."},
    404: {"model": ApiError, "description": "No such tenant."},
    "default": {"model": ApiError, "description": "`4xx`: bad request; `5xx`: server error."},
}
Tenant = Annotated[str, Path(description="The directory that issues the token.")]


class _RefusedError(Exception):
    def __init__(self, error: str, description: str, status: int = 400) -> None:
        super().__init__(description)
        self.error, self.status = error, status


@router.post("/{tenant}/oauth2/token", openapi_extra=_FORM, responses=_ANSWERS)
async def token_for_resource(request: Request, context: InContext, tenant: Tenant) -> JSONResponse:
    """An access token for a client's id and secret, asked for by `resource`."""
    return await _token(request, context, tenant, wanted="resource")


@router.post("/{tenant}/oauth2/v2.0/token", openapi_extra=_FORM, responses=_ANSWERS)
async def token_for_scope(request: Request, context: InContext, tenant: Tenant) -> JSONResponse:
    """An access token for a client's id and secret, asked for by `scope`."""
    return await _token(request, context, tenant, wanted="scope")


@router.get("/{tenant}/discovery/keys", responses=_ANSWERS)
@router.get("/{tenant}/discovery/v2.0/keys", responses=_ANSWERS)
def public_keys(context: InContext, tenant: Tenant) -> dict[str, Any]:
    """The keys with which anybody can check our tokens."""
    _check_tenant(context, tenant)
    return context.authentication.own.public_keys


@router.get("/{tenant}/.well-known/openid-configuration", responses=_ANSWERS)
@router.get("/{tenant}/v2.0/.well-known/openid-configuration", responses=_ANSWERS)
def metadata(context: InContext, tenant: Tenant) -> dict[str, Any]:
    """Where everything is that a client needs to get and check tokens (OpenID Discovery)."""
    _check_tenant(context, tenant)
    base = f"{context.public_url}/{context.authentication.tenant_id}"
    return {
        "issuer": context.authentication.own.issuer,
        "token_endpoint": f"{base}/oauth2/v2.0/token",
        "jwks_uri": f"{base}/discovery/v2.0/keys",
        "grant_types_supported": ["client_credentials"],
        "response_types_supported": ["token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [OWN_ALGORITHM],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "scopes_supported": [f"{AUDIENCE}/.default"],
    }


async def _token(request: Request, context: Context, tenant: str, *, wanted: str) -> JSONResponse:
    _check_tenant(context, tenant)
    address = request.client.host if request.client else ""
    try:
        limited = LimitedBody(request.receive, request.headers, bytes_max=FORM_BYTES_MAX)
        form = _form(request, await limited.read())
        _check_form(context, form, wanted)
        client_id, secret = _credentials(request, form)
        # Whoever fails often waits for turns with the others, and a right secret is never refused.
        proven = await context.authentication.secret_threads.run(
            address, lambda: _prove_client(context, client_id, secret)
        )
    except _RefusedError as refused:
        if refused.status == 401:  # noqa: PLR2004 - HTTP's own number
            context.authentication.count_failure(address)
        return _refusal(refused)
    token = context.authentication.own.issue(proven)
    lasts = token.expires_at - token.issued_at
    body: dict[str, Any] = {"token_type": "Bearer", "access_token": token.text}
    if wanted == "scope":
        body |= {"expires_in": lasts, "ext_expires_in": lasts}
    else:  # the first version of the endpoint says numbers as text
        body |= {
            "expires_in": str(lasts),
            "ext_expires_in": str(lasts),
            "expires_on": str(token.expires_at),
            "not_before": str(token.issued_at),
            "resource": form.get("resource", AUDIENCE),
        }
    return JSONResponse(body, headers={"Cache-Control": "no-store", "Pragma": "no-cache"})


def _prove_client(context: Context, client_id: str, secret: str) -> ProvenClient:
    proven = operations.authenticate_client(context.runtime, client_id, secret)
    if proven is None:
        raise _RefusedError("invalid_client", "The client id or its secret is not right.", 401)
    return proven


def _check_tenant(context: Context, tenant: str) -> None:
    if tenant.lower() != context.authentication.tenant_id:
        raise Problem(404, "TenantNotFound", "No tenant has this id.")


def _form(request: Request, body: bytes) -> dict[str, str]:
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise _RefusedError("invalid_request", "A token request must be a form.")
    try:
        pairs = parse_qsl(
            body.decode(), keep_blank_values=True, max_num_fields=FORM_FIELDS_MAX, errors="strict"
        )
    except ValueError as error:
        raise _RefusedError("invalid_request", "The form cannot be read.") from error
    if len(dict(pairs)) != len(pairs):
        raise _RefusedError("invalid_request", "The form must name each field once.")
    return dict(pairs)


def _check_form(context: Context, form: dict[str, str], wanted: str) -> None:
    if form.get("grant_type") != "client_credentials":
        raise _RefusedError(
            "unsupported_grant_type" if "grant_type" in form else "invalid_request",
            "The grant_type must be client_credentials.",
        )
    given = form.get(wanted, "").removesuffix("/.default").rstrip("/")
    own = {"", AUDIENCE, context.public_url, *AZURE_RESOURCES}
    if given not in own:
        error = "invalid_target" if wanted == "resource" else "invalid_scope"
        raise _RefusedError(error, f"The {wanted} must name this service, {AUDIENCE}.")


def _credentials(request: Request, form: dict[str, str]) -> tuple[str, str]:
    header = request.headers.get("authorization")
    if header is None:
        if not form.get("client_id") or not form.get("client_secret"):
            raise _RefusedError("invalid_client", "A client id and secret are needed.", 401)
        return form["client_id"], form["client_secret"]
    scheme, _, encoded = header.partition(" ")
    try:
        decoded = base64.b64decode(encoded, validate=True).decode()
    except (binascii.Error, ValueError):
        decoded = ""
    client_id, _, secret = decoded.partition(":")
    if scheme.lower() != "basic" or not client_id or not secret or "client_secret" in form:
        raise _RefusedError(
            "invalid_client", "The client must prove itself in one way, by basic or form.", 401
        )
    return unquote_plus(client_id), unquote_plus(secret)


def _refusal(refused: _RefusedError) -> JSONResponse:
    headers = {"Cache-Control": "no-store", "Pragma": "no-cache"}
    if refused.status == 401:  # noqa: PLR2004 - HTTP's own number
        headers["WWW-Authenticate"] = 'Basic realm="engagement"'
    body = {"error": refused.error, "error_description": str(refused)}
    return JSONResponse(body, status_code=refused.status, headers=headers)
