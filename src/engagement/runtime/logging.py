"""Writes the server's log: one JSON object a line, without secrets."""

import contextlib
import io
import logging
import re
import sys
from typing import Any, TextIO, cast

import structlog
from structlog.tracebacks import ExceptionDictTransformer

_SECRET = re.compile(
    r"((?:sig|x-amz-signature|x-amz-credential|signature|secret_access_key|access_token|"
    r"client_secret|session_token|authorization)(?:=|%3d|\"?\s*:\s*\"?))[^&\s\"'<>,}]+"
    r"|(bearer\s+)[\w.~+/=-]+",
    re.IGNORECASE,
)
_WORDS = ("sig", "x-amz-", "secret", "_token", "authorization", "bearer")
_HIDDEN = "***"


def redact(text: str) -> str:
    """The text without the values of signatures, secrets and tokens.

    It is the last line of defence: what is logged is chosen so that none should be in it.
    """
    lower = text.lower()
    if not any(word in lower for word in _WORDS):  # most lines by far; the pattern costs more
        return text
    return _SECRET.sub(lambda found: (found[1] or found[2]) + _HIDDEN, text)


def start_logging(level: str = "info") -> None:
    """Send our log, and the warnings of libraries, to standard error as lines of JSON.

    Args:
        level: The least that a line must be: debug, info, warning or error.
    """
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            # Local variables may be secrets, and the default shows them.
            structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False)),
            structlog.processors.JSONRenderer(),
            _without_secrets,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(cast("TextIO", _Unfailing(sys.stderr))),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
                _without_secrets,
            ],
            foreign_pre_chain=[
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                structlog.processors.format_exc_info,
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)


def start_command_logging(level: str) -> None:
    """Log what a person at a command must know, unless the process logs already."""
    if not structlog.is_configured():
        start_logging(level or "warning")


class _Unfailing(io.TextIOBase):
    """A stream that drops what cannot be written.

    Whoever logs is often about to handle something else that failed. An exception out of the log,
    when its disk is full too, would end the very thread that is to try again.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str, /) -> int:
        """Write it, or not."""
        with contextlib.suppress(OSError, ValueError):  # a value error: it was closed
            return self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Hand over what was written, or not."""
        with contextlib.suppress(OSError, ValueError):
            self._stream.flush()


def _without_secrets(logger: object, name: str, line: Any) -> str:
    del logger, name
    return redact(line)
