"""The exit statuses of commands, which are the same here and at a server."""

from engagement.exceptions import (
    BadInputError,
    DestinationError,
    EngagementError,
    HomeBusyError,
    Retryable,
    StateBusyError,
)

EXIT_FAILURE = 1
EXIT_BAD_INPUT = 2
EXIT_HOME_BUSY = 3
EXIT_NOT_ENDED = 4
EXIT_INTERRUPTED = 130
EXIT_OUTPUT_CLOSED = 141


def exit_status(error: EngagementError) -> int:
    """Return what a script sees of an error: was its input bad, the moment, or the work."""
    if isinstance(error, (HomeBusyError, StateBusyError)):
        return EXIT_HOME_BUSY
    # A container that refuses for good when it is first tried was named wrongly by the caller:
    # the SAS has expired, a permission is missing, the container is not there.
    refused = isinstance(error, DestinationError) and not isinstance(error, Retryable)
    return EXIT_BAD_INPUT if refused or isinstance(error, BadInputError) else EXIT_FAILURE
