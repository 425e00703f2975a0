"""Tells why a container refused, from the error that its service or the network reported."""

import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from xml.sax.saxutils import escape

from engagement.deliver.egress_proxy import MARK, ConnectFailure
from engagement.deliver.urls import ContainerUrl
from engagement.error_codes import code_of_name
from engagement.exceptions import (
    DestinationError,
    ErrorCode,
    TransientDestinationError,
)

MESSAGE_BYTES_MAX = 1_024
NAME_CHARACTERS_MAX = 200
TEXT_CHARACTERS_MAX = 16 * 1024
"""Of an error's text and of what is known of its cause; a service's own are far shorter."""
SECRET_CHARACTERS_MIN = 4
SECRET_NAMES = frozenset({
    "sig", "access_key_id", "secret_access_key", "session_token", "access_token",
})  # fmt: skip
"""The parameters of container URLs that are hidden; the others of a SAS open nothing."""

_ENTITIES = {'"': "&quot;", "'": "&apos;"}
_STATUS = re.compile(r"status code: (\d{3})|\(code: (\d{3})\)")
_STORE_CODE = re.compile(r"<Code>\s*(\w+)\s*</Code>|\(code: ([A-Za-z]\w+)\)")
_STORE_WORDS = (("<Message>", "", "</Message>"), ("for key ", ": ", " (code: "))
"""What stands before and behind the words of a service, and what is passed by in between."""
_TIME_FRAME = re.compile(
    r"not valid in the specified time frame: Start \[(?P<start>[^]]{0,64})\]"
    r".{0,64}?Current \[(?P<current>[^]]{0,64})\]",
    re.DOTALL,
)
_NETWORK_WORDS = re.compile(r'(?:\berror: |\bmessage: |ConnectError\(\s*)"([^"]+)"')
_TLS_WORDS = re.compile(r"kind: InvalidData,\s*error: (\w+)(?:\(\s*(\w+))?")
_SECRET = re.compile(
    r"(?i)\b(sig|signature|x-amz-signature|x-amz-credential|x-amz-security-token|access_token)"
    r"(=|%3d)[^&\s\"'<>]+"
)

