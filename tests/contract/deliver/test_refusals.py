"""Tests that every way a container can refuse is named, kept short and free of secrets.

The answers are worded as Azure's and S3's documentation and services word them.
"""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from certificates import server_context
from scripted import Answer, ScriptedServer, scripted
from secrecy import assert_hidden

from engagement.deliver.containers import open_destination
from engagement.deliver.urls import DestinationPolicy, parse_container_url
from engagement.exceptions import DestinationError, ErrorCode, Retryable
from support.checkout import ROOT

CANARY = "canary/+signature/with=letters"
MESSAGE_BYTES_MAX = 1_024
CALLS_MAX_IF_PERMANENT = 2
CALLS_MAX = 5
POLICY = DestinationPolicy(allow_loopback=True, container_hosts=("invalid",))
NOT_AUTHENTICATED = (
    "Server failed to authenticate the request. Make sure the value of Authorization header is "
    "formed correctly including the signature."
)
NOT_AUTHORIZED = "This request is not authorized to perform this operation"


def _time_frame(start: str, expiry: str, current: str) -> str:
    return (
        f"Signature not valid in the specified time frame: Start [{start}] - "
        f"Expiry [{expiry}] - Current [{current}]"
    )


EARLY, NOON, LATE = (f"Tue, 24 Nov 2026 {hour}:00:00 GMT" for hour in ("08", "12", "16"))

# Status, code, the service's words, its detail; then our code.
PERMANENT = [
    (403, "AuthenticationFailed", NOT_AUTHENTICATED, "", "SasInvalidSignature"),
    (
        403,
        "AuthenticationFailed",
        NOT_AUTHENTICATED,
        "Signature did not match. String to sign used was cw\n\n2026-11-25T00:00:00Z",
        "SasInvalidSignature",
    ),
    (
        403,
        "AuthenticationFailed",
        NOT_AUTHENTICATED,
        _time_frame(EARLY, NOON, LATE),
        "SasExpired",
    ),
    (
        403,
        "AuthenticationFailed",
        NOT_AUTHENTICATED,
        _time_frame(NOON, LATE, EARLY),
        "SasNotYetValid",
    ),
    (403, "AuthenticationFailed", NOT_AUTHENTICATED, _time_frame("", "", ""), "SasExpired"),
    (401, "NoAuthenticationInformation", NOT_AUTHENTICATED, "", "SasInvalidSignature"),
    (403, "AuthorizationFailure", f"{NOT_AUTHORIZED}.", "", "IpNotAllowed"),
    (403, "AuthorizationFailure", NOT_AUTHENTICATED, "", "SasInvalidSignature"),
    (
        403,
        "AuthorizationPermissionMismatch",
        f"{NOT_AUTHORIZED} using this permission.",
        "",
        "SasPermissionMissing",
    ),
    (
        403,
        "AuthorizationServiceMismatch",
        f"{NOT_AUTHORIZED} using this service.",
        "",
        "SasPermissionMissing",
    ),
    (
        403,
        "AuthorizationResourceTypeMismatch",
        f"{NOT_AUTHORIZED} using this resource type.",
        "",
        "SasPermissionMissing",
    ),
    (
        403,
        "AuthorizationSourceIPMismatch",
        f"{NOT_AUTHORIZED} using this source IP 10.0.0.1.",
        "",
        "IpNotAllowed",
    ),
    (403, "AccountIsDisabled", "The specified account is disabled.", "", "AccountDisabled"),
    (
        404,
        "ContainerNotFound",
        "The specified container does not exist.",
        "",
        "ContainerNotFound",
    ),
    (
        409,
        "ContainerBeingDeleted",
        "The specified container is being deleted. Try operation later.",
        "",
        "ContainerBeingDeleted",
    ),
    (
        409,
        "BlobImmutableDueToPolicy",
        "This operation is not permitted as the blob is immutable due to a policy.",
        "",
        "BlobImmutable",
    ),
    (
        409,
        "BlobImmutableDueToLegalHold",
        "This operation is not permitted as the blob is immutable due to a legal hold.",
        "",
        "BlobImmutable",
    ),
    (409, "InvalidBlobType", "The blob type is invalid for this operation.", "", "BlobImmutable"),
    (
        412,
        "LeaseIdMissing",
        "There is currently a lease on the blob and no lease ID was specified in the request.",
        "",
        "LeaseConflict",
    ),
    (
        413,
        "RequestBodyTooLarge",
        "The request body is too large and exceeds the maximum permissible limit.",
        "",
        "LimitExceeded",
    ),
    (
        409,
        "BlockCountExceedsLimit",
        "The uncommitted block count cannot exceed the maximum limit of 100,000 blocks.",
        "",
        "LimitExceeded",
    ),
    (507, "QuotaExceeded", "The account has no room left.", "", "InsufficientQuota"),
    (
        400,
        "InvalidQueryParameterValue",
        "Value for one of the query parameters is invalid.",
        "",
        "InvalidContainer",
    ),
    (404, "NoSuchBucket", "The specified bucket does not exist", "", "ContainerNotFound"),
    (
        403,
        "InvalidAccessKeyId",
        "The AWS Access Key Id you provided does not exist in our records.",
        "",
        "SasInvalidSignature",
    ),
    (400, "ExpiredToken", "The provided token has expired.", "", "SasExpired"),
    (403, "AccessDenied", "Access Denied", "", "SasPermissionMissing"),
    (401, "", "", "", "SasInvalidSignature"),
    (403, "", "", "", "SasPermissionMissing"),
    (404, "", "", "", "ContainerNotFound"),
    (418, "Unheard", "Of", "", "InvalidContainer"),
]
TRANSIENT = [
    (400, "InvalidBlockList", "The specified block list is invalid.", "", "ConcurrentWriter"),
    (503, "ServerBusy", "The server is busy.", "", "DestinationThrottled"),
    (503, "SlowDown", "Please reduce your request rate.", "", "DestinationThrottled"),
    (429, "", "", "", "DestinationThrottled"),
    (
        500,
        "OperationTimedOut",
        "The operation could not be completed within the permitted time.",
        "",
        "DestinationTimeout",
    ),
    (408, "", "", "", "DestinationTimeout"),
    (
        500,
        "InternalError",
        "The server encountered an internal error. Please retry the request.",
        "",
        "DestinationUnavailable",
    ),
    (502, "", "", "", "DestinationUnavailable"),
    (400, "Md5Mismatch", "The MD5 value did not match.", "", "DestinationUnavailable"),
    (400, "BadDigest", "The Content-MD5 did not match.", "", "DestinationUnavailable"),
    (400, "IncompleteBody", "Fewer bytes than were told.", "", "DestinationUnavailable"),
    (504, "", "", "", "DestinationTimeout"),
]


