"""Draws the tree of everything that can go wrong, with the code that users see.

::

    EngagementError
    ├── BadInputError              the caller must change what was asked
    │   ├── UnknownAppError
    │   ├── UnknownTaskError
    │   ├── UnknownClientError
    │   ├── UnknownAppKeyError
    │   ├── UnknownDeviceError
    │   ├── UnknownRoleError       a client's role that there is not
    │   ├── UnknownProtocolError   a protocol that senders do not write in
    │   ├── UnknownRefusedRecordError
    │   ├── RequestTooLargeError   more at once than the service takes
    │   ├── UnsupportedEncodingError  a body is compressed in a way that the service does not know
    │   ├── IdempotencyKeyReusedError  the key came with another request before
    │   ├── CorruptInputError      a file or body that cannot be decoded
    │   ├── InvalidExportError     impossible range, unknown format, missing campaign ids
    │   ├── InvalidContainerError  a container URL or SAS that cannot work
    │   └── IllegalStateError      the task is not in a state that allows this
    ├── NotAuthenticatedError      no token, or one that is not accepted
    ├── ForbiddenError             the role does not allow this
    ├── TooManyRequestsError       the caller's rate limit (also Retryable)
    ├── TooManyTasksError          an app has too many unfinished tasks (also Retryable)
    ├── OverloadedError            more comes in than can be taken (also Retryable)
    ├── StorageUnavailableError    the state database is busy or its disk fails (also Retryable)
    ├── StorageFullError           a disk of the service is full (also Retryable)
    ├── DatabaseDamagedError       a file of the state or task database is damaged; names it
    ├── NewerReleaseError          the home folder was written by a newer release
    ├── OlderSchemaError           the state database of a cluster has to be migrated first
    ├── UnsafeStorageError         a database or bucket does not keep what a cluster relies on
    ├── HomeBusyError              another process owns ENGAGEMENT_HOME or an agent's folder
    ├── ServiceMovedError          the service is, or is to be, somewhere else
    ├── StateBusyError             another process runs the tasks of the state database
    ├── VaultKeyLostError          what is kept was sealed with a key that is not at hand
    ├── WorkerLostError            the worker ended, a new one is being started (also Retryable)
    ├── LakeDamagedError           a table file is missing or altered; names the file
    ├── StateLostError             the lake has apps that the state database does not know
    ├── SourceUnavailableError     table versions that an export needs were deleted
    ├── RetriesExhaustedError      a task was taken up again after crashes too often
    ├── StalledError               a task went without progress for too long
    ├── IncompleteExportError      the counts of an export disagree
    ├── VerificationError          a delivered export is not what its manifest says
    ├── CancelledError             the task was cancelled
    ├── ServerError                a server answers a client with a failure of its own, or nothing
    │   └── ServerUnreachableError (also Retryable)
    └── DestinationError           the user's container refused
        └── TransientDestinationError (also Retryable)
"""

from collections.abc import Iterator, Mapping

from engagement.error_codes import ErrorCode as ErrorCode  # noqa: PLC0414 - users find it here
from engagement.error_codes import code_of_name

WANTED_ENDS = (KeyboardInterrupt, SystemExit, GeneratorExit)
"""What somebody asked for. Whatever else is no `Exception` is a panic of an extension, as Polars
raises it: a fault like any other, which must stop nothing but itself."""


class Retryable(Exception):  # noqa: N818 - a mark on exceptions, not one of its own
    """May succeed if repeated; everything without this mark never will."""


class EngagementError(Exception):
    """Something failed for a reason we can name."""

    code = ErrorCode.INTERNAL

    def __init__(self, message: str, *, code: ErrorCode | None = None) -> None:
        super().__init__(message)
        if code is not None:
            self.code = code


class BadInputError(EngagementError):
    """The caller must change what was asked."""

    code = ErrorCode.BAD_INPUT


class UnknownAppError(BadInputError):
    """No app has this id."""

    code = ErrorCode.UNKNOWN_APP


class UnknownTaskError(BadInputError):
    """No export task has this id."""

    code = ErrorCode.UNKNOWN_TASK


class UnknownClientError(BadInputError):
    """No client of the API has this id."""

    code = ErrorCode.UNKNOWN_CLIENT