_BY_STORE_CODE: dict[str, tuple[ErrorCode, bool]] = {
    "AuthenticationFailed": (ErrorCode.SAS_INVALID_SIGNATURE, False),
    "InvalidAuthenticationInfo": (ErrorCode.SAS_INVALID_SIGNATURE, False),
    "NoAuthenticationInformation": (ErrorCode.SAS_INVALID_SIGNATURE, False),
    "SignatureDoesNotMatch": (ErrorCode.SAS_INVALID_SIGNATURE, False),
    "InvalidAccessKeyId": (ErrorCode.SAS_INVALID_SIGNATURE, False),
    "InvalidToken": (ErrorCode.SAS_INVALID_SIGNATURE, False),
    "ExpiredToken": (ErrorCode.SAS_EXPIRED, False),
    "RequestTimeTooSkewed": (ErrorCode.SAS_NOT_YET_VALID, False),
    "AuthorizationPermissionMismatch": (ErrorCode.SAS_PERMISSION_MISSING, False),
    "AuthorizationServiceMismatch": (ErrorCode.SAS_PERMISSION_MISSING, False),
    "AuthorizationResourceTypeMismatch": (ErrorCode.SAS_PERMISSION_MISSING, False),
    "AuthorizationProtocolMismatch": (ErrorCode.SAS_PERMISSION_MISSING, False),
    "InsufficientAccountPermissions": (ErrorCode.SAS_PERMISSION_MISSING, False),
    "AccessDenied": (ErrorCode.SAS_PERMISSION_MISSING, False),
    "AuthorizationSourceIPMismatch": (ErrorCode.IP_NOT_ALLOWED, False),
    "ContainerNotFound": (ErrorCode.CONTAINER_NOT_FOUND, False),
    "ContainerDisabled": (ErrorCode.ACCOUNT_DISABLED, False),
    "ResourceNotFound": (ErrorCode.CONTAINER_NOT_FOUND, False),
    "BlobNotFound": (ErrorCode.CONTAINER_NOT_FOUND, False),
    "NoSuchBucket": (ErrorCode.CONTAINER_NOT_FOUND, False),
    "NoSuchKey": (ErrorCode.CONTAINER_NOT_FOUND, False),
    "ContainerBeingDeleted": (ErrorCode.CONTAINER_BEING_DELETED, False),
    "AccountIsDisabled": (ErrorCode.ACCOUNT_DISABLED, False),
    "AllAccessDisabled": (ErrorCode.ACCOUNT_DISABLED, False),
    "BlobImmutableDueToPolicy": (ErrorCode.BLOB_IMMUTABLE, False),
    "BlobImmutableDueToLegalHold": (ErrorCode.BLOB_IMMUTABLE, False),
    "BlobAlreadyExists": (ErrorCode.BLOB_IMMUTABLE, False),
    "InvalidBlobType": (ErrorCode.BLOB_IMMUTABLE, False),
    "LeaseIdMissing": (ErrorCode.LEASE_CONFLICT, False),
    "LeaseAlreadyPresent": (ErrorCode.LEASE_CONFLICT, False),
    "InvalidBlockList": (ErrorCode.CONCURRENT_WRITER, True),
    "OperationAborted": (ErrorCode.CONCURRENT_WRITER, True),
    "ServerBusy": (ErrorCode.DESTINATION_THROTTLED, True),
    "SlowDown": (ErrorCode.DESTINATION_THROTTLED, True),
    "OperationTimedOut": (ErrorCode.DESTINATION_TIMEOUT, True),
    "RequestTimeout": (ErrorCode.DESTINATION_TIMEOUT, True),
    "InternalError": (ErrorCode.DESTINATION_UNAVAILABLE, True),
    # What arrived is not what its digest is of: it was altered on the way.
    "Md5Mismatch": (ErrorCode.DESTINATION_UNAVAILABLE, True),
    "BadDigest": (ErrorCode.DESTINATION_UNAVAILABLE, True),
    "XAmzContentSHA256Mismatch": (ErrorCode.DESTINATION_UNAVAILABLE, True),
    "IncompleteBody": (ErrorCode.DESTINATION_UNAVAILABLE, True),
    "QuotaExceeded": (ErrorCode.INSUFFICIENT_QUOTA, False),
    "BlockCountExceedsLimit": (ErrorCode.LIMIT_EXCEEDED, False),
    "RequestBodyTooLarge": (ErrorCode.LIMIT_EXCEEDED, False),
    "EntityTooLarge": (ErrorCode.LIMIT_EXCEEDED, False),
}

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
    504: (ErrorCode.DESTINATION_TIMEOUT, True),
    507: (ErrorCode.INSUFFICIENT_QUOTA, False),
}


def refusal(
    text: str, key: str, url: ContainerUrl, *, failure: ConnectFailure | None = None
) -> DestinationError:
    """Return our exception for an error of the store's client; it holds no secret.

    It is classified by the service's code and the status in the text, since the client's
    exception types lump together what users must tell apart.

    Args:
        text: The error as the client words it.
        key: The key of the request.
        url: The container.
        failure: Why no connection came about, which the client does not say.
    """
    error = _StoreError.of(text)
    code, may_pass = _classify(error)
    ours = code_of_name(error.code.removeprefix(MARK)) if error.code.startswith(MARK) else None
    if ours is not None:
        code, may_pass = ours, error.status == HTTPStatus.SERVICE_UNAVAILABLE
        error = replace(error, status=None, code="")
    elif failure is not None and error.status is None:
        error = replace(error, code="", words=failure.words)
        code, may_pass = failure.code, failure.may_pass
    if code in {ErrorCode.SAS_INVALID_SIGNATURE, ErrorCode.SAS_PERMISSION_MISSING}:
        code = _by_time(error, url) or code
    kind = TransientDestinationError if may_pass else DestinationError
    container, name = url.redacted[:NAME_CHARACTERS_MAX], key[:NAME_CHARACTERS_MAX]
    message = _redact(f"The container {container} refused {name!r}: {error.summary}", url)
    return kind(message.encode()[:MESSAGE_BYTES_MAX].decode(errors="ignore"), code=code)