def _url(endpoint: str) -> str:
    return f"{endpoint}/devstoreaccount1/container?sp=cw&sr=c&sig={quote(CANARY, safe='')}"


def _refusal(url: str) -> DestinationError:
    """What a put is refused with, after it was checked for secrets and length."""
    destination = open_destination(parse_container_url(url, POLICY))
    with pytest.raises(DestinationError) as raised:
        destination.put("Activity/0123/part-00000.json", [b"bytes"])
    assert_hidden(raised.value, CANARY)
    assert 0 < len(str(raised.value).encode()) <= MESSAGE_BYTES_MAX
    return raised.value


def test_our_own_proxy_says_why_in_its_answer() -> None:
    """Another connection may have ended well meanwhile, and taken away what had failed."""
    answer = _answered(403, "EgressRefusedEgressDenied", "led to another place", "")
    with scripted(answer) as server:
        error = _refusal(_url(server.endpoint))

    assert error.code is ErrorCode.EGRESS_DENIED
    assert "led to another place" in str(error)


def _answered(status: int, code: str, message: str, detail: str) -> Answer:
    return Answer(status=status, code=code, message=message, detail=detail)


@pytest.mark.parametrize(
    ("status", "code", "message", "detail", "expected"),
    PERMANENT,
    ids=[f"{item[0]} {item[1]} {item[4]}" for item in PERMANENT],
)
def test_a_refusal_for_good_is_named_and_asked_only_once_or_twice(
    status: int, code: str, message: str, detail: str, expected: str
) -> None:
    with scripted(_answered(status, code, message, detail)) as server:
        error = _refusal(_url(server.endpoint))

    assert error.code == expected
    assert not isinstance(error, Retryable)
    assert str(status) in str(error)
    assert code in str(error)
    assert message in str(error)
    assert len(server.calls) <= (CALLS_MAX if status >= 500 else CALLS_MAX_IF_PERMANENT)