class UnknownAppKeyError(BadInputError):
    """The app has no key with this id or name."""

    code = ErrorCode.UNKNOWN_APP_KEY


class UnknownDeviceError(BadInputError):
    """The app has no device with this id, or none of this user."""

    code = ErrorCode.UNKNOWN_DEVICE


class UnknownRoleError(BadInputError):
    """No role of a client has this name."""

    code = ErrorCode.UNKNOWN_ROLE


class UnknownProtocolError(BadInputError):
    """No protocol in which senders report has this name."""

    code = ErrorCode.UNKNOWN_PROTOCOL


class UnknownRefusedRecordError(BadInputError):
    """No refused record has this id."""

    code = ErrorCode.UNKNOWN_REFUSED_RECORD


class RequestTooLargeError(BadInputError):
    """More was asked or given at once than the service takes."""

    code = ErrorCode.REQUEST_TOO_LARGE


class UnsupportedEncodingError(BadInputError):
    """A body is compressed in a way that the service does not know."""

    code = ErrorCode.UNSUPPORTED_ENCODING


class IdempotencyKeyReusedError(BadInputError):
    """The idempotency key came with another request before."""

    code = ErrorCode.IDEMPOTENCY_KEY_REUSED


class CorruptInputError(BadInputError):
    """A file or body cannot be decoded."""

    code = ErrorCode.CORRUPT_INPUT


class InvalidExportError(BadInputError):
    """The export that was asked for cannot exist."""

    code = ErrorCode.INVALID_EXPORT


class InvalidContainerError(BadInputError):
    """The container URL or its SAS cannot work."""

    code = ErrorCode.INVALID_CONTAINER


class IllegalStateError(BadInputError):
    """The task is not in a state that allows this."""

    code = ErrorCode.ILLEGAL_STATE


class NotAuthenticatedError(EngagementError):
    """No token came with the request, or one that is not accepted; never says why in detail."""

    code = ErrorCode.NOT_AUTHENTICATED


class ForbiddenError(EngagementError):
    """The caller's role does not allow this."""

    code = ErrorCode.FORBIDDEN


class TooManyRequestsError(EngagementError, Retryable):
    """The caller made more requests than it may."""

    code = ErrorCode.TOO_MANY_REQUESTS


class TooManyTasksError(EngagementError, Retryable):
    """The app has as many unfinished tasks as it may."""

    code = ErrorCode.TOO_MANY_TASKS


class OverloadedError(EngagementError, Retryable):
    """More comes in at this moment than the service can take."""

    code = ErrorCode.OVERLOADED


class StorageUnavailableError(EngagementError, Retryable):
    """The state database is busy for too long, does not answer, or its disk fails."""

    code = ErrorCode.STORAGE_UNAVAILABLE


class StorageFullError(EngagementError, Retryable):
    """A disk on which the service keeps its data is full."""

    code = ErrorCode.STORAGE_FULL


class DatabaseDamagedError(EngagementError):
    """A file of the state or task database is damaged; the message names it and what to do."""

    code = ErrorCode.DATABASE_DAMAGED


class NewerReleaseError(EngagementError):
    """The home folder was written by a newer release than this one."""

    code = ErrorCode.NEWER_RELEASE


class OlderSchemaError(EngagementError):
    """The state database of a cluster is of an older release, and only a command migrates it."""

    code = ErrorCode.OLDER_SCHEMA


class UnsafeStorageError(EngagementError):
    """A database server or an object storage does not keep what a cluster relies on."""

    code = ErrorCode.UNSAFE_STORAGE


class HomeBusyError(EngagementError):
    """Another process owns the home folder, or another agent the folder of an agent."""

    code = ErrorCode.HOME_BUSY


class ServiceMovedError(EngagementError):
    """The service was moved to another place, or a move of it was begun and not ended."""

    code = ErrorCode.SERVICE_MOVED


class StateBusyError(EngagementError):
    """Another process runs the tasks of the state database."""

    code = ErrorCode.STATE_BUSY


class VaultKeyLostError(EngagementError):
    """What is kept was sealed with a key that is not in the home folder."""

    code = ErrorCode.VAULT_KEY_LOST