@dataclass(frozen=True, slots=True, kw_only=True)
class _StoreError:
    """The parts of the text of an error."""

    text: str
    status: int | None
    code: str
    words: str

    @classmethod
    def of(cls, text: str) -> "_StoreError":
        # A service may answer anything, so little of it is looked at, and that in linear time.
        head, _, debug = (part[:TEXT_CHARACTERS_MAX] for part in text.partition("Debug source:"))
        text = f"{head}Debug source:{debug}" if debug else head
        status, code = _STATUS.search(head), _STORE_CODE.search(head)
        message = next(filter(None, (_words_between(head, *marks) for marks in _STORE_WORDS)), "")
        if not message:
            message = head.rsplit(" - ", 1)[-1]
            tls = [" ".join(filter(None, pair)) for pair in _TLS_WORDS.findall(debug)]
            message = "; ".join(
                dict.fromkeys([message.strip(), *_NETWORK_WORDS.findall(debug), *tls])
            )
        return cls(
            text=text,
            status=int(status[1] or status[2]) if status else None,
            code=(code[1] or code[2]) if code else "",
            words=" ".join(message.split()),
        )

    @property
    def summary(self) -> str:
        answer = " ".join(str(part) for part in (self.status, self.code) if part)
        return f"{answer}: {self.words}" if answer else self.words


def _words_between(text: str, before: str, passed: str, behind: str) -> str:
    """The text between two marks; nothing where one is missing."""
    _, found, rest = text.partition(before)
    if found and passed:
        _, found, rest = rest.partition(passed)
    words, end, _ = rest.partition(behind)
    return words if found and end else ""


def _classify(error: _StoreError) -> tuple[ErrorCode, bool]:
    """The code, and whether a repeat may succeed."""
    if error.code == "AuthorizationFailure":
        # Azure says so when its firewall bars us, Azurite when a signature does not fit.
        barred = "not authorized to perform this operation" in error.words
        return (ErrorCode.IP_NOT_ALLOWED if barred else ErrorCode.SAS_INVALID_SIGNATURE), False
    if error.code in _BY_STORE_CODE:
        return _BY_STORE_CODE[error.code]
    if error.status is None:
        return _by_network(error.text)
    if error.status // 100 == 3:  # noqa: PLR2004 - a redirect, which is never followed
        return ErrorCode.EGRESS_DENIED, False
    is_ours = error.status // 100 == 4  # noqa: PLR2004 - by HTTP, the request is at fault
    return _BY_STATUS.get(
        error.status,
        (ErrorCode.INVALID_CONTAINER, False)
        if is_ours
        else (ErrorCode.DESTINATION_UNAVAILABLE, True),
    )


def _by_network(text: str) -> tuple[ErrorCode, bool]:
    """For when nobody answered over HTTP."""
    lowered = text.lower()
    if lowered.startswith("object at location") and " not found: " in lowered:  # in memory
        return ErrorCode.CONTAINER_NOT_FOUND, False
    if "dns error" in lowered or "failed to lookup address" in lowered:
        return ErrorCode.DNS_ERROR, True
    if _TLS_WORDS.search(text):
        return ErrorCode.TLS_ERROR, False
    if "kind: timeout" in lowered or "timed out" in lowered:
        return ErrorCode.DESTINATION_TIMEOUT, True
    return ErrorCode.DESTINATION_UNAVAILABLE, True


def _by_time(error: _StoreError, url: ContainerUrl) -> ErrorCode | None:
    """Whether the SAS is not valid yet or no more, by the service's message, else by our clock."""
    frame = _TIME_FRAME.search(error.text)
    if frame:
        try:
            is_early = parsedate_to_datetime(frame["current"]) < parsedate_to_datetime(
                frame["start"]
            )
        except ValueError:
            is_early = False
        return ErrorCode.SAS_NOT_YET_VALID if is_early else ErrorCode.SAS_EXPIRED
    now = datetime.now(UTC)
    if url.expires_at is not None and now >= url.expires_at:
        return ErrorCode.SAS_EXPIRED
    if url.starts_at is not None and now < url.starts_at:
        return ErrorCode.SAS_NOT_YET_VALID
    return None


def _redact(text: str, url: ContainerUrl) -> str:
    """The text without anything secret: known values first, then whatever looks like one."""
    known = url.sas or url.secrets.items()
    secrets = [
        value
        for name, value in known
        if name in SECRET_NAMES and len(value) >= SECRET_CHARACTERS_MIN
    ]
    for secret in sorted(secrets, key=len, reverse=True):
        text = re.sub("".join(map(_spellings, secret)), "<redacted>", text, flags=re.IGNORECASE)
    return _SECRET.sub(r"\1\2<redacted>", text)


def _spellings(character: str) -> str:
    """A pattern of all ways in which a service may repeat a character: plain, in a URL, in XML."""
    escapes = "".join(f"%(?:25)*{byte:02x}" for byte in character.encode())
    entity = escape(character, _ENTITIES)
    plain = {re.escape(character), re.escape(entity)}
    return f"(?:{'|'.join([*sorted(plain), escapes])})"
