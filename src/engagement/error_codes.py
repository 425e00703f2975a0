"""The codes of everything that can go wrong, which users see and programs tell apart."""

from enum import StrEnum


class ErrorCode(StrEnum):
    """The stable code of every failure; the documentation explains each."""

    BAD_INPUT = "BadInput"
    UNKNOWN_APP = "UnknownApp"
    UNKNOWN_TASK = "UnknownTask"
    UNKNOWN_CLIENT = "UnknownClient"
    UNKNOWN_APP_KEY = "UnknownAppKey"
    UNKNOWN_DEVICE = "UnknownDevice"
    UNKNOWN_ROLE = "UnknownRole"
    UNKNOWN_PROTOCOL = "UnknownProtocol"
    UNKNOWN_REFUSED_RECORD = "UnknownRefusedRecord"
    REQUEST_TOO_LARGE = "RequestTooLarge"
    UNSUPPORTED_ENCODING = "UnsupportedEncoding"
    IDEMPOTENCY_KEY_REUSED = "IdempotencyKeyReused"
    CORRUPT_INPUT = "CorruptInput"
    INVALID_EXPORT = "InvalidExport"
    INVALID_CONTAINER = "InvalidContainer"
    ILLEGAL_STATE = "IllegalState"
    NOT_AUTHENTICATED = "NotAuthenticated"
    FORBIDDEN = "Forbidden"
    TOO_MANY_REQUESTS = "TooManyRequests"
    TOO_MANY_TASKS = "TooManyTasks"
    OVERLOADED = "Overloaded"
    STORAGE_UNAVAILABLE = "StorageUnavailable"
    STORAGE_FULL = "StorageFull"
    DATABASE_DAMAGED = "DatabaseDamaged"
    NEWER_RELEASE = "NewerRelease"
    OLDER_SCHEMA = "OlderSchema"
    UNSAFE_STORAGE = "UnsafeStorage"
    HOME_BUSY = "HomeBusy"
    SERVICE_MOVED = "ServiceMoved"
    STATE_BUSY = "StateBusy"
    VAULT_KEY_LOST = "VaultKeyLost"
    WORKER_LOST = "WorkerLost"
    LAKE_DAMAGED = "LakeDamaged"
    STATE_LOST = "StateLost"
    INCOMPLETE_EXPORT = "IncompleteExport"
    VERIFICATION_FAILED = "VerificationFailed"
    SAS_EXPIRED = "SasExpired"
    SAS_NOT_YET_VALID = "SasNotYetValid"
    SAS_INVALID_SIGNATURE = "SasInvalidSignature"
    SAS_PERMISSION_MISSING = "SasPermissionMissing"
    CONTAINER_NOT_FOUND = "ContainerNotFound"
    CONTAINER_BEING_DELETED = "ContainerBeingDeleted"
    ACCOUNT_DISABLED = "AccountDisabled"
    IP_NOT_ALLOWED = "IpNotAllowed"
    BLOB_IMMUTABLE = "BlobImmutable"
    LEASE_CONFLICT = "LeaseConflict"
    CONCURRENT_WRITER = "ConcurrentWriter"
    DESTINATION_THROTTLED = "DestinationThrottled"
    DESTINATION_UNAVAILABLE = "DestinationUnavailable"
    DESTINATION_TIMEOUT = "DestinationTimeout"
    TLS_ERROR = "TlsError"
    DNS_ERROR = "DnsError"
    EGRESS_DENIED = "EgressDenied"
    INSUFFICIENT_QUOTA = "InsufficientQuota"
    LIMIT_EXCEEDED = "LimitExceeded"
    SOURCE_UNAVAILABLE = "SourceUnavailable"
    INTERNAL_RETRIES_EXHAUSTED = "InternalRetriesExhausted"
    STALLED = "Stalled"
    CANCELLED = "Cancelled"
    SERVER_FAILED = "ServerFailed"
    SERVER_UNREACHABLE = "ServerUnreachable"
    INTERNAL = "Internal"


def code_of_name(name: object) -> ErrorCode | None:
    """Return the code of this name; None if there is none, as a newer release may send."""
    return ErrorCode(name) if isinstance(name, str) and name in _NAMES_OF_CODES else None


def code_of_failure(name: object) -> ErrorCode:
    """Return the code that a failure was kept or sent with; INTERNAL for a name unknown here."""
    return code_of_name(name) or ErrorCode.INTERNAL


_NAMES_OF_CODES = frozenset(code.value for code in ErrorCode)