@pytest.mark.parametrize(
    ("status", "code", "message", "detail", "expected"),
    TRANSIENT,
    ids=[f"{item[0]} {item[1]} {item[4]}" for item in TRANSIENT],
)
def test_a_refusal_that_may_pass_is_named_and_retryable(
    status: int, code: str, message: str, detail: str, expected: str
) -> None:
    with scripted(_answered(status, code, message, detail)) as server:
        error = _refusal(_url(server.endpoint))

    assert error.code == expected
    assert isinstance(error, Retryable)
    assert len(server.calls) <= CALLS_MAX


@pytest.mark.parametrize(
    ("code", "retried"),
    [*((item[4], "no") for item in PERMANENT), *((item[4], "yes") for item in TRANSIENT)],
)
def test_the_page_of_errors_says_what_is_retried(code: str, retried: str) -> None:
    page = (ROOT / "docs/reference/errors.md").read_text(encoding="utf-8")
    row = next(line for line in page.splitlines() if line.startswith(f"| `{code}` |"))

    assert row.endswith(f"| {retried} |")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_of_a_write_is_not_followed(status: int) -> None:
    with scripted(Answer(status=201)) as elsewhere:
        answer = Answer(status=status, headers={"Location": f"{elsewhere.endpoint}/a/b"})
        with scripted(answer) as server:
            error = _refusal(_url(server.endpoint))

    assert error.code is ErrorCode.EGRESS_DENIED
    assert not isinstance(error, Retryable)
    assert elsewhere.calls == []
    assert len(server.calls) <= CALLS_MAX_IF_PERMANENT


def test_a_broken_connection_is_named() -> None:
    with scripted(Answer(is_reset=True)) as server:
        error = _refusal(_url(server.endpoint))

    assert error.code is ErrorCode.DESTINATION_UNAVAILABLE
    assert isinstance(error, Retryable)
    assert "reset" in str(error)


def test_a_refused_connection_is_named() -> None:
    with scripted(Answer()) as server:
        endpoint = server.endpoint

    error = _refusal(_url(endpoint))

    assert error.code is ErrorCode.DESTINATION_UNAVAILABLE
    assert isinstance(error, Retryable)
    assert "Connection refused" in str(error)


def test_a_name_that_does_not_resolve_is_named() -> None:
    # `.invalid` never resolves, by RFC 6761.
    error = _refusal(
        f"https://account.storage.invalid/container?sp=cw&sr=c&sig={quote(CANARY, safe='')}"
    )

    assert error.code is ErrorCode.DNS_ERROR
    assert isinstance(error, Retryable)


@pytest.fixture
def untrusted(tmp_path: Path) -> Iterator[ScriptedServer]:
    """A server with a certificate that nobody vouches for."""
    context = server_context(tmp_path / "server.pem")
    with scripted(Answer(status=201), tls=context) as server:
        yield server


def test_a_certificate_that_is_not_trusted_is_named(untrusted: ScriptedServer) -> None:
    error = _refusal(_url(untrusted.endpoint))

    assert error.code is ErrorCode.TLS_ERROR
    assert not isinstance(error, Retryable)
    assert "self-signed certificate" in str(error)
    assert untrusted.calls == []


def test_a_server_that_speaks_no_tls_is_named() -> None:
    with scripted(Answer(status=201)) as server:
        error = _refusal(_url(server.endpoint.replace("http://", "https://")))

    assert error.code is ErrorCode.TLS_ERROR
    assert not isinstance(error, Retryable)
    assert server.calls == []


@pytest.mark.parametrize(
    "words", [CANARY, quote(CANARY, safe=""), f"sig={CANARY}", "é" * 2_000, "<Message>" * 4_000]
)
def test_a_server_that_says_too_much_is_cut_short(words: str) -> None:
    with scripted(Answer(status=403, code="AuthenticationFailed", message=words)) as server:
        error = _refusal(_url(server.endpoint))

    assert error.code is ErrorCode.SAS_INVALID_SIGNATURE