class WorkerLostError(EngagementError, Retryable):
    """The process that flushes and exports has ended; a new one is being started."""

    code = ErrorCode.WORKER_LOST


class LakeDamagedError(EngagementError):
    """A table file is missing or altered and cannot be rebuilt; the message names it."""

    code = ErrorCode.LAKE_DAMAGED


class StateLostError(EngagementError):
    """The lake has apps that the state database does not know: it was lost, or is another's."""

    code = ErrorCode.STATE_LOST


class SourceUnavailableError(EngagementError):
    """Table versions that an export was planned on have been deleted meanwhile."""

    code = ErrorCode.SOURCE_UNAVAILABLE


class RetriesExhaustedError(EngagementError):
    """A task was taken up again after crashes too often."""

    code = ErrorCode.INTERNAL_RETRIES_EXHAUSTED


class StalledError(EngagementError):
    """A task went without progress for longer than it may."""

    code = ErrorCode.STALLED


class IncompleteExportError(EngagementError):
    """Rows planned, read and written disagree, so the export must not succeed."""

    code = ErrorCode.INCOMPLETE_EXPORT


class VerificationError(EngagementError):
    """A delivered export is not what its manifest says."""

    code = ErrorCode.VERIFICATION_FAILED


class CancelledError(EngagementError):
    """The task was cancelled."""

    code = ErrorCode.CANCELLED


class ServerError(EngagementError):
    """The server that a client asked failed, or answered what the client cannot read."""

    code = ErrorCode.SERVER_FAILED


class ServerUnreachableError(ServerError, Retryable):
    """The server that a client asked did not answer, or said that it cannot for now."""

    code = ErrorCode.SERVER_UNREACHABLE


class DestinationError(EngagementError):
    """The user's container refused, for good."""

    code = ErrorCode.DESTINATION_UNAVAILABLE


class TransientDestinationError(DestinationError, Retryable):
    """The user's container refused this time."""


_PASSING_CODES = frozenset(
    {
        ErrorCode.CONCURRENT_WRITER,
        ErrorCode.DESTINATION_THROTTLED,
        ErrorCode.DESTINATION_TIMEOUT,
        ErrorCode.DESTINATION_UNAVAILABLE,
        ErrorCode.DNS_ERROR,
    }
)
"""Codes of a container's refusal that may pass."""


def class_of_code(code: ErrorCode, *, may_pass: bool | None = None) -> type[EngagementError]:
    """Return the class whose errors have this code, so that an error keeps it over every border.

    Args:
        code: Any code; those of containers share two classes.
        may_pass: Whether a container's refusal may pass, where more is known than the code.
    """
    kind = _CLASSES_BY_CODE.get(code)
    if kind is not None:
        return kind
    passes = code in _PASSING_CODES if may_pass is None else may_pass
    return TransientDestinationError if passes else DestinationError


def error_of_code(code: ErrorCode, message: str) -> EngagementError:
    """Return the error that the code and message of a failure describe, in its own class."""
    return class_of_code(code)(message, code=code)


def encode_error(error: EngagementError) -> dict[str, str]:
    """Return what another process needs to raise the same error again."""
    return {"class": type(error).__name__, "code": error.code.value, "message": str(error)}


def decode_error(fields: Mapping[str, object]) -> EngagementError:
    """Return the error that was encoded.

    The class comes by its own name, because it may be another than most errors of the code have.
    What a newer release names and this one does not know becomes an internal error.
    """
    code = code_of_name(fields.get("code"))
    kind = _CLASSES_BY_NAME.get(str(fields.get("class")))
    if kind is None:
        kind = EngagementError if code is None else class_of_code(code)
    return kind(str(fields.get("message", "")), code=code)


def _subclasses(parent: type[EngagementError]) -> Iterator[type[EngagementError]]:
    yield parent
    for child in parent.__subclasses__():
        yield from _subclasses(child)


_CLASSES_BY_NAME = {kind.__name__: kind for kind in _subclasses(EngagementError)}
_CLASSES_BY_CODE = {
    kind.code: kind for kind in _CLASSES_BY_NAME.values() if not issubclass(kind, DestinationError)
}
